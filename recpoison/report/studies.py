"""What runs show beyond one table: curves, attacks at equal budget, and loss over characteristics of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recpoison.evaluation.questions import Metric
from recpoison.report.characteristics import draw_characteristics, losses, slopes_table
from recpoison.report.curve_figures import draw_curves
from recpoison.report.curves import Curves, curves_of
from recpoison.report.drawing import file_name
from recpoison.report.equal_budget import BUDGETS, common_table, followed, points_table
from recpoison.report.formats import to_csv, to_markdown
from recpoison.report.latex import to_latex
from recpoison.report.measurements import Measurements
from recpoison.report.runs import Runs
from recpoison.report.surrogate_figures import draw_surrogate
from recpoison.report.tables import Table, with_notes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Studies:
    """Results beside the main table.

    Args:
        tables: For every form of output.
        details: Long ones, for forms that have room.
        files: Text by file name, for a folder that holds everything.
        curves: What there is to draw.
        metrics: What to draw of the curves; None draws the usual ones.
    """

    tables: list[Table] = field(default_factory=list)
    details: list[Table] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    curves: Curves | None = None
    metrics: Sequence[Metric] | None = None

    def draw(self) -> dict[str, Figure]:
        """The curves' figures, by a name that suits a file."""
        if self.curves is None:
            return {}
        return draw_curves(self.curves, self.metrics) | draw_surrogate(self.curves)


def curve_studies(
    runs: Runs,
    measurements: Measurements,
    metrics: Sequence[Metric] | None,
    budgets: Sequence[float] = BUDGETS,
    average_repeated: bool = False,
) -> Studies:
    """Curves of ``runs``, and where attacks on embeddings were followed their table at equal budget; else nothing.

    Args:
        runs: Read from folders.
        measurements: Of the same runs.
        metrics: What the user named; None takes the usual ones, and for the table the first of these.
        budgets: Row L2 of the table's columns.
        average_repeated: Take the mean where a point was measured twice with different numbers.
    """
    curves = curves_of(runs, measurements, average_repeated)
    if curves.frame.empty:
        return Studies()
    files = {"curve.csv": curves.tidy().to_csv(index=False)}
    tables, details = [], []
    along = followed(curves)
    if along is not None:
        known = curves.metrics(along)
        chosen = curves.usual(along) if metrics is None else [metric for metric in metrics if metric in known]
        for metric in chosen[:1]:
            tables.append(common_table(curves, metric, budgets))
            details.append(points_table(curves, metric))
    both = [with_notes(table, runs) for table in (*tables, *details)]
    for ending, render in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex)) if both else ():
        files[f"equal_budget.{ending}"] = "\n".join(render(table) for table in both)
    return Studies(tables, details, files, curves, metrics)


def data_study(
    runs: Runs, measurements: Measurements, metrics: Sequence[Metric] | None
) -> tuple[Table, dict[str, str], dict[str, Figure]]:
    """Loss of a metric over density, size and shape: table of slopes, file of points, figure.

    Args:
        runs: Over subsamples of data.
        measurements: Of the same runs.
        metrics: What the user named, of which the first counts; None takes NDCG@10 of held-out items.

    Raises:
        ConfigError: If the runs hold no such study.
    """
    known = measurements.metrics()
    preferred = [*(metrics or ()), Metric("test", "NDCG", 10), *known]
    metric = next(one for one in preferred if one in known)
    points = losses(runs, measurements, metric)
    table = slopes_table(points, metric, measurements.keys)
    named = points.assign(subject=metric.subject, metric=metric.label)
    name = f"characteristics_{file_name(metric)}"
    figures = {name: draw_characteristics(points, metric, measurements.keys)}
    return table, {"characteristics.csv": named.to_csv(index=False)}, figures
