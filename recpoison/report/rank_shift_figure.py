"""How far an attack moved its targets up each user's list: figure 1 of APT, from what runs leave in ranks.npz."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recpoison.report.drawing import FILLS, RECORDED, STYLE, minus, new_panels, with_settings
from recpoison.report.figures import at_largest, is_numeric
from recpoison.report.measurements import Measurements
from recpoison.report.reading import BrokenArrays, read_arrays
from recpoison.report.runs import Run, Runs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ARRAYS = ("target_users", "target_items", "target_above", "target_ties", "target_owned")
_BINS = 40


@dataclass(frozen=True, eq=False)
class Shifts:
    """One defense under one attack.

    Args:
        name: The defense, with the settings that tell it from others.
        values: One number a seed, user and target: places that the target rose by; owners are left out.
        seeds: How many seeds they are of.
    """

    name: str
    values: np.ndarray
    seeds: int


def draw_rank_shifts(runs: Runs, measurements: Measurements) -> dict[str, Figure]:
    """A figure for each dataset and model that is attacked with a defense and without, where runs measured RankShift.

    Each defense is held against itself without the attack, as RankShift is. Where a numeric setting varies, cells stand
    at its largest value. A run whose ``ranks.npz`` was removed is left out.

    Raises:
        BrokenArrays: If a ``ranks.npz`` is broken.
    """
    import matplotlib

    drawn: dict[str, Figure] = {}
    frame = measurements.frame[measurements.frame.metric == "RankShift"]
    numeric = [key for key in measurements.keys if is_numeric(frame[key])] if len(frame) else []
    frame, place = at_largest(frame, numeric)
    keys = [key for key in measurements.keys if key not in numeric]
    with matplotlib.rc_context({**STYLE, **RECORDED}):
        for (dataset, model), cells in frame.groupby(["dataset", "model"], sort=False):
            rows = {name: shifts for name, shifts in _attacked(runs, cells, keys) if len(shifts) > 1}
            if rows:
                title = f"{model} on {dataset}" + (f", {place}" if place else "")
                drawn[f"rank_shift_{dataset}_{model}".lower()] = rank_shifts(rows, title)
    return drawn


def rank_shifts(rows: Mapping[str, Sequence[Shifts]], title: str) -> Figure:
    """A row an attack: a histogram for each defense over one scale, and the same as boxes.

    Boxes are from quartile to quartile, whiskers from 5% to 95%.
    """
    figure, grid = new_panels(len(rows), 1 + max(map(len, rows.values())), width=2.5, height=2.3, same_y=False)
    for panels, (attack, cells) in zip(grid, rows.items(), strict=True):
        every = np.concatenate([cell.values for cell in cells])
        edges = np.linspace(min(every.min(), 0), max(every.max(), 1), _BINS + 1)
        shares = [np.histogram(cell.values, edges)[0] / len(cell.values) for cell in cells]
        for number, (axes, cell) in enumerate(zip(panels, cells, strict=False)):
            axes.stairs(
                shares[number], edges, fill=True, facecolor=FILLS[1 + number % 7], edgecolor="black", linewidth=0.4
            )
            axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
            axes.set_ylim(0, 1.05 * max(share.max() for share in shares))
            axes.set_xlim(edges[0], edges[-1])
            axes.set_title(f"{cell.name}\nmedian {minus(f'{np.median(cell.values):,.0f}')}", fontsize="medium")
        panels[0].set_ylabel(f"{attack}\nshare of users and targets")
        _boxes(panels[-1], cells)
        for axes in panels[len(cells) : -1]:
            axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel("places risen")
    seeds = max(cell.seeds for cells in rows.values() for cell in cells)
    figure.suptitle(f"{title}, {seeds} seed{'s' * (seeds > 1)}", fontsize="medium")
    figure.set_label(
        f"Rank shift of the targets over users ({title}): the clean rank minus the attacked one under the same "
        "defense; boxes: quartiles, whiskers: 5% and 95%"
    )
    return figure


def _boxes(axes: Axes, cells: Sequence[Shifts]) -> None:
    """The first cell on top."""
    at = range(len(cells), 0, -1)
    for number, (place, cell) in enumerate(zip(at, cells, strict=True)):
        low, first, median, third, high = np.percentile(cell.values, [5, 25, 50, 75, 95])
        axes.plot([low, high], [place, place], color="black", linewidth=0.9, zorder=0)
        axes.barh(place, third - first, 0.6, first, facecolor=FILLS[1 + number % 7], edgecolor="black", linewidth=0.7)
        axes.plot([median, median], [place - 0.3, place + 0.3], color="black", linewidth=1.6)
    axes.axvline(0, color="black", linewidth=0.8, linestyle=":")
    axes.set_yticks(list(at), [cell.name for cell in cells])


def _attacked(runs: Runs, frame: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[str, list[Shifts]]]:
    """Each attack, named with the settings that tell it from others, and its cells, the undefended one first."""
    of_defense = [key for key in keys if key.startswith("defense.")]
    others = [key for key in keys if key not in of_defense]
    for attack, cells in frame.groupby(with_settings(frame.attack, frame, others), sort=False):
        names = with_settings(cells.defense.where(cells.defense != "none", "no defense"), cells, of_defense)
        order = sorted(dict.fromkeys(names), key=lambda name: name != "no defense")
        shifts = (_shifts(runs, cells[(names == name).to_numpy()], name) for name in order)
        yield str(attack), [one for one in shifts if one is not None]


def _shifts(runs: Runs, cells: pd.DataFrame, name: str) -> Shifts | None:
    """The shifts of every seed of one cell; None where no run has its ranks."""
    found = []
    for row in cells.drop_duplicates("seed").itertuples():
        ranks = [
            _read(runs.runs[row.run], int(row.seed), attack, str(row.defense)) for attack in ("none", str(row.attack))
        ]
        before, after = ranks
        if before is not None and after is not None:
            found.append(before - after)
    return Shifts(name, np.concatenate(found), len(found)) if found else None


def _read(run: Run, seed: int, attack: str, defense: str) -> np.ndarray | None:
    """Places of the targets for users who do not own them, in the order of users and targets."""
    file, prefix = run.folder / "ranks.npz", f"seed={seed}/attack={attack}/defense={defense}"
    if not file.is_file():
        return None
    arrays = read_arrays(file, prefix, _ARRAYS)
    users, items, above, ties, owned = arrays.values()
    if len({len(array) for array in arrays.values()}) > 1 or owned.dtype.kind != "b" or above.dtype.kind not in "iu":
        raise BrokenArrays(file, f"holds arrays of {prefix} that do not fit each other")
    places = above.astype(np.int64) + (ties if str(run.config.get("evaluation.ties")) == "against" else ties / 2)
    order = np.lexsort((items, users))
    return places[order][~owned[order]]
