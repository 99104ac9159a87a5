"""Printed numbers beside measured ones: difference and verdict of each cell, and two figures over a whole table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from recpoison.published.tables import LABELS, PublishedCell, PublishedTable

LEVEL = 0.95
AGREES, DIFFERS, UNCLEAR, NOT_RUN, OTHER_DATA = "agrees", "differs", "within chance", "not run", "stand-in"


@dataclass(frozen=True)
class Compared:
    """A printed number and what was measured, in the csv's unit.

    Args:
        cell: What was printed.
        verdict: ``agrees``, ``within chance``, ``differs``, ``stand-in`` (other data), ``not run``, or
            ``not run: needs attack=pga`` and the like.
        mean: Over our seeds; nan where nothing was measured.
        sd: Over our seeds, n - 1 in its denominator; nan with a single seed.
        n: Number of our seeds.
        runs: Places of the runs behind it.
    """

    cell: PublishedCell
    verdict: str
    mean: float = float("nan")
    sd: float = float("nan")
    n: int = 0
    runs: tuple[int, ...] = ()

    @property
    def difference(self) -> float:
        """Ours minus the paper's."""
        return self.mean - self.cell.value


@dataclass(frozen=True)
class Claims:
    """How many of the paper's statements "A above B" hold, and out of how many."""

    hold: int
    total: int


def compare(table: PublishedTable, frame: pd.DataFrame, configs: Sequence[Mapping[str, Any]]) -> list[Compared]:
    """Each cell of ``table`` with what was measured.

    Args:
        table: The published table.
        frame: One row a number: ``dataset model attack defense seed subject metric k value clean run``, ``clean`` being
            the same number without the attack, and ``run`` a place in ``configs``.
        configs: All settings of each run by dotted key.
    """
    return [_compared(table, cell, _measured(cell, frame, configs)) for cell in table.cells]


def holds_cells(table: PublishedTable, labels: Iterable[Mapping[str, Any]], config: Mapping[str, Any]) -> bool:
    """Whether a run with ``config`` holds a cell of ``table``; ``labels`` names the cells that the run holds."""
    held = [tuple(label[name] for name in LABELS) for label in labels]
    return any(tuple(cell.options.get(name) for name in LABELS) in held and _fits(cell, config) for cell in table.cells)


def agreement(paper: float, values: np.ndarray, repeats: int, tolerance: float) -> str:
    """``agrees`` within ``tolerance``, ``within chance`` where chance explains more than that, else ``differs``.

    A wide spread is no agreement, so the two are kept apart. Chance is Student's interval for the difference of two
    means, one over our ``n`` values and one over the paper's ``repeats``, which are taken to spread as ours do:
    t(0.975, n - 1) sd sqrt(1/n + 1/repeats). With fewer than three values the interval says nothing, and ``tolerance``
    alone decides.
    """
    n, distance = len(values), abs(values.mean() - paper)
    if distance <= tolerance * (1 + 1e-12):
        return AGREES
    chance = 0.0
    if n > 2:
        spread = values.std(ddof=1) * np.sqrt(1 / n + 1 / repeats)
        chance = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * spread)
    return UNCLEAR if distance <= chance * (1 + 1e-12) else DIFFERS


def rank_agreement(compared: Sequence[Compared]) -> tuple[float, int]:
    """Kendall's tau-b between the paper's numbers and ours, and over how many cells.

    A cell that is printed several times counts once; misprints, stand-ins and numbers of another metric than the first
    do not count. nan with fewer than two cells.
    """
    counted = [one for one in _distinct(compared) if not one.cell.stand_in]
    counted = [one for one in counted if one.cell.label == counted[0].cell.label]
    if len(counted) < 2:
        return float("nan"), len(counted)
    tau = stats.kendalltau([one.cell.value for one in counted], [one.mean for one in counted]).statistic
    return float(tau), len(counted)


def claims(compared: Sequence[Compared]) -> Claims:
    """Pairs of cells that compare with each other (``within``), of which the paper prints one larger.

    A claim holds if our number is larger too. A cell that is printed several times counts once; misprints do not.
    """
    groups: dict[tuple[str, ...], list[Compared]] = {}
    for one in _distinct(compared):
        groups.setdefault(one.cell.rivals, []).append(one)
    pairs = [pair for group in groups.values() for pair in combinations(group, 2)]
    stated = [(a, b) for a, b in pairs if a.cell.value != b.cell.value]
    hold = sum((a.cell.value - b.cell.value) * (a.mean - b.mean) > 0 for a, b in stated)
    return Claims(hold, len(stated))


def _distinct(compared: Sequence[Compared]) -> list[Compared]:
    measured = [one for one in compared if one.n and not one.cell.note]
    return list({one.cell.identity: one for one in measured}.values())


def _measured(cell: PublishedCell, frame: pd.DataFrame, configs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of ``frame`` that belong to ``cell``, with the number to compare as ``ours``."""
    wanted = {name: cell.options.get(name) for name in LABELS} | {"subject": cell.subject, "metric": cell.metric}
    chosen = np.ones(len(frame), dtype=bool)
    for column, value in wanted.items():
        chosen &= (frame[column] == value).to_numpy(dtype=bool)
    chosen &= (frame.k.isna() if cell.k is None else (frame.k == cell.k).fillna(False)).to_numpy(dtype=bool)
    rows = frame[chosen]
    rows = rows[np.array([_fits(cell, configs[run]) for run in rows["run"]], dtype=bool)]
    ours = (rows.clean - rows.value if cell.drop else rows.value) * cell.scale
    return rows.assign(ours=ours)[ours.notna()]


def _fits(cell: PublishedCell, config: Mapping[str, Any]) -> bool:
    return all(config.get(key) == value for key, value in cell.settings.items())


def _compared(table: PublishedTable, cell: PublishedCell, rows: pd.DataFrame) -> Compared:
    if rows.empty:
        needs = " ".join(cell.needs)
        return Compared(cell, f"{NOT_RUN}: needs {needs}" if needs else NOT_RUN)
    runs = tuple(int(run) for run in rows["run"].unique())
    spread = rows.groupby("seed").ours.agg(np.ptp)
    if (spread > 1e-9).any():
        return Compared(cell, "several runs with other settings: name the sweep that is meant", runs=runs)
    values = rows.groupby("seed").ours.first().to_numpy(float)
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    tolerance = max(table.tolerance, table.relative * abs(cell.value))
    verdict = OTHER_DATA if cell.stand_in else agreement(cell.value, values, table.repeats, tolerance)
    return Compared(cell, verdict, float(values.mean()), sd, len(values), runs)
