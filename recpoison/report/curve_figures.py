"""Figures of curves: a metric over epochs, steps, epsilon or flips, and over the length of the shift really used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
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
    bounds,
    file_name,
    legend_above,
    line_style,
    new_panels,
    room_for_marks,
    ticks_at,
    with_settings,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_JUDGED = ("evaluation.edges", "evaluation.perturbed")
_ROW_L2 = "row L2 used (length of the longest row's shift)"


def draw_curves(curves: Curves, metrics: Sequence[Metric] | None = None) -> dict[str, Figure]:
    """The curves over epochs, steps, epsilon and flips, by a name that suits a file.

    For attacks on embeddings also the same numbers over the row L2 they used, which compares them at equal budget: the
    first of ``metrics`` alone, as it is the second view of the same points, and only where the lengths differ.

    Args:
        curves: What to draw.
        metrics: Only these; the usual ones where None.
    """
    import matplotlib

    drawn: dict[str, Figure] = {}
    with matplotlib.rc_context({**STYLE, **RECORDED}):
        for along in curves.along():
            if along == "iterations":
                continue
            known = curves.metrics(along)
            chosen = curves.usual(along) if metrics is None else [metric for metric in metrics if metric in known]
            for metric in chosen:
                draw = over_flips if along == "flips" else partial(over_place, along=along)
                drawn[f"{file_name(metric)}_over_{along}"] = draw(curves, metric=metric)
            if along in ("steps", "epsilon") and chosen and _lengths_differ(curves, along, chosen[0]):
                beside = "" if along == "epsilon" else "_over_steps"
                drawn[f"equal_budget_{file_name(chosen[0])}{beside}"] = over_budget(curves, along, chosen[0])
    return drawn


def over_place(curves: Curves, along: str, metric: Metric) -> Figure:
    """The metric over ``along``: a line a cell, its mean over seeds in a band of one standard deviation.

    Over epochs a panel for each dataset, with all models and defenses in it; over steps and epsilon a panel for each
    victim and defense, with all attacks in it and the clean value as a dotted line; random order is a dashed one,
    where a run with ``model=random`` on the same dataset is among the runs. An attack that takes no steps (one
    point beside curves) is a level line.
    """
    summary = curves.over_seeds(along, metric)
    if along == "epochs":
        return _drawn(summary, metric, "at", ["dataset"], [], ("model", "attack", "defense"), curves.keys, along)
    if along == "steps":
        summary = pd.concat([curves.without_steps(metric), summary], ignore_index=True)
    return _drawn(summary, metric, "at", ["dataset", "model"], ["defense"], ("attack",), curves.keys, along)


def over_flips(curves: Curves, metric: Metric) -> Figure:
    """The metric over the number of flipped edges: a line an attack, panels across for victims.

    Training and unseen edges are rows of panels with a scale of their own. Where flipped edges were judged once with
    and once without, a panel an attack with a line for each (meta-gradient report, figures 4.1 to 4.4).
    """
    summary, keys = curves.over_seeds("flips", metric), curves.keys
    own = [key for key in keys if key.partition(".")[0] in ("attack", "surrogate")]
    others = [key for key in keys if key not in (*own, *_JUDGED)]
    settings = with_settings(pd.Series("", summary.index), summary, others).str.removeprefix(", ")
    victims = summary.dataset + ", " + summary.model + settings.map(lambda text: "\n" * bool(text) + fill(text, 42))
    attacked = with_settings(summary.attack, summary, own)
    summary = summary.assign(clean_mean=np.nan, victim=victims, attacked=attacked)
    edges, perturbed = (key if key in keys and summary[key].nunique() > 1 else None for key in _JUDGED)
    down = []
    if edges:
        summary, down = summary.assign(edges=summary[edges].astype(str) + " edges"), ["edges"]
    if not perturbed:
        return _drawn(summary, metric, "at", down, ["victim"], ("attacked", "defense"), [], "flips")
    summary = summary.assign(judged="flipped edges " + summary[perturbed].astype(str))
    return _drawn(summary, metric, "at", [*down, "victim"], ["attacked"], ("judged", "defense"), [], "flips")


def over_budget(curves: Curves, along: str, metric: Metric) -> Figure:
    """The metric over the row L2 used, on a logarithmic axis; panels as in ``over_place``."""
    summary = _moved(curves, along, metric)
    return _drawn(summary, metric, "row_l2", ["dataset", "model"], ["defense"], ("attack",), curves.keys, along)


def _moved(curves: Curves, along: str, metric: Metric) -> pd.DataFrame:
    """Points whose tables were shifted; a row held at its bound is as long at each of them, but for rounding."""
    summary = curves.over_seeds(along, metric)
    summary = summary[summary.row_l2 > 0]
    return summary.assign(row_l2=[float(f"{length:.4g}") for length in summary.row_l2])


def _lengths_differ(curves: Curves, along: str, metric: Metric) -> bool:
    return _moved(curves, along, metric).row_l2.nunique() > 1


def _drawn(
    summary: pd.DataFrame,
    metric: Metric,
    x: str,
    down: list[str],
    across: list[str],
    parts: Sequence[str],
    keys: Sequence[str],
    along: str,
) -> Figure:
    """Panels for the values of ``down`` and ``across``; lines for ``parts`` and settings ``keys`` that vary."""
    names = _line_names(summary, parts, keys)
    styles = {name: line_style(number) for number, name in enumerate(dict.fromkeys(names))}
    rows = list(summary[down].drop_duplicates().itertuples(index=False, name=None))
    columns = list(summary[across].drop_duplicates().itertuples(index=False, name=None)) if across else [()]
    columns.sort(key=lambda values: values != ("none",))
    if not across:  # nothing to tell apart from left to right: datasets stand beside each other
        rows, columns, down, across = [()], rows, [], down
    figure, grid = new_panels(len(rows), len(columns), same_x=bool(across))
    for row, line in zip(rows, grid, strict=True):
        for column, axes in zip(columns, line, strict=True):
            inside = np.ones(len(summary), bool)
            for key, value in zip([*down, *across], [*row, *column], strict=True):
                inside &= (summary[key] == value).to_numpy()
            _lines(axes, summary[inside], names[inside], styles, x, bounds(metric))
            axes.set_title(_panel_title([*down, *across], [*row, *column]), fontsize="medium")
            _scale_x(axes, summary, x, along)
        line[0].set_ylabel(axis_label(metric).replace(" (", "\n("))
        low, high = (bound(one.dataLim.intervaly[end] for one in line) for end, bound in enumerate((min, max)))
        room_for_marks(*line, from_zero=low < high / 2)  # unless all curves stay in the upper half
    for axes in grid[-1]:
        axes.set_xlabel(_x_label(summary, x, along))
    over = "row L2 used" if x == "row_l2" else along
    figure.set_label(f"{metric.title} over {over}; bands: one standard deviation over seeds")
    legend_above(figure, *(axes for line in grid for axes in line))
    return figure


def _line_names(summary: pd.DataFrame, parts: Sequence[str], keys: Sequence[str]) -> pd.Series:
    """The values of ``parts`` that vary (the first where none does), and of settings."""
    varying = [part for part in parts if summary[part].nunique() > 1] or [parts[0]]
    none = {"attack": "clean", "defense": "no defense"}
    words = [summary[part].where(summary[part] != "none", none.get(part, "none")) for part in varying]
    names = words[0].str.cat(words[1:], sep=", ") if len(words) > 1 else words[0]
    return with_settings(names, summary, keys)


def _lines(
    axes: Axes,
    summary: pd.DataFrame,
    names: pd.Series,
    styles: dict[str, dict[str, Any]],
    x: str,
    limits: tuple[float, float],
) -> None:
    """A line for each name, in a band of one deviation that stays within the limits of the metric."""
    longest = int(names.value_counts().max()) if len(names) else 0
    for number, name in enumerate(dict.fromkeys(names)):
        line = summary[(names == name).to_numpy()].sort_values([x, "at"])
        place, mean = line[x].to_numpy(float), line["mean"].to_numpy(float)
        spread = line.sd.fillna(0.0).to_numpy(float)
        style = styles[name]
        if len(line) == 1 and longest > 1 and x == "at":
            place = np.linspace(summary[x].min(), summary[x].max(), 8 * longest)
            mean, spread = np.repeat(mean, len(place)), np.repeat(spread, len(place))
        every = max(1, len(place) // 8)
        axes.plot(place, mean, label=name, markersize=4.5, linewidth=1.3, markevery=(number % every, every), **style)
        if spread.any():
            low, high = (np.clip(edge, *limits) for edge in (mean - spread, mean + spread))
            axes.fill_between(place, low, high, color=style["color"], alpha=0.15, linewidth=0)
    for value in summary.clean_mean.dropna().round(9).unique():
        axes.axhline(value, color="#555555", linestyle=(0, (1, 2)), linewidth=1.2, label="clean")
    for value in summary.random_mean.dropna().unique():
        axes.axhline(value, color="#7a4280", linestyle=(0, (3, 3)), linewidth=1.0, label="random order")


def _x_label(summary: pd.DataFrame, x: str, along: str) -> str:
    """Epsilon bounds a row's length for most attacks; for others it bounds numbers, and rows are longer than it."""
    if x == "row_l2":
        return _ROW_L2
    longer = along == "epsilon" and (summary.row_l2 > summary["at"] * (1 + 1e-4)).any()
    return "epsilon (in each attack's own norm)" if longer else ALONG[along]


def _panel_title(keys: Iterable[str], values: Iterable[str]) -> str:
    words = zip(keys, values, strict=True)
    return ", ".join("no defense" if key == "defense" and value == "none" else str(value) for key, value in words)


def _scale_x(axes: Axes, summary: pd.DataFrame, x: str, along: str) -> None:
    """Logarithmic for sizes of shifts, with a linear stretch to zero where zero is among them; whole numbers else.

    Ticks stand at the epsilons that were measured.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if x == "at" and along != "epsilon":
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        return
    places = np.sort(summary[x].unique())
    smallest, largest = places[places > 0].min(initial=1.0), places.max()
    if places[0] > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if largest > 50 * smallest else (1.0, 2.0, 5.0)))
    else:
        axes.set_xscale("symlog", linthresh=smallest)
        axes.set_xlim(-0.2 * smallest, 1.4 * largest)
    if x == "at":
        ticks_at(axes, places)
        return
    axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
