"""Printed numbers beside measured ones: difference and verdict of each cell, and figures over a whole table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from recpoison.published.kept import Kept, Key, key_of
from recpoison.published.tables import LABELS, PublishedCell, PublishedTable

LEVEL = 0.95
AGREES, DIFFERS, UNDECIDED, NOT_RUN, OTHER_DATA = "agrees", "differs", "undecided", "not run", "stand-in"
RUN, KEPT = "run", "kept"
ATTACKS, DEFENSES, CLEAN = "attack against attack", "defense or model against another", "clean against attacked"
Fits = Callable[[PublishedCell, int], bool]


@dataclass(frozen=True)
class Compared:
    """A printed number and what was measured, in the csv's unit.

    Args:
        cell: What was printed.
        verdict: ``agrees``, ``undecided``, ``differs``, ``stand-in`` (other data), ``not run``, or
            ``needs attack=pga`` and the like.
        mean: Over our seeds; nan where nothing was measured.
        sd: Over our seeds, n - 1 in its denominator; nan with a single seed.
        n: Number of our seeds.
        half_width: Of the interval for the difference (see :func:`half_width`); nan with fewer than three seeds.
        runs: Places of the runs behind it.
        kept: The number that was kept, where it is that and no run's.
        values: Our number by seed, of runs.
        p: Of the paper's champion against the best of its rivals (see :mod:`recpoison.published.bouts`); else nan.
    """

    cell: PublishedCell
    verdict: str
    mean: float = float("nan")
    sd: float = float("nan")
    n: int = 0
    half_width: float = float("nan")
    runs: tuple[int, ...] = ()
    kept: Kept | None = None
    values: dict[int, float] = field(default_factory=dict)
    p: float = float("nan")

    @property
    def source(self) -> str:
        """``run``, ``kept``, or empty where nothing was measured."""
        return KEPT if self.kept else RUN if self.n else ""

    @property
    def difference(self) -> float:
        """Ours minus the paper's."""
        return self.mean - self.cell.value


@dataclass(frozen=True)
class Claims:
    """How many of the paper's statements "A above B" hold, and out of how many."""

    hold: int
    total: int


def compare(table: PublishedTable, frame: pd.DataFrame, fits: Fits) -> list[Compared]:
    """Each distinct cell of ``table`` with what was measured.

    Args:
        table: The published table.
        frame: One row a number: ``dataset model attack defense seed subject metric k value clean run``, ``clean`` being
            the same number without the attack, and ``run`` the run's place among all.
        fits: Whether the run at a place has the settings that a cell asks for.
    """
    return [_compared(table, cell, _measured(cell, frame, fits)) for cell in table.distinct]


def with_kept(table: PublishedTable, compared: Iterable[Compared], kept: Mapping[Key, Kept]) -> list[Compared]:
    """``compared`` with the kept number of each cell that no run measured."""
    return [_from_file(table, one, kept.get(key_of(one.cell))) for one in compared]


def _from_file(table: PublishedTable, one: Compared, kept: Kept | None) -> Compared:
    if one.n or one.runs or kept is None:
        return one
    return replace(judged(table, one.cell, kept.mean, kept.sd, kept.n), kept=kept, p=kept.p)


def has_labels(cell: PublishedCell, labels: Iterable[Mapping[str, Any]]) -> bool:
    """Whether ``labels``, which name the cells that a run holds, name this one."""
    wanted = tuple(cell.options.get(name) for name in LABELS)
    return any(wanted == tuple(label[name] for name in LABELS) for label in labels)


def judged(table: PublishedTable, cell: PublishedCell, mean: float, sd: float, n: int) -> Compared:
    """A measured mean with its verdict.

    ``agrees`` within the cell's bounds: absolute and relative, both where both are given, though never less than half
    of the last printed decimal. ``undecided`` where the mean is further off, but not by more than the interval's half
    width, which says how little is known. Else ``differs``. With fewer than three seeds the bounds alone decide.
    """
    half = half_width(sd, n, table.repeats)
    distance = abs(mean - cell.value)
    if cell.stand_in:
        verdict = OTHER_DATA
    elif distance <= bound(table, cell) * (1 + 1e-9):
        verdict = AGREES
    else:
        verdict = UNDECIDED if distance <= half * (1 + 1e-9) else DIFFERS  # nan is no bound
    return Compared(cell, verdict, mean, sd, n, half)


def bound(table: PublishedTable, cell: PublishedCell) -> float:
    """How far from the printed number still agrees, in the csv's unit."""
    relative = None if cell.relative is None else cell.relative * abs(cell.value)
    given = [limit for limit in (cell.tolerance, relative) if limit is not None]
    return max(min(given, default=0.0), table.unit / 2)


def half_width(sd: float, n: int, repeats: int) -> float:
    """Of Student's 95% interval for the difference of two means, over our ``n`` values and the paper's ``repeats``.

    The paper's are taken to spread as ours do: t(0.975, n - 1) sd sqrt(1/n + 1/repeats). nan with fewer than three
    values, whose interval says nothing.
    """
    from scipy import special

    if n < 3:
        return float("nan")
    return float(special.stdtrit(n - 1, (1 + LEVEL) / 2) * sd * np.sqrt(1 / n + 1 / repeats))


def rank_agreement(compared: Sequence[Compared]) -> tuple[float, int]:
    """Kendall's tau-b between the paper's numbers and ours, and over how many cells.

    Misprints, stand-ins and numbers of another metric than the first do not count. nan with fewer than two cells.
    """
    from scipy import stats

    counted = [one for one in _sound(compared) if not one.cell.stand_in]
    counted = [one for one in counted if one.cell.what == counted[0].cell.what]
    if len(counted) < 2:
        return float("nan"), len(counted)
    tau = stats.kendalltau([one.cell.value for one in counted], [one.mean for one in counted]).statistic
    return float(tau), len(counted)


def claims(compared: Sequence[Compared]) -> dict[str, Claims]:
    """Pairs of cells that compare with each other (``within``), of which the paper prints one larger.

    A claim holds if our number is larger too; misprints do not count. A paper's own comparisons, two attacks on the
    same defended model or two defenses or models under the same attack, are counted apart from clean against attacked,
    which nearly always holds. Cells that differ in both are nobody's comparison.
    """
    groups: dict[tuple[str, ...], list[Compared]] = {}
    for one in _sound(compared):
        groups.setdefault((*one.cell.rivals, *one.cell.what), []).append(one)
    found = {kind: [0, 0] for kind in (ATTACKS, DEFENSES, CLEAN)}
    for a, b in (pair for group in groups.values() for pair in combinations(group, 2)):
        kind = _kind(a.cell, b.cell)
        if kind and a.cell.value != b.cell.value:
            found[kind][0] += (a.cell.value - b.cell.value) * (a.mean - b.mean) > 0
            found[kind][1] += 1
    return {kind: Claims(*counts) for kind, counts in found.items()}


def _kind(a: PublishedCell, b: PublishedCell) -> str | None:
    (attack, *defended), (other, *otherwise) = (_sides(cell) for cell in (a, b))
    if defended == otherwise:
        return CLEAN if (attack == "none") != (other == "none") else ATTACKS
    return DEFENSES if attack == other else None


def _sides(cell: PublishedCell) -> tuple[str | None, ...]:
    return tuple(cell.options.get(group) for group in ("attack", "model", "defense"))


def _sound(compared: Sequence[Compared]) -> list[Compared]:
    return [one for one in compared if one.n and not one.cell.note]


def _measured(cell: PublishedCell, frame: pd.DataFrame, fits: Fits) -> pd.DataFrame:
    """Rows of ``frame`` that belong to ``cell``, with the number to compare as ``ours``."""
    wanted = {name: cell.options.get(name) for name in LABELS} | {"subject": cell.subject, "metric": cell.metric}
    chosen = np.ones(len(frame), dtype=bool)
    for column, value in wanted.items():
        chosen &= (frame[column] == value).to_numpy(dtype=bool)
    chosen &= (frame.k.isna() if cell.k is None else (frame.k == cell.k).fillna(False)).to_numpy(dtype=bool)
    rows = frame[chosen]
    fitting = {run: fits(cell, run) for run in rows["run"].unique()}
    rows = rows[np.array([fitting[run] for run in rows["run"]], dtype=bool)]
    ours = (rows.clean - rows.value if cell.drop else rows.value) * cell.scale
    return rows.assign(ours=ours)[ours.notna()]


def _compared(table: PublishedTable, cell: PublishedCell, rows: pd.DataFrame) -> Compared:
    if rows.empty:
        return Compared(cell, f"needs {' '.join(cell.needs)}" if cell.needs else NOT_RUN)
    runs = tuple(int(run) for run in rows["run"].unique())
    spread = rows.groupby("seed").ours.agg(np.ptp)
    if (spread > 1e-9).any():
        return Compared(cell, "several runs with other settings: name the sweep that is meant", runs=runs)
    by_seed = rows.groupby("seed").ours.first()
    values = by_seed.to_numpy(float)
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    found = judged(table, cell, float(values.mean()), sd, len(values))
    each = {int(seed): float(value) for seed, value in by_seed.items()}
    return replace(found, runs=runs, values=each)
