"""What became of a paper's claim for one column: each row of its table, in print and as we measured it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recpoison.evaluation.significance import paired_t
from recpoison.published.comparison import Compared
from recpoison.published.contest import Contest
from recpoison.published.tables import PublishedCell, PublishedTable


@dataclass(frozen=True)
class Bout:
    """One row of a table.

    Args:
        contest: Who meets whom.
        names: The row's values in the table's keys without the contest's column.
        each: Its value in the column that counts are given for.
        cells: What was printed and measured, by the value of the contest's column.
    """

    contest: Contest
    names: tuple[str, ...]
    each: str
    cells: dict[str, Compared]

    @property
    def measured(self) -> bool:
        """Whether we have a number of the champion and of every rival."""
        return all(one.n for one in self.cells.values())

    @property
    def printed(self) -> dict[str, float]:
        """The paper's numbers."""
        return {name: one.cell.value for name, one in self.cells.items()}

    @property
    def ours(self) -> dict[str, float]:
        """Our means."""
        return {name: one.mean for name, one in self.cells.items()}

    @property
    def champion(self) -> Compared:
        """The cell that the claim is for."""
        return self.cells[self.contest.champion]


def bouts_of(table: PublishedTable, compared: Iterable[Compared]) -> list[Bout]:
    """A bout for each row of ``table`` that has all who meet; none where the paper makes no such claim.

    A clean cell that stands in for everybody meets nobody.

    Args:
        table: The paper's.
        compared: Its distinct cells; one that is printed in several rows is in each.
    """
    if table.contest is None:
        return []
    contest, known = table.contest, {one.cell.identity: one for one in compared}
    place, only = table.keys.index(contest.column), contest.only.items()
    rows: dict[tuple[Any, ...], dict[str, PublishedCell]] = {}
    for cell in table.cells:
        if all(cell.names[table.keys.index(column)] == value for column, value in only):
            rows.setdefault((cell.names[:place] + cell.names[place + 1 :], cell.label), {})[cell.names[place]] = cell
    each = [key for key in table.keys if key != contest.column].index(contest.each)
    wanted = (contest.champion, *contest.rivals)
    full = ((names, cells) for (names, _), cells in rows.items() if cells.keys() >= set(wanted))
    return [
        Bout(contest.of(falls=cells[contest.champion].drop), names, names[each], _met(cells, wanted, known))
        for names, cells in full
        if len({cells[name].identity for name in wanted}) > 1 and all(cells[name].identity in known for name in wanted)
    ]


def _met(
    cells: Mapping[str, PublishedCell], wanted: Iterable[str], known: Mapping[tuple[Any, ...], Compared]
) -> dict[str, Compared]:
    return {name: known[cells[name].identity] for name in wanted}


def with_stars(table: PublishedTable, compared: Sequence[Compared]) -> list[Compared]:
    """``compared`` with the p-value of each champion against the best of its rivals, over the seeds that both have."""
    found = {bout.champion.cell.identity: _p_of(bout) for bout in bouts_of(table, compared) if bout.measured}
    return [
        replace(one, p=found[one.cell.identity]) if one.values and one.cell.identity in found else one
        for one in compared
    ]


def _p_of(bout: Bout) -> float:
    """Nan where the champion is not better, as nothing is improved then, or where a number has no seeds."""
    rival = bout.cells[bout.contest.best(bout.ours)]
    seeds = sorted(bout.champion.values.keys() & rival.values.keys())
    if not seeds or not bout.contest.won(bout.ours):
        return math.nan
    before, after = (np.array([one.values[seed] for seed in seeds]) for one in (rival, bout.champion))
    return paired_t(before, after)[0]


def count(bouts: Sequence[Bout]) -> dict[str, tuple[int, int, int, int]]:
    """Won by the champion in print, out of how many; and won in ours, out of how many measured rows.

    For the whole table, under ``all``, and for each value of the column that the contest names.
    """
    groups = {"all": list(bouts)}
    for bout in bouts:
        groups.setdefault(bout.each, []).append(bout)
    return {name: _counted(group) for name, group in groups.items()}


def _counted(bouts: Sequence[Bout]) -> tuple[int, int, int, int]:
    printed = sum(bout.contest.won(bout.printed) for bout in bouts)
    measured = [bout for bout in bouts if bout.measured]
    return printed, len(bouts), sum(bout.contest.won(bout.ours) for bout in measured), len(measured)
