"""What all figures share: inks and marks that differ in grey print, names of lines and axes, legends above the axes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from recpoison.evaluation.questions import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FILLS = ("#f2f2f2", "#4c78a8", "#f0b46c", "#7db37d", "#9c6b9e", "#d8d8a0", "#8a8a8a", "#c7dbf0")
INKS = ("#000000", "#2b5c94", "#c06a1a", "#3c7d3c", "#7a4280", "#8a7a10", "#777777", "#1a9aa0")
HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo", "|||")
MARKERS = "os^Dv<>P"
DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (6, 1.5, 1, 1.5, 1, 1.5)))  # dotted is for clean values
STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.5}
RECORDED: dict[Any, Any] = {
    "svg.hashsalt": "recpoison",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}  # the same bytes each time; real letters


_SHARES = ("HR", "Precision", "Recall", "Accuracy")
_UNBOUNDED = ("MeanRank", "Coverage", "EFD", "Entropy", "LogLoss")
_SIGNED = ("RankShift", "RobustnessImprovement", "Objective")
_LABEL = 0.09  # of the axis: what the label of a tick takes
LETTER = 0.07  # inches of a letter of a label, rather more than less
_UNITS = {
    "MeanRank": "rank, 1 is the top",
    "RankShift": "places",
    "Coverage": "items",
    "EFD": "bits",
    "Entropy": "bits",
    "LogLoss": "nats",
    "PopularityKS": "0 equal, 1 apart",
    **dict.fromkeys(("OutlierAUROC", "ClusterAUROC", "PCAClusterAUROC"), "0.5 is chance"),
    "Objective": "loss, lower is stronger",
}
_WHOSE = {
    "target": "of the targets",
    "test": "of held-out items",
    "path": "as mean over steps",
    "fake": "of fake users",
    "link": "of edges",
    "node": "of nodes",
    "surrogate": "on the surrogate",
}


def line_style(number: int) -> dict[str, Any]:
    """Ink, dash and mark of a line, which tell it from others without colour too; marks are open from the ninth on."""
    style = {"color": INKS[number % 8], "linestyle": DASHES[number % 4], "marker": MARKERS[number % 8]}
    return style | ({"markerfacecolor": "white"} if number // 8 % 2 else {})


def in_natural_order(names: Iterable[str]) -> list[str]:
    """Distinct names, the numbers in them by value: ``steps 5`` before ``steps 10``."""

    def places(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]

    return sorted(dict.fromkeys(names), key=places)


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure with one pair of axes; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def new_panels(
    rows: int,
    columns: int,
    width: float = 3.4,
    height: float = 2.6,
    *,
    same_y: bool = True,
    same_x: bool = False,
) -> tuple[Figure, list[list[Axes]]]:
    """``rows`` x ``columns`` panels of that size in inches.

    With ``same_y`` those of a row share a vertical scale, with ``same_x`` all share a horizontal one.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.5, 0.5 + width * columns), height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey="row" if same_y else False, sharex=same_x)
    return figure, [list(row) for row in axes]


def titled(figure: Figure, axes: Axes, caption: str, title: str) -> None:
    """The caption goes to the page that shows the figure; the title, which says what is held fixed, into the figure."""
    figure.set_label(f"{caption} ({title})" if title else caption)
    axes.set_title(title, fontsize="medium")


def victim_parts(summary: pd.DataFrame) -> list[str]:
    """What tells victims apart: dataset, model, or both; both where there is one."""
    return [part for part in ("dataset", "model") if summary[part].nunique() > 1] or ["dataset", "model"]


def attack_parts(summary: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """What tells attacks apart: the attack, then the defense and those settings that vary."""
    return ["attack", *(key for key in ("defense", *keys) if summary[key].nunique() > 1)]


def moves_alone(rows: pd.DataFrame, key: str, others: Sequence[str]) -> bool:
    """Whether a setting has two values somewhere while ``others`` stay the same: else a line over it is points."""
    groups = rows[rows[key].notna()].groupby(list(others), dropna=False)[key]
    return bool(groups.nunique().gt(1).any())


def named(summary: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """What each row's victim and what its attack is called: parts that never vary are left out."""
    varying = victim_parts(summary)
    victims = summary[varying].agg("\n".join, axis=1)
    names = summary.attack.where(summary.attack != "none", "clean")
    if summary.defense.nunique() > 1:
        names = names + ", " + summary.defense.where(summary.defense != "none", "no defense")
    return victims, with_settings(names, summary, keys)


def with_settings(names: pd.Series, summary: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """``names`` with the values of those settings among ``keys`` that vary, such as ``pgd, projection box``."""
    for key in keys:
        short = key.rpartition(".")[2].replace("_", " ")
        marks = summary[key].map(
            lambda value, short=short: f"{short} {plain(value)}" if value == value and value is not None else ""
        )
        if marks.nunique() > 1:
            names = names + marks.map(lambda mark: f", {mark}" if mark else "")
    return names


def plain(value: Any) -> str:
    """A setting's value as a reader would write it."""
    return minus(f"{value:g}") if isinstance(value, float) else str(value)


def minus(number: str) -> str:
    """A number with a true minus sign."""
    return number.replace("-", "−")


def bar_lengths(mean: pd.Series, sd: pd.Series, metric: Metric) -> list[list[float]] | None:
    """Lengths of error bars below and above the means, cut where no value can be; None where no cell has two seeds."""
    if sd.isna().all():
        return None
    low, high = bounds(metric)
    spread = sd.fillna(0.0)
    return [spread.clip(upper=room.clip(lower=0.0)).to_list() for room in (mean - low, high - mean)]


def bounds(metric: Metric) -> tuple[float, float]:
    """The smallest and the largest value that a metric can have."""
    if metric.name in _SIGNED:
        return -math.inf, math.inf
    return (0.0, math.inf) if metric.name in _UNBOUNDED else (0.0, 1.0)


def room_for_marks(*axes: Axes, from_zero: bool = True) -> None:
    """Half a mark fits above the highest value and below the lowest, of axes that share a vertical scale.

    The scale starts at zero, or below it where values do; without ``from_zero`` where the lowest value is.
    """
    low, high = min(one.dataLim.y0 for one in axes), max(one.dataLim.y1 for one in axes)
    low = min(0.0, low) if from_zero else low
    if math.isfinite(high) and high > low:
        axes[0].set_ylim(low - 0.03 * (high - low), high + 0.06 * (high - low))


def ticks_at(axes: Axes, places: Iterable[float]) -> None:
    """Ticks at measured places alone; of such that stand closer than their labels need, some stay without one."""
    from matplotlib.ticker import NullLocator

    measured = sorted(set(places))
    at = axes.xaxis.get_transform().transform(measured)
    left, right = axes.xaxis.get_transform().transform(axes.get_xlim())
    kept = [len(measured) - 1]
    for number in range(len(measured) - 2, -1, -1):
        if at[kept[-1]] - at[number] >= _LABEL * (right - left):
            kept.append(number)
    kept.reverse()
    axes.set_xticks([measured[number] for number in kept], [plain(measured[number]) for number in kept])
    axes.xaxis.set_minor_locator(NullLocator())


def file_name(metric: Metric) -> str:
    """The metric as part of a file's name, such as ``target_hr_at_50``."""
    return f"{metric.subject}_{metric.label.replace('@', '_at_')}".lower()


def axis_label(metric: Metric) -> str:
    """The metric, whose it is, and its unit."""
    unit = _UNITS.get(metric.name, "share, 0 to 1" if metric.name in _SHARES else "0 to 1")
    return f"{metric.label} {_WHOSE.get(metric.subject, '')} ({unit})".replace("  ", " ")


def setting_label(key: str) -> str:
    """A setting as the label of an axis, with its unit where it has one."""
    unit = {"attack.budget": "share of real users", "defense.erm_users": "share of users"}.get(key)
    return key if unit is None else f"{key} ({unit})"


def legend_above(figure: Figure, *axes: Axes) -> None:
    """As many columns as the figure's width takes; the figure grows by what the rows need. Each label stands once.

    A label that is wider than the figure widens it.
    """
    found: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    width, height = figure.get_size_inches()
    widest = 0.6 + LETTER * max(map(len, found))
    columns = max(1, min(len(found), int(width / widest)))
    width = max(width, widest)
    figure.set_size_inches(width, height + 0.2 * math.ceil(len(found) / columns))
    figure.legend(list(found.values()), list(found), loc="outside upper center", ncols=columns, frameon=False)
