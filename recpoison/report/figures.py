"""Figures over many runs: bars with spread, a heat map of attack by victim, curves over a number."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from recpoison.errors import OutputError
from recpoison.report.measurements import Measurements, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILLS = ("#f2f2f2", "#4c78a8", "#f0b46c", "#7db37d", "#9c6b9e", "#d8d8a0", "#8a8a8a", "#c7dbf0")
_INKS = ("#000000", "#2b5c94", "#c06a1a", "#3c7d3c", "#7a4280", "#8a7a10", "#777777", "#1a9aa0")
_HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "ooo", "|||")
_MARKERS = "os^Dv<>P"
_DASHES = ("-", "--", "-.", ":")
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.5}
_RECORDED: dict[Any, Any] = {
    "svg.hashsalt": "recpoison",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}  # the same bytes each time; real letters


def draw_all(measurements: Measurements, metrics: Sequence[Metric]) -> dict[str, Figure]:
    """Every figure the runs have numbers for, by a name that suits a file.

    A numeric setting that varies gets a curve; bars and heat map then stand at its largest value, as their title says.
    """
    import matplotlib

    drawn: dict[str, Figure] = {}
    with matplotlib.rc_context({**_STYLE, **_RECORDED}):
        for metric in metrics:
            summary = measurements.summary([metric])
            name = f"{metric.subject}_{metric.label.replace('@', '_at_')}".lower()
            curves = [key for key in measurements.keys if _is_numeric(summary[key])]
            one, place = _at_largest(summary, curves)
            others = [key for key in measurements.keys if key not in curves]
            drawn[f"bars_{name}"] = bars(one, metric, others, place)
            attacked = one[one.attack != "none"]
            if attacked.attack.nunique() > 1 and len(attacked[["dataset", "model"]].drop_duplicates()) > 1:
                drawn[f"heat_map_{name}"] = heat_map(one, metric, others, place)
            for key in curves:
                at, place = _at_largest(summary, [other for other in curves if other != key])
                drawn[f"curve_{name}_over_{key.replace('.', '_')}"] = curve(at, metric, key, others, place)
    return drawn


def save_all(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as PNG (200 dots an inch) and PDF into ``folder``, whole or not at all.

    Raises:
        OutputError: If the folder cannot be written.
    """
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in figures.items():
            for form in ("png", "pdf"):
                file, draft = folder / f"{name}.{form}", folder / f".{name}.{form}.draft"
                draft.write_bytes(as_bytes(figure, form))
                os.replace(draft, file)
                files.append(file)
    except OSError as error:
        raise OutputError(f"figures cannot be written to {folder}: {error.strerror or error}") from error
    return files


def as_bytes(figure: Figure, form: str) -> bytes:
    """The figure as ``png``, ``pdf`` or ``svg``, without a date, so that equal numbers give equal bytes."""
    import matplotlib

    stamp = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[form]
    content = io.BytesIO()
    with matplotlib.rc_context(_RECORDED):
        figure.savefig(content, format=form, dpi=200, metadata=stamp)
    return content.getvalue()


def bars(summary: pd.DataFrame, metric: Metric, keys: Sequence[str] = (), title: str = "") -> Figure:
    """One group a victim, one bar a cell (clean first), error bars of one standard deviation over seeds."""
    victims, names = _named(summary, keys)
    series, groups = _clean_first(names), list(dict.fromkeys(victims))
    figure, axes = _figure(min(12.0, max(4.5, 1.5 + 0.4 * len(series) * len(groups))), 3.2)
    width = 0.8 / len(series)
    for number, name in enumerate(series):
        chosen = summary[(names == name).to_numpy()]
        at = [groups.index(victim) + (number - (len(series) - 1) / 2) * width for victim in victims[names == name]]
        axes.bar(
            at,
            chosen["mean"],
            width * 0.92,
            yerr=_bar_lengths(chosen.sd),
            label=name,
            color=_FILLS[number % 8],
            hatch=_HATCHES[(number + number // 8) % 8],
            edgecolor="black",
            linewidth=0.7,
            capsize=2.5,
            error_kw={"linewidth": 0.9},
        )
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(_axis_label(metric))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _titled(figure, axes, f"{metric.title}, clean and after each attack", title)
    _legend_above(figure, axes)
    return figure


def heat_map(summary: pd.DataFrame, metric: Metric, keys: Sequence[str] = (), title: str = "") -> Figure:
    """Attacks down, victims across, the change against the clean cell in each square, printed as well as shaded."""
    attacked = summary[summary.attack != "none"]
    victims, names = _named(attacked, keys)
    down, across = list(dict.fromkeys(names)), list(dict.fromkeys(victims))
    figure, axes = _figure(2.2 + 1.15 * len(across), 1.4 + 0.42 * len(down))
    pairs = dict(zip(zip(names, victims, strict=True), attacked.difference, strict=True))
    grid = [[pairs.get((name, victim), math.nan) for victim in across] for name in down]
    _titled(figure, axes, f"Change of {metric.title} by attack and victim", title)
    largest = max((abs(x) for row in grid for x in row if math.isfinite(x)), default=1.0) or 1.0
    mixed = (
        min(x for row in grid for x in [*row, 0.0] if math.isfinite(x))
        < 0
        < max(x for row in grid for x in [*row, 0.0])
    )
    lowest = -largest if mixed else 0.0
    image = axes.imshow(
        [[x if mixed else abs(x) for x in row] for row in grid],
        "Greys",
        aspect="auto",
        vmin=lowest,
        vmax=1.15 * largest,
    )
    for r, row in enumerate(grid):
        for c, x in enumerate(row):
            dark = (x if mixed else abs(x)) - lowest > 0.55 * (largest - lowest)
            decimals = 1 if largest >= 10 else 3 if largest >= 0.1 else 4
            text = f"{x:+.{decimals}f}" if math.isfinite(x) else "not run"
            axes.text(c, r, text, ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    axes.tick_params(length=0)
    axes.set_xlabel("victim")
    axes.set_ylabel("attack")
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, label=f"{'' if mixed else 'size of '}change of {metric.title}")
    bar.outline.set_linewidth(0.5)
    return figure


def curve(summary: pd.DataFrame, metric: Metric, key: str, keys: Sequence[str] = (), title: str = "") -> Figure:
    """The metric over a numeric setting: a line an attack (and victim, and defense), error bars of one sd."""
    attacked = summary[(summary.attack != "none") & summary[key].notna()].copy()
    attacked[key] = attacked[key].astype(float)
    victims, names = _named(attacked, keys)
    lines = names if victims.nunique() == 1 else victims.str.replace("\n", ", ") + ": " + names
    figure, axes = _figure(5.2, 3.2)
    for number, name in enumerate(dict.fromkeys(lines)):
        line = attacked[(lines == name).to_numpy()].sort_values(key)
        style: dict[str, Any] = {
            "marker": _MARKERS[number % 8],
            "linestyle": _DASHES[number % 4],
            "color": _INKS[number % 8],
        }
        axes.errorbar(
            line[key], line["mean"], yerr=_bar_lengths(line.sd), label=name, capsize=2.5, markersize=5, **style
        )
    axes.set_xlabel(_setting_label(key))
    axes.set_ylabel(_axis_label(metric))
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    _titled(figure, axes, f"{metric.title} over {key}", title)
    _legend_above(figure, axes)
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _titled(figure: Figure, axes: Axes, caption: str, title: str) -> None:
    """The caption goes to the page that shows the figure; the title, which says what is held fixed, into the figure."""
    figure.set_label(f"{caption} ({title})" if title else caption)
    axes.set_title(title, fontsize="medium")


def _named(summary: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.Series, pd.Series]:
    """What each row's victim and what its attack is called: parts that never vary are left out."""
    varying = [part for part in ("dataset", "model") if summary[part].nunique() > 1] or ["dataset", "model"]
    victims = summary[varying].agg("\n".join, axis=1)
    names = summary.attack.where(summary.attack != "none", "clean")
    if summary.defense.nunique() > 1:
        names = names + ", " + summary.defense.where(summary.defense != "none", "no defense")
    for key in keys:
        short = key.rpartition(".")[2].replace("_", " ")
        marks = summary[key].map(
            lambda value, short=short: f"{short} {_plain(value)}" if value == value and value is not None else ""
        )
        if marks.nunique() > 1:
            names = names + marks.map(lambda mark: f", {mark}" if mark else "")
    return victims, names


def _is_numeric(values: pd.Series) -> bool:
    return values.notna().any() and all(pd.api.types.is_number(value) for value in values.dropna())


def _at_largest(summary: pd.DataFrame, keys: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Cells at the largest value of each of ``keys`` (and those that have none), and a title that says so."""
    largest = {key: summary[key].dropna().astype(float).max() for key in keys}
    for key, value in largest.items():
        numbers = summary[key].astype(float)
        summary = summary[numbers.isna() | (numbers == value)]
    return summary, ", ".join(f"{key} = {value:g}" for key, value in largest.items())


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _clean_first(names: pd.Series) -> list[str]:
    distinct = list(dict.fromkeys(names))
    return sorted(distinct, key=lambda name: (not name.startswith("clean"), distinct.index(name)))


def _bar_lengths(sd: pd.Series) -> list[float] | None:
    """Lengths of the error bars; none at all where no cell has two seeds."""
    return None if sd.isna().all() else sd.fillna(0.0).to_list()


def _axis_label(metric: Metric) -> str:
    units = {"MeanRank": "rank, 1 is the top", "RankShift": "places"}.get(metric.name, "share, 0 to 1")
    whose = {"target": "of the targets", "test": "of held-out items", "link": "of edges", "node": "of nodes"}
    return f"{metric.label} {whose.get(metric.subject, '')} ({units})".replace("  ", " ")


def _setting_label(key: str) -> str:
    units = {"attack.budget": "share of real users"}.get(key)
    return key if units is None else f"{key} ({units})"


def _legend_above(figure: Figure, axes: Axes) -> None:
    """As many columns as the figure's width takes; the figure grows by what the rows need."""
    handles, labels = axes.get_legend_handles_labels()
    width, height = figure.get_size_inches()
    columns = max(1, min(len(labels), int(width / (0.6 + 0.07 * max(map(len, labels))))))
    figure.set_size_inches(width, height + 0.2 * math.ceil(len(labels) / columns))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
