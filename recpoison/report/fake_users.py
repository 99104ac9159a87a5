"""What gives fake users away, drawn: the popularity of what they click, and where they lie in latent space.

Figures 5(b) and 5(c) of the injection attack (Tang, Wen and Wang 2020), from what ``evaluation=detection`` leaves in
``ranks.npz``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recpoison.report.drawing import INKS, MARKERS, RECORDED, STYLE, legend_above, line_style, named, new_figure, titled
from recpoison.report.measurements import Measurements
from recpoison.report.reading import BrokenArrays, read_arrays
from recpoison.report.runs import Run, Runs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ARRAYS = ("latent", "explained", "fake", "real_popularity", "fake_popularity")
_GREY = "#9a9a9a"


@dataclass(frozen=True, eq=False)
class Attacked:
    """One attacked cell of one seed.

    Args:
        name: The attack, with the settings that tell it from its neighbours.
        seed: The run's seed.
        aurocs: AUROC by the detector's label.
        latent: ``(n, dimensions)`` users on the axes of the PCA.
        explained: ``(dimensions,)`` share of variance on each.
        fake: ``(n,)`` who is fake.
        real_popularity: One entry a click of the sampled real users: real users who have the item.
        fake_popularity: One entry a click of the fake users.
    """

    name: str
    seed: int
    aurocs: dict[str, float]
    latent: np.ndarray
    explained: np.ndarray
    fake: np.ndarray
    real_popularity: np.ndarray
    fake_popularity: np.ndarray


def draw_fake_users(runs: Runs, measurements: Measurements) -> dict[str, Figure]:
    """Both figures for each dataset, victim and defense that has fake users, by a name that suits a file.

    A cell of several seeds is drawn at its smallest. A run whose ``ranks.npz`` was removed is left out.

    Raises:
        BrokenArrays: If a ``ranks.npz`` is broken.
    """
    import matplotlib

    drawn: dict[str, Figure] = {}
    with matplotlib.rc_context({**STYLE, **RECORDED}):
        for (dataset, model, defense), cells in _victims(runs, measurements):
            victim = f"{model} on {dataset}" + (f", defense {defense}" if defense != "none" else "")
            name = "_".join([dataset, model] + ([defense] if defense != "none" else [])).lower()
            drawn[f"fake_users_popularity_{name}"] = popularity(cells, victim)
            if all(cell.latent.shape[1] > 1 for cell in cells):
                drawn[f"fake_users_latent_{name}"] = latent_space(cells, victim)
    return drawn


def popularity(cells: Sequence[Attacked], victim: str) -> Figure:
    """Figure 5(b): how popular clicked items are, normal users as a grey area and each attack's fake ones as a line."""
    figure, axes = new_figure(5.2, 3.2)
    clicked = np.concatenate([clicks for cell in cells for clicks in (cell.real_popularity, cell.fake_popularity)])
    most = int(clicked.max(initial=0))
    edges = np.unique(np.rint(np.geomspace(1, most + 2, 16))) - 0.5  # every bin holds a whole number
    shares = _density(cells[0].real_popularity, edges)
    axes.stairs(shares, edges, fill=True, color="#d9d9d9", label="normal users")
    for number, cell in enumerate(cells):
        style = line_style(number + 1)
        style.pop("marker")
        axes.stairs(
            _density(cell.fake_popularity, edges), edges, label=f"fake users, {cell.name}", linewidth=1.5, **style
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("popularity of the clicked item (real users who have it, plus 1)")
    axes.set_ylabel("density of clicks (share per factor of 10)")
    legend_above(figure, axes)
    titled(figure, axes, "Popularity of what normal and fake users click", f"{victim}, {_seeds(cells)}")
    return figure


def latent_space(cells: Sequence[Attacked], victim: str) -> Figure:
    """Figure 5(c): a panel an attack, each with the PCA of its own fit; real users grey, fake ones marked."""
    from matplotlib.figure import Figure

    columns = min(3, len(cells))
    rows = math.ceil(len(cells) / columns)
    figure = Figure(figsize=(max(4.2, 3.4 * columns), 3.4 * rows), layout="constrained")
    for number, cell in enumerate(cells):
        _panel(figure.add_subplot(rows, columns, number + 1), cell, f"{victim}\n{cell.name}", number)
    legend_above(figure, *figure.axes)
    figure.set_label(
        f"Users in the latent space of {victim}, on the two axes of largest variance ({_seeds(cells)}); "
        "AUROC of each detector, 0.5 is chance"
    )
    return figure


def _panel(axes: Axes, cell: Attacked, title: str, number: int) -> None:
    real, fake = cell.latent[~cell.fake], cell.latent[cell.fake]
    axes.scatter(real[:, 0], real[:, 1], s=4, color=_GREY, linewidths=0, alpha=0.6, label="real users")
    axes.scatter(
        fake[:, 0],
        fake[:, 1],
        s=22,
        marker=MARKERS[number % 8],
        facecolors="none",
        edgecolors=INKS[1 + number % 7],
        linewidths=1.0,
        label=f"fake users, {cell.name}",
    )
    axes.set_title(title, fontsize="medium", pad=16)
    found = ", ".join(f"{_detector(label)} {value:.2f}" for label, value in cell.aurocs.items())
    axes.annotate(
        f"AUROC: {found}" if found else "",
        (0.5, 1),
        (0, 4),
        "axes fraction",
        "offset points",
        ha="center",
        fontsize=7.5,
    )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(f"first axis ({cell.explained[0]:.0%} of variance)")
    axes.set_ylabel(f"second axis ({cell.explained[1]:.0%})")


def _detector(label: str) -> str:
    return {"ClusterAUROC": "cluster", "PCAClusterAUROC": "cluster in this plane", "OutlierAUROC": "outlier"}.get(
        label, label
    )


def _density(popularities: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Share of clicks in each bin over its width in powers of ten; popularities are counted from 1 up."""
    counts, _ = np.histogram(popularities + 1, edges)
    return counts / max(len(popularities), 1) / np.diff(np.log10(edges))


def _victims(runs: Runs, measurements: Measurements) -> Iterator[tuple[tuple[str, str, str], list[Attacked]]]:
    """Each dataset, model and defense with its attacked cells, one for each name."""
    frame = measurements.frame[measurements.frame.subject == "fake"]
    for victim, group in frame.groupby(["dataset", "model", "defense"], sort=False):
        cells: dict[str, Attacked] = {}
        ordered = group.assign(name=named(group, measurements.keys)[1]).sort_values("seed", kind="stable")
        for (name, seed, attack, run), rows in ordered.groupby(["name", "seed", "attack", "run"], sort=False):
            if name not in cells:
                aurocs = {m: v for m, v in zip(rows.metric, rows.value, strict=True) if m.endswith("AUROC")}
                prefix = f"seed={seed}/attack={attack}/defense={victim[2]}"
                arrays = _read(runs.runs[run], prefix)
                if arrays is not None:
                    cells[name] = Attacked(name, int(seed), aurocs, **arrays)
        if cells:
            yield victim, list(cells.values())


def _read(run: Run, prefix: str) -> dict[str, np.ndarray] | None:
    file = run.folder / "ranks.npz"
    if not file.is_file():
        return None
    arrays = read_arrays(file, prefix, _ARRAYS)
    if not _fit(*arrays.values()):
        raise BrokenArrays(file, f"holds arrays of {prefix} that do not fit each other")
    return arrays


def _fit(latent: np.ndarray, explained: np.ndarray, fake: np.ndarray, *popularities: np.ndarray) -> bool:
    """Whether the arrays have the shapes and types that an evaluation writes."""
    if [array.dtype.kind for array in (latent, explained, fake)] != ["f", "f", "b"] or latent.ndim != 2:
        return False
    if explained.shape != latent.shape[1:] or fake.shape != latent.shape[:1] or not np.isfinite(latent).all():
        return False
    return all(clicks.dtype.kind in "iu" and clicks.ndim == 1 and (clicks >= 0).all() for clicks in popularities)


def _seeds(cells: Sequence[Attacked]) -> str:
    seeds = sorted({cell.seed for cell in cells})
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
