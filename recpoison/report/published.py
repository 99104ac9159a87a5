"""A paper's table beside ours: verdicts, what was not run, and the command that runs it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from recpoison.published.commands import commands
from recpoison.published.comparison import AGREES, UNCLEAR, Compared, claims, compare, holds_cells, rank_agreement
from recpoison.published.tables import PublishedTable, load, names
from recpoison.report.measurements import measure
from recpoison.report.runs import LABELS, METRICS, Run, Runs, read_runs
from recpoison.report.tables import Entry, Table

OUTPUTS = Path("outputs")


@dataclass(frozen=True, eq=False)
class Published:
    """What there is to show of a published table.

    Args:
        runs: The runs that hold a cell of it.
        tables: Cells with a number of ours, and the figures over the whole table.
        not_run: Every cell without one.
    """

    runs: Runs
    tables: tuple[Table, ...]
    not_run: Table


def is_published(name: str) -> bool:
    """Whether the argument of ``recpoison-report`` is a published table and no folder."""
    return name in names() and not Path(name).exists()


def published(name: str, paths: Sequence[str], average_repeated: bool = False) -> Published:
    """The table ``name`` beside the runs below ``paths``, or below ``outputs/`` where there are none.

    Raises:
        ConfigError: If a path leads to no run.
        DataError: If a file of a run is broken, or two runs disagree on a cell.
    """
    table = load(name)
    runs = _relevant(table, paths)
    if runs.runs:
        measurements = measure(runs, average_repeated)
        frame, configs = measurements.frame, measurements.configs
    else:
        frame, configs = pd.DataFrame(columns=[*METRICS, "clean", "run"]), ()
    compared = compare(table, frame, configs)
    main = _cells_table(table, compared)
    protocols = ["protocol: " + "; ".join(f"{k}: {v}" for k, v in protocol.items()) for protocol in runs.protocols()]
    main = replace(main, notes=(*main.notes, *protocols))
    return Published(runs, (main, _figures_table(table, compared)), _not_run_table(table, compared))


def _relevant(table: PublishedTable, paths: Sequence[str]) -> Runs:
    if not paths and not any(OUTPUTS.rglob("metrics.csv")):
        return Runs((), ())
    runs = read_runs(paths or [OUTPUTS])
    kept = tuple(run for run in runs.runs if holds_cells(table, _cells_of(run), run.config))
    return Runs(kept, runs.missing if paths else ())


def _cells_of(run: Run) -> list[dict[str, Any]]:
    return run.metrics[list(LABELS)].drop_duplicates().to_dict("records")


def _cells_table(table: PublishedTable, compared: Sequence[Compared]) -> Table:
    """Paper, ours and difference of the cells that have a number of ours."""
    measured = [one for one in compared if one.n]
    rows = [(*one.cell.names, one.verdict + (" (note)" if one.cell.note else "")) for one in measured]
    entries = [
        (
            Entry(one.cell.value, n=one.n),
            Entry(one.mean, one.sd, one.n),
            Entry(one.difference, n=one.n, signed=True),
        )
        for one in measured
    ]
    labels = list(dict.fromkeys(one.cell.label for one in compared))
    group = labels[0] if len(labels) == 1 else "value"
    columns = tuple((group, name) for name in ("paper", "ours", "difference"))
    title = f"{table.name}: {table.title}"
    notes = tuple(_notes(table, compared, measured))
    keys = (*table.keys, "verdict")
    return Table(title, keys, tuple(rows), columns, tuple(entries), notes, mixed=len(labels) > 1)


def _notes(table: PublishedTable, compared: Sequence[Compared], measured: Sequence[Compared]) -> Iterable[str]:
    yield f"paper: {table.paper}"
    bounds = [f"{table.tolerance:g}" if table.tolerance else "", f"{table.relative:.0%}" if table.relative else ""]
    stated = " or ".join(bound for bound in bounds if bound)
    yield (
        f"agrees: within {stated or '0'} of the paper; within chance: further, but inside the 95% t-interval for two "
        f"means of {table.repeats} and n repeats that spread alike"
    )
    distinct = list({one.cell.identity: one for one in measured if not one.cell.stand_in}.values())
    agreeing, unclear = (sum(one.verdict == verdict for one in distinct) for verdict in (AGREES, UNCLEAR))
    lacking = [one for one in compared if not one.n]
    yield (
        f"of {len(distinct)} distinct cells {agreeing} agree and {unclear} are within chance; "
        f"{len(lacking)} of {len(compared)} lack a run"
    )
    for one in measured:
        if one.cell.note:
            yield f"note on {' '.join(one.cell.names)}: {one.cell.note}"
    for stand_in in dict.fromkeys(one.cell.stand_in for one in measured if one.cell.stand_in):
        yield f"stand-in, without a verdict: {stand_in}"
    yield from _lacking(lacking)
    runnable = [one.cell for one in lacking if not one.runs and not one.cell.needs]
    if runnable:
        yield from (f"to run them: {typed}" for typed in commands(table, runnable))


def _lacking(lacking: Sequence[Compared]) -> Iterable[str]:
    """Why cells have no number: what does not exist yet in one sentence, then one for each other reason."""
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
        yield f"{reason}: {_which(group)}"


def _which(group: Sequence[Compared]) -> str:
    """The cells in a few words: the values of each column; exact where they are a product."""
    columns = [list(dict.fromkeys(column)) for column in zip(*(one.cell.names for one in group), strict=True)]
    product = math.prod(len(column) for column in columns) == len(group)
    words = " × ".join(", ".join(column) for column in columns)
    return f"{len(group)} {'cell' if len(group) == 1 else 'cells'}{'' if product else ' among'} ({words})"


def _figures_table(table: PublishedTable, compared: Sequence[Compared]) -> Table:
    tau, n_cells = rank_agreement(compared)
    stated = claims(compared)
    share = stated.hold / stated.total if stated.total else float("nan")
    rows = (("rank agreement (Kendall's tau-b over cells)",), ("claims 'A above B' that hold (share of pairs)",))
    notes = (
        "n: cells or pairs; a cell that is printed several times counts once, misprints do not count; claims compare "
        "cells that share every column outside the comparison",
    )
    entries = ((Entry(tau, n=n_cells),), (Entry(share, n=stated.total),))
    return Table(f"{table.name} as a whole", ("figure",), rows, (("", "value"),), entries, notes)


def _not_run_table(table: PublishedTable, compared: Sequence[Compared]) -> Table:
    lacking = [one for one in compared if not one.n]
    rows = tuple((*one.cell.names, one.verdict) for one in lacking)
    entries = tuple((Entry(one.cell.value, n=0),) for one in lacking)
    title, keys = f"{table.name}: cells without a run", (*table.keys, "verdict")
    return Table(title, keys, rows, (("value", "paper"),), entries, mixed=True)
