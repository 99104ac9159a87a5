"""Figures over many runs: bars with spread, a heat map of attack by victim, curves over a number."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from recpoison.evaluation.questions import Metric
from recpoison.report.curves import FLIPS
from recpoison.report.drawing import (
    FILLS,
    HATCHES,
    LETTER,
    RECORDED,
    STYLE,
    attack_parts,
    axis_label,
    bar_lengths,
    file_name,
    legend_above,
    line_style,
    minus,
    named,
    new_figure,
    room_for_marks,
    setting_label,
    ticks_at,
    titled,
    victim_parts,
)
from recpoison.report.measurements import Measurements
from recpoison.report.runs import LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_all(measurements: Measurements, metrics: Sequence[Metric]) -> dict[str, Figure]:
    """Every figure the runs have numbers for, by a name that suits a file.

    A numeric setting that varies gets a curve; bars and heat map then stand at its largest value, as their title says.
    """
    import matplotlib

    drawn: dict[str, Figure] = {}
    with matplotlib.rc_context({**STYLE, **RECORDED}):
        for metric in metrics:
            summary = measurements.summary([metric])
            name = file_name(metric)
            curves = _apart(summary, [key for key in measurements.keys if is_numeric(summary[key])])
            one, place = at_largest(measurements.with_undefined(summary), curves)
            others = [key for key in measurements.keys if key not in curves]
            drawn[f"bars_{name}"] = bars(one, metric, others, place)
            attacked = one[one.attack != "none"]
            compared = attacked[attacked.difference.notna()]
            if compared.attack.nunique() > 1 and len(compared[["dataset", "model"]].drop_duplicates()) > 1:
                drawn[f"heat_map_{name}"] = heat_map(one, metric, others, place)
            for key in (key for key in curves if key != FLIPS[0]):  # a curve that begins with the clean cell
                at, place = at_largest(summary, [other for other in curves if other != key])
                drawn[f"curve_{name}_over_{key.replace('.', '_')}"] = curve(at, metric, key, others, place)
    return drawn


def as_files(figures: Mapping[str, Figure]) -> dict[str, bytes]:
    """Each figure as PNG (200 dots an inch) and PDF, by the name of its file."""
    return {f"{name}.{form}": as_bytes(figure, form) for name, figure in figures.items() for form in ("png", "pdf")}


def as_bytes(figure: Figure, form: str) -> bytes:
    """The figure as ``png``, ``pdf`` or ``svg``, without a date, so that equal numbers give equal bytes."""
    import matplotlib

    stamp = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[form]
    content = io.BytesIO()
    with matplotlib.rc_context(RECORDED):
        figure.savefig(content, format=form, dpi=200, metadata=stamp)
    return content.getvalue()


def bars(summary: pd.DataFrame, metric: Metric, keys: Sequence[str] = (), title: str = "") -> Figure:
    """One group a victim, one bar a cell (clean first), error bars of one standard deviation over seeds.

    Where a cell is not defined, as ``Measurements.with_undefined`` tells, "n/a" stands for its bar.
    """
    summary = _once_each(summary, keys)
    victims, names = named(summary, keys)
    series, groups = _clean_first(names), list(dict.fromkeys(victims))
    figure, axes = new_figure(min(12.0, max(4.5, 1.5 + 0.4 * len(series) * len(groups))), 3.2)
    width = 0.8 / len(series)
    for number, name in enumerate(series):
        chosen = summary[(names == name).to_numpy()]
        places = victims[names == name].map(lambda victim: groups.index(victim))
        at = places + (number - (len(series) - 1) / 2) * width
        for place in at[chosen.undefined]:
            axes.text(place, 0, " n/a", rotation=90, ha="center", va="bottom", fontsize="small")
        axes.bar(
            at,
            chosen["mean"],
            width * 0.92,
            yerr=bar_lengths(chosen["mean"], chosen.sd, metric),
            label=name,
            color=FILLS[number % 8],
            hatch=HATCHES[(number + number // 8) % 8],
            edgecolor="black",
            linewidth=0.7,
            capsize=2.5,
            error_kw={"linewidth": 0.9},
        )
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(axis_label(metric))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if summary.undefined.any():
        axes.set_xlim(-0.5, len(groups) - 0.5)
    titled(figure, axes, f"{metric.title}, clean and after each attack", title)
    legend_above(figure, axes)
    return figure


def heat_map(summary: pd.DataFrame, metric: Metric, keys: Sequence[str] = (), title: str = "") -> Figure:
    """Attacks down, victims across, the change against the clean cell in each square, printed as well as shaded.

    The shades are those of two inks with white between: a rise and a fall of one size are equally dark. A square whose
    cell is not defined says "n/a", and one that nobody ran "not run".
    """
    attacked = _once_each(summary[summary.attack != "none"], keys)
    victims, names = named(attacked, keys)
    down, across = list(dict.fromkeys(names)), list(dict.fromkeys(victims))
    side = (", ".join(attack_parts(attacked, keys)), ", ".join(victim_parts(attacked)))
    beside = max(2.2, 1.6 + LETTER * max(map(len, down), default=0))
    figure, axes = new_figure(beside + 1.15 * len(across), 1.4 + 0.42 * len(down))
    squares = list(zip(names, victims, strict=True))
    pairs = dict(zip(squares, attacked.difference, strict=True))
    undefined = {square for square, left_out in zip(squares, attacked.undefined, strict=True) if left_out}
    grid = [[pairs.get((name, victim), math.nan) for victim in across] for name in down]
    titled(figure, axes, f"Change of {metric.title} by {side[0]} and {side[1]}", title)
    largest = max((abs(x) for row in grid for x in row if math.isfinite(x)), default=1.0) or 1.0
    image = axes.imshow(grid, "RdBu_r", aspect="auto", vmin=-largest, vmax=largest)
    decimals = 1 if largest >= 10 else 3 if largest >= 0.1 else 4
    for r, row in enumerate(grid):
        for c, x in enumerate(row):
            gap = "n/a" if (down[r], across[c]) in undefined else "not run"
            text = minus(f"{x:+.{decimals}f}") if math.isfinite(x) else gap
            axes.text(c, r, text, ha="center", va="center", color="white" if abs(x) > 0.6 * largest else "black")
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    axes.tick_params(length=0)
    axes.set_xlabel(side[1])
    axes.set_ylabel(side[0])
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, label=f"change of {metric.title}")
    bar.outline.set_linewidth(0.5)
    return figure


def _once_each(summary: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """``summary`` with a column ``undefined``, which no cell with a number is; left-out jobs of one cell stand once."""
    if "undefined" not in summary:
        return summary.assign(undefined=False)
    measured = summary[~summary.undefined]
    left_out = summary[summary.undefined].drop_duplicates([*LABELS, *keys])
    both = pd.concat([measured, left_out]).reset_index(drop=True)
    return both[~both.duplicated([*LABELS, *keys]) | ~both.undefined]


def curve(summary: pd.DataFrame, metric: Metric, key: str, keys: Sequence[str] = (), title: str = "") -> Figure:
    """The metric over a numeric setting: a line an attack (and victim, and defense), error bars of one sd."""
    attacked = summary[(summary.attack != "none") & summary[key].notna()].copy()
    attacked[key] = attacked[key].astype(float)
    victims, names = named(attacked, keys)
    lines = names if victims.nunique() == 1 else victims.str.replace("\n", ", ") + ": " + names
    figure, axes = new_figure(5.2, 3.2)
    for number, name in enumerate(dict.fromkeys(lines)):
        line = attacked[(lines == name).to_numpy()].sort_values(key)
        style = {"label": name, "capsize": 2.5, "markersize": 5, **line_style(number)}
        axes.errorbar(line[key], line["mean"], yerr=bar_lengths(line["mean"], line.sd, metric), **style)
    _scale(axes, attacked[key])
    axes.set_xlabel(setting_label(key))
    axes.set_ylabel(axis_label(metric))
    room_for_marks(axes)
    titled(figure, axes, f"{metric.title} over {key}", title)
    legend_above(figure, axes)
    return figure


def _scale(axes: Axes, places: pd.Series) -> None:
    """Logarithmic where the values of a setting span a factor of ten; ticks at the values."""
    if places.min() > 0 and places.max() >= 10 * places.min():
        axes.set_xscale("log")
    ticks_at(axes, places)


def is_numeric(values: pd.Series) -> bool:
    """Whether a setting has numbers, and nothing else where it has a value."""
    return values.notna().any() and all(pd.api.types.is_number(value) for value in values.dropna())


def _apart(summary: pd.DataFrame, keys: list[str]) -> list[str]:
    """``keys``, or none where they move together: no cell is at the largest of each, and they are part of its name."""
    largest, _ = at_largest(summary, keys)
    return keys if largest[keys].notna().any().all() else []


def at_largest(summary: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Cells at the largest value of each of ``keys`` (and those that have none), and a title that says so."""
    largest = {key: summary[key].dropna().astype(float).max() for key in keys}
    for key, value in largest.items():
        numbers = summary[key].astype(float)
        summary = summary[numbers.isna() | (numbers == value)]
    return summary, ", ".join(f"{key} = {value:g}" for key, value in largest.items())


def _clean_first(names: pd.Series) -> list[str]:
    distinct = list(dict.fromkeys(names))
    return sorted(distinct, key=lambda name: (not name.startswith("clean"), distinct.index(name)))
