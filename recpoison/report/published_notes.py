"""What stands under a published table: its rule, its counts, where our numbers come from, and what is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from recpoison.published.commands import commands
from recpoison.published.comparison import AGREES, DIFFERS, KEPT, UNDECIDED, Compared
from recpoison.published.kept import TRANSCRIBED, Kept, file_of
from recpoison.published.tables import PublishedTable


def verdict_notes(table: PublishedTable, compared: Sequence[Compared]) -> Iterable[str]:
    """Where the table stands, how a verdict comes about, and how many cells have which."""
    yield f"paper: {table.paper}"
    yield (
        f"agrees: within {_bounds(compared)} of the paper; undecided: further off, but within the half width '95% ±' "
        f"of the interval for two means of {table.repeats} and n repeats that spread alike (Student's t): the wider, "
        "the less is known; below 3 repeats there is no interval and the bounds alone decide"
    )
    counted = [one for one in compared if one.n and not one.cell.stand_in]
    agree, undecided, differ = (sum(one.verdict == v for one in counted) for v in (AGREES, UNDECIDED, DIFFERS))
    lacking = sum(not one.n for one in compared)
    yield (
        f"of {len(counted)} distinct cells: {agree} agree, {undecided} undecided, {differ} differ; "
        f"{lacking} of {len(compared)} have no number of ours"
    )
    for one in compared:
        if one.n and one.cell.note:
            yield f"note on {' '.join(one.cell.names)}: {one.cell.note}"
    for stand_in in dict.fromkeys(one.cell.stand_in for one in compared if one.n and one.cell.stand_in):
        yield f"stand-in, without a verdict: {stand_in}"


def _bounds(compared: Sequence[Compared]) -> str:
    """The bounds in words, with what they are for where they are not the same everywhere."""
    labels: dict[str, list[str]] = {}
    for one in compared:
        absolute, relative = one.cell.tolerance, one.cell.relative
        given = [f"{absolute:g}"] if absolute is not None else []
        given += [f"{relative:.0%}"] if relative is not None else []
        labels.setdefault(" and ".join(given) or "0", []).append(one.cell.label)
    if len(labels) == 1:
        return next(iter(labels))
    return ", ".join(f"{bounds} ({', '.join(dict.fromkeys(of))})" for bounds, of in labels.items())


def kept_notes(table: PublishedTable, compared: Sequence[Compared]) -> Iterable[str]:
    """Where kept numbers come from: a sentence for each command."""
    groups: dict[tuple[str, ...], list[Compared]] = {}
    for one in compared:
        if one.kept:
            groups.setdefault(_origin(one.kept), []).append(one)
    for origin, group in groups.items():
        yield f"{KEPT} in published/ours/{file_of(table).name}, {which(group)}: {'; '.join(filter(None, origin))}"


def _origin(kept: Kept) -> tuple[str, ...]:
    commit = f"commit {kept.commit}" if kept.commit else "commit unknown"
    return kept.command, commit, kept.date, kept.device, kept.origin * (kept.origin == TRANSCRIBED), kept.remark


def missing_notes(table: PublishedTable, compared: Sequence[Compared]) -> Iterable[str]:
    """Why cells have no number of ours: what does not exist yet, other reasons, and the commands to run the rest."""
    lacking = [one for one in compared if not one.n]
    needs = Counter(need for one in lacking for need in one.cell.needs)
    if needs:
        counts = ", ".join(f"{need} ({count})" for need, count in sorted(needs.items()))
        total = sum(bool(one.cell.needs) for one in lacking)
        yield f"{total} cells need what does not exist yet, some of them several things: {counts}"
    reasons: dict[str, list[Compared]] = {}
    for one in lacking:
        if not one.cell.needs:
            reasons.setdefault(one.verdict, []).append(one)
    for reason, group in reasons.items():
        yield f"{reason}: {which(group)}"
    runnable = [one.cell for one in compared if not one.runs and not one.cell.needs]
    if runnable:
        yield from (f"to run them: {typed}" for typed in commands(table, runnable))


def which(group: Sequence[Compared]) -> str:
    """The cells in a few words: the values of each column; exact where they are a product."""
    columns = [list(dict.fromkeys(column)) for column in zip(*(one.cell.names for one in group), strict=True)]
    product = math.prod(len(column) for column in columns) == len(group)
    words = " × ".join(", ".join(column) for column in columns)
    return f"{len(group)} {'cell' if len(group) == 1 else 'cells'}{'' if product else ' among'} ({words})"
