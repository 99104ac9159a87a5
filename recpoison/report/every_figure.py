"""All figures of runs but those of their curves: what ``recpoison-report`` and the Python API draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recpoison.evaluation.questions import Metric
from recpoison.report.fake_users import draw_fake_users
from recpoison.report.figures import draw_all
from recpoison.report.measurements import Measurements
from recpoison.report.rank_shift_figure import draw_rank_shifts
from recpoison.report.robustness_figures import draw_robustness
from recpoison.report.runs import Runs
from recpoison.report.user_map_figure import draw_user_maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_every(runs: Runs, measurements: Measurements, metrics: Sequence[Metric]) -> dict[str, Figure]:
    """Each figure that the runs have numbers or arrays for, by a name that suits a file.

    Raises:
        BrokenArrays: If arrays of a run are broken.
    """
    of_arrays = draw_rank_shifts(runs, measurements)  # first: they may be broken
    of_arrays |= draw_fake_users(runs, measurements) | draw_user_maps(runs, measurements)
    return draw_all(measurements, metrics) | draw_robustness(measurements) | of_arrays
