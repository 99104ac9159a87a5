"""Figures of a learned injection attack on its surrogate: over iterations, and over a setting (figures 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recpoison.evaluation.questions import Metric
from recpoison.report.curves import ALONG, Curves
from recpoison.report.drawing import (
    RECORDED,
    STYLE,
    axis_label,
    bar_lengths,
    bounds,
    in_natural_order,
    legend_above,
    line_style,
    moves_alone,
    new_panels,
    plain,
    room_for_marks,
    with_settings,
)
from recpoison.report.runs import LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OBJECTIVE = Metric("surrogate", "Objective")
_RED = "#b2182b"


def draw_surrogate(curves: Curves) -> dict[str, Figure]:
    """What learned attacks saw on their surrogates, by a name that suits a file; nothing where there are none.

    Over iterations a panel for each metric (Tang et al. 2020, figure 3). For each numeric setting of the attack that
    varies, the hit ratio as bars and the objective as a line at the best iteration (figure 4).
    """
    import matplotlib

    drawn: dict[str, Figure] = {}
    if "iterations" not in curves.along():
        return drawn
    with matplotlib.rc_context({**STYLE, **RECORDED}):
        drawn["surrogate_over_iterations"] = over_iterations(curves)
        reached = best_iterations(curves)
        for key in curves.keys:
            numbers = reached[key].dropna()
            others = [*LABELS, *(other for other in curves.keys if other != key)]
            is_number = all(map(pd.api.types.is_number, numbers))
            if key.startswith("attack.") and is_number and moves_alone(reached, key, others):
                drawn[f"surrogate_over_{key.replace('.', '_')}"] = over_setting(reached, key, curves.keys)
    return drawn


def over_iterations(curves: Curves) -> Figure:
    """The adversarial objective and the hit ratio over the iterations of the attack."""
    metrics = sorted(curves.metrics("iterations"), key=lambda metric: metric != OBJECTIVE)
    lines = {metric: _lines(curves.over_seeds("iterations", metric), curves.keys) for metric in metrics}
    labels = _labels(list(lines.values()))
    figure, grid = new_panels(1, len(metrics), same_y=False)
    for metric, axes in zip(metrics, grid[0], strict=True):
        for number, (name, label) in enumerate(labels.items()):
            if name not in lines[metric]:
                continue
            line = lines[metric][name]
            mean, spread = line["mean"].to_numpy(float), line.sd.fillna(0.0).to_numpy(float)
            style, every = line_style(number), max(1, len(line) // 8)
            marks: dict[str, Any] = {"markersize": 4.5, "markevery": (number % every, every)}
            axes.plot(line["at"], mean, label=label, linewidth=1.3, **marks, **style)
            if spread.any():
                low, high = (np.clip(edge, *bounds(metric)) for edge in (mean - spread, mean + spread))
                axes.fill_between(line["at"], low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.set_xlabel(ALONG["iterations"])
        axes.set_ylabel(_label(metric))
        if metric != OBJECTIVE:
            room_for_marks(axes)
    figure.set_label(
        "What the attack saw on its surrogate over its iterations; bands: one standard deviation over seeds"
    )
    legend_above(figure, *grid[0])
    return figure


def _lines(summary: pd.DataFrame, keys: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The points of each cell by its name, in natural order."""
    names = _names(summary, keys)
    return {name: summary[(names == name).to_numpy()].sort_values("at") for name in in_natural_order(names)}


def _labels(metrics: Sequence[dict[str, pd.DataFrame]]) -> dict[str, str]:
    """What is drawn, and its label: of cells that share one crafting, alike in every metric, the first one."""
    alike: dict[bytes, list[str]] = {}
    for name in dict.fromkeys(name for lines in metrics for name in lines):
        known = [
            (n, lines[name]) for n, lines in enumerate(metrics) if name in lines
        ]  # attacks differ in what they see
        points = b"".join(b"%d" % n + line[["at", "mean", "sd"]].to_numpy(float).tobytes() for n, line in known)
        alike.setdefault(points, []).append(name)
    return {
        first: f"{first} (and {len(more)} more: one crafting)" if more else first for first, *more in alike.values()
    }


def best_iterations(curves: Curves) -> pd.DataFrame:
    """Each cell and seed at the iteration whose fake users are returned: ``hits``, ``objective``, ``k``, ``at``.

    That is the one of the highest hit ratio, the lowest for an attack that demotes; of several, the lowest objective.
    """
    rows = curves.frame[curves.frame.along == "iterations"]
    cell = [*LABELS, *curves.keys, "seed"]
    hits = rows[rows.metric == "HR"].rename(columns={"value": "hits"})
    objective = rows[rows.metric == OBJECTIVE.name].rename(columns={"value": "objective"})
    both = hits[[*cell, "at", "k", "effect", "hits"]].merge(objective[[*cell, "at", "objective"]], on=[*cell, "at"])
    order = both.assign(rank=-both.effect * both.hits).sort_values(["rank", "objective", "at"], kind="stable")
    return order.drop_duplicates(cell).sort_index().reset_index(drop=True)


def over_setting(reached: pd.DataFrame, key: str, keys: Sequence[str]) -> Figure:
    """The hit ratio as bars on the left axis, the objective as a red line on the right; a panel for each attack.

    Args:
        reached: Cells and seeds as from ``best_iterations``.
        key: The numeric setting from left to right.
        keys: Settings that tell cells apart; those but ``key`` make panels of their own.
    """
    reached = reached[reached[key].notna()]
    names = _names(reached, [other for other in keys if other != key])
    panels = list(dict.fromkeys(names))
    figure, grid = new_panels(1, len(panels), width=max(3.6, 1.6 + 0.3 * reached[key].nunique()), same_y=False)
    right = [_bars_and_line(axes, reached[names == name], key) for axes, name in zip(grid[0], panels, strict=True)]
    for axes, name in zip(grid[0], panels, strict=True):
        axes.set_title(fill(name, 36), fontsize="medium")
    figure.set_label(f"Hit ratio and adversarial objective on the surrogate at the best iteration, over {key}")
    legend_above(figure, grid[0][0], right[0])
    return figure


def _bars_and_line(axes: Axes, reached: pd.DataFrame, key: str) -> Axes:
    """Means and deviations over seeds; returns the right axis."""
    groups = reached.assign(**{key: reached[key].astype(float)}).groupby(key, sort=True)
    hits, objective = groups.hits.agg(["mean", "std"]), groups.objective.agg(["mean", "std"])
    at = np.arange(len(hits))
    style: dict[str, Any] = {"color": "#9ec3e6", "edgecolor": "black", "linewidth": 0.7, "capsize": 2.5}
    metric = Metric("surrogate", "HR", int(reached.k.iloc[0]))
    axes.bar(
        at,
        hits["mean"],
        0.7,
        yerr=bar_lengths(hits["mean"], hits["std"], metric),
        label=f"{metric.label} of the targets (left)",
        **style,
    )
    axes.set_xticks(at, [plain(value) for value in hits.index])
    axes.set_xlabel(key)
    axes.set_ylabel(_label(metric))
    right = axes.twinx()
    right.spines["right"].set_visible(True)
    line: dict[str, Any] = {"color": _RED, "marker": "o", "markersize": 4.5, "linewidth": 1.3, "capsize": 2.5}
    spread = bar_lengths(objective["mean"], objective["std"], OBJECTIVE)
    right.errorbar(at, objective["mean"], yerr=spread, label="adversarial objective (right)", **line)
    right.set_ylabel(_label(OBJECTIVE), color=_RED)
    right.tick_params(axis="y", colors=_RED)
    return right


def _names(rows: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Dataset where it varies, attack, and settings that vary."""
    names = rows.dataset + ", " + rows.attack if rows.dataset.nunique() > 1 else rows.attack
    return with_settings(names, rows, keys)


def _label(metric: Metric) -> str:
    return axis_label(metric).replace("HR@", "target HR@").replace(" (", "\n(")
