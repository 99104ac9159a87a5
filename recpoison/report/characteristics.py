"""How an attack's effect depends on the data: loss over density, size and shape of subsamples (MSAP, figure 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recpoison.errors import ConfigError
from recpoison.evaluation.questions import Metric
from recpoison.report.drawing import RECORDED, STYLE, legend_above, line_style, new_panels, with_settings
from recpoison.report.measurements import Measurements
from recpoison.report.runs import LABELS, Run, Runs, shown_path
from recpoison.report.tables import Entry, Table, as_text, in_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHARACTERISTICS = {  # the label of its axis, what its slope is per, and how much that is
    "density": ("density (share of all user-item pairs)", "per 1 of density", 1.0),
    "size": ("size (users × items, in millions)", "per million pairs", 1e6),
    "shape": ("shape (users / items)", "per 1 of shape", 1.0),
}
_FEWEST = 3  # a line through two points fits whatever they are


@dataclass(frozen=True)
class Line:
    """A least-squares line: ``slope * x + intercept``, with ``r`` the correlation over ``n`` points."""

    slope: float
    intercept: float
    r: float
    n: int


def fit_line(x: np.ndarray, y: np.ndarray) -> Line:
    """The line of least squared error in ``y``; ``x`` must not be all the same."""
    from_mean, height = x - x.mean(), y - y.mean()
    slope = float(from_mean @ height / (from_mean @ from_mean))
    spread = float(np.sqrt((from_mean @ from_mean) * (height @ height)))
    r = float(from_mean @ height) / spread if spread else float("nan")
    return Line(slope, float(y.mean() - slope * x.mean()), r, len(x))


def losses(runs: Runs, measurements: Measurements, metric: Metric) -> pd.DataFrame:
    """One row a cell and subsample: ``rho`` = 100 (clean - attacked) / clean, ``sd`` and ``n`` over seeds, the data.

    Density, size and shape are those of the training rows, from the run's ``run.json``.

    Raises:
        ConfigError: If a run does not say how large its data are, or no attack ran on three different subsamples.
    """
    frame = measurements.frame
    same_k = frame.k.isna() if metric.k is None else (frame.k == metric.k).fillna(False)
    chosen = (frame.subject == metric.subject) & (frame.metric == metric.name) & same_k & (frame.attack != "none")
    rows = frame[chosen.astype(bool) & frame.clean.notna() & (frame.clean != 0)]
    facts = pd.DataFrame([_facts(runs.runs[run], seed) for run, seed in zip(rows.run, rows.seed, strict=True)])
    if rows.empty or len(facts.drop_duplicates(["users", "items"])) < _FEWEST:
        raise ConfigError(
            f"--characteristics needs attacks on at least {_FEWEST} subsamples with other numbers of users or items: "
            "sweep dataset.filters.k_core, such as 10,20,30"
        )
    rows = rows.reset_index(drop=True).join(facts)
    rows["rho"] = 100 * (rows.clean - rows.value) / rows.clean
    by = [*LABELS, *measurements.keys]
    groups = rows.groupby(by, sort=False, dropna=False)
    means = groups[[*facts.columns]].mean()
    return means.assign(rho=groups.rho.mean(), sd=groups.rho.std(), n=groups.rho.count()).reset_index()


def slopes_table(points: pd.DataFrame, metric: Metric, keys: Sequence[str]) -> Table:
    """Slope of the fitted line (and its correlation) of each attack and defense over each characteristic."""
    names = _line_keys(points, keys)
    groups = [(named, group) for named, group in in_order(points, names) if _many(group)]
    entries = []
    for _, group in groups:
        lines = [_fitted(group, name) for name in CHARACTERISTICS]
        entries.append(
            tuple(Entry(x, n=lines[0].n) for x in [*(one.slope for one in lines), *(one.r for one in lines)])
        )
    columns = [(f"slope {per}", name) for name, (_, per, _) in CHARACTERISTICS.items()]
    columns += [("correlation", name) for name in CHARACTERISTICS]
    shown = tuple(tuple(as_text(value) for value in named) for named, _ in groups)
    notes = (
        f"loss: 100 (clean - attacked) / clean of {metric.title}, mean over seeds; slope of the least-squares line "
        "over subsamples, in points of loss; n: subsamples",
    )
    title = f"Loss of {metric.title} over characteristics of the data"
    return Table(title, tuple(names), shown, tuple(columns), tuple(entries), notes)


def draw_characteristics(points: pd.DataFrame, metric: Metric, keys: Sequence[str]) -> Figure:
    """A panel for each characteristic, a row of panels for each victim and defense: points, and their fitted lines."""
    import matplotlib

    with matplotlib.rc_context({**STYLE, **RECORDED}):
        across = _line_keys(points, keys)
        names = with_settings(points.attack, points, [key for key in across if key not in LABELS])
        styles = {name: line_style(number) for number, name in enumerate(dict.fromkeys(names))}
        victims = list(points[["dataset", "model", "defense"]].drop_duplicates().itertuples(index=False, name=None))
        victims.sort(key=lambda victim: victim[2] != "none")
        figure, grid = new_panels(len(victims), len(CHARACTERISTICS), width=3.0, height=2.7)
        for (dataset, model, defense), line in zip(victims, grid, strict=True):
            inside = (points.dataset == dataset) & (points.model == model) & (points.defense == defense)
            for name, axes in zip(CHARACTERISTICS, line, strict=True):
                _panel(axes, points[inside], names[inside], name, styles)
            defended = "no defense" if defense == "none" else defense
            line[0].set_ylabel(f"{dataset}, {model}, {defended}\nloss of {metric.label} (% of clean)")
        for (label, _, _), axes in zip(CHARACTERISTICS.values(), grid[-1], strict=True):
            axes.set_xlabel(label)
        figure.set_label(f"Loss of {metric.title} over density, size and shape, with least-squares lines")
        legend_above(figure, *grid[0])
    return figure


def _panel(axes: Axes, points: pd.DataFrame, names: pd.Series, over: str, styles: dict[str, dict[str, Any]]) -> None:
    slopes = []
    for name in dict.fromkeys(names):
        group, style = points[(names == name).to_numpy()].sort_values(over), styles[name]
        x, y = _place(group, over), group.rho.to_numpy(float)
        dots = {"marker": style["marker"], "color": style["color"], "linestyle": "none", "markersize": 4.5}
        axes.errorbar(x, y, yerr=None if group.sd.isna().all() else group.sd.fillna(0.0), label=name, capsize=2, **dots)
        if _many(group):
            line = _fitted(group, over)
            ends = np.array([x.min(), x.max()])
            plain = {key: value for key, value in style.items() if key != "marker"}
            axes.plot(ends, line.slope * ends + line.intercept, linewidth=1.1, **plain)
            slopes.append(f"{name} {line.slope:.3g}")
    rows = [", ".join(slopes[start : start + 2]) for start in range(0, len(slopes), 2)]
    axes.set_title("slopes: " + ",\n".join(rows) if rows else "", fontsize="small")


def _line_keys(points: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """What tells lines apart; settings of the dataset make its subsamples, the points of a line."""
    settings = [key for key in keys if not key.startswith("dataset.")]
    ordered = ("dataset", "model", "defense", "attack", *settings)
    return [key for key in ordered if key in ("defense", "attack") or points[key].nunique(dropna=False) > 1]


def _place(group: pd.DataFrame, name: str) -> np.ndarray:
    return group[name].to_numpy(float) / CHARACTERISTICS[name][2]


def _fitted(group: pd.DataFrame, name: str) -> Line:
    return fit_line(_place(group, name), group.rho.to_numpy(float))


def _many(group: pd.DataFrame) -> bool:
    return all(group[name].nunique() >= _FEWEST for name in CHARACTERISTICS)


def _facts(run: Run, seed: int) -> dict[str, float]:
    data = run.about.get("data", {}).get(str(seed), {})
    try:
        users, items, rows = (float(data[name]) for name in ("users", "items", "train_rows"))
    except (KeyError, TypeError, ValueError):
        raise ConfigError(
            f"{shown_path(run.folder)}/run.json does not say users, items and train_rows of seed {seed}: run it again"
        ) from None
    sizes = {"users": users, "items": items, "train_rows": rows}
    return sizes | {"density": rows / (users * items), "size": users * items, "shape": users / items}
