"""A paper's claim for one column of its table, row by row: in print and in our runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recpoison.evaluation.significance import star_rule
from recpoison.published.bouts import Bout, bouts_of, count
from recpoison.published.comparison import Compared
from recpoison.published.tables import PublishedTable
from recpoison.report.tables import Entry, Table


def contest_table(table: PublishedTable, compared: Sequence[Compared]) -> Table | None:
    """The rows that we measured: the champion and the best of its rivals, as printed and ours, with the paper's stars.

    None where the paper makes no such claim, or where we have no row in full.
    """
    contest, shown = table.contest, [bout for bout in bouts_of(table, compared) if bout.measured]
    if contest is None or not shown:
        return None
    several, starred = len(contest.rivals) > 1, any(cell.stars for cell in table.cells)
    keys = [key for key in table.keys if key != contest.column]
    keys += [*["best in print", "best of ours"] * several, "wins", *["stars in print"] * starred]
    names = (contest.champion, "best rival" if several else contest.rivals[0])
    columns = tuple((side, name) for side in ("in print", "ours") for name in names)
    rule = (
        f"stars: {star_rule()}, of a paired t-test over repeats of {contest.champion} against {contest.against}, not "
        f"corrected for the number of tests{', as in the paper' * starred}; ours only where it is better and runs give "
        "the repeats"
    )
    falls = f", of a fall {contest.of(falls=True).better}" if any(cell.drop for cell in table.cells) else ""
    return Table(
        f"{table.name}: {contest.champion} against {contest.against}",
        tuple(keys),
        tuple(_names(bout, several, starred) for bout in shown),
        columns,
        tuple(_entries(bout) for bout in shown),
        (f"{contest.better} is better{falls}; mean ± standard deviation over n repeats", rule),
    )


def claim_in_words(table: PublishedTable, compared: Sequence[Compared]) -> tuple[str, ...]:
    """In how many rows the champion wins, of the paper and of ours, for all and for each part of the table."""
    contest, bouts = table.contest, bouts_of(table, compared)
    if contest is None or not bouts:
        return ()
    counts = count(bouts)
    won, rows, ours, measured = counts.pop("all")
    claim = f"{contest.champion} is better than {contest.against}"
    printed = ", ".join(f"{name} {part[0]} of {part[1]}" for name, part in counts.items())
    if not measured:
        return (f"{claim} in {won} of {rows} rows in print ({printed}); we measured none of them in full.",)
    own = ", ".join(f"{name} {part[2]} of {part[3]}" for name, part in counts.items() if part[3])
    left = f", {rows - measured} rows not measured in full" if measured < rows else ""
    return (f"{claim} in {won} of {rows} rows in print ({printed}), in {ours} of {measured} of ours ({own}){left}.",)


def _names(bout: Bout, several: bool, starred: bool) -> tuple[str, ...]:
    contest = bout.contest
    rivals = (contest.best(bout.printed), contest.best(bout.ours)) if several else ()
    printed, ours = (contest.won(values) for values in (bout.printed, bout.ours))
    wins = {(True, True): "both", (True, False): "in print", (False, True): "ours", (False, False): "neither"}
    stars = ["*" * bout.champion.cell.stars or "–"] * starred
    return (*bout.names, *rivals, wins[printed, ours], *stars)


def _entries(bout: Bout) -> tuple[Entry, ...]:
    champion, contest = bout.champion, bout.contest
    rival = bout.cells[contest.best(bout.ours)]
    printed = bout.cells[contest.best(bout.printed)].cell.value
    return (
        Entry(champion.cell.value, n=champion.n),
        Entry(printed, n=champion.n),
        Entry(champion.mean, champion.sd, champion.n, champion.p if contest.won(bout.ours) else math.nan),
        Entry(rival.mean, rival.sd, rival.n),
    )
