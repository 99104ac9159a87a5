"""A paper's table beside ours: verdicts, what was not run, and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from recpoison.errors import ConfigError
from recpoison.evaluation.sentences import counted
from recpoison.published.bouts import with_stars
from recpoison.published.comparison import (
    KEPT,
    RUN,
    Compared,
    claims,
    compare,
    has_labels,
    rank_agreement,
    with_kept,
)
from recpoison.published.kept import Kept, Key, keep, key_of, read_kept
from recpoison.published.tables import PublishedTable, load, names
from recpoison.report.contests import claim_in_words, contest_table
from recpoison.report.data_figures import data_figures
from recpoison.report.measurements import measure
from recpoison.report.presets import Expected, in_words
from recpoison.report.published_notes import kept_notes, missing_notes, verdict_notes
from recpoison.report.runs import LABELS, METRICS, Run, Runs, read_runs, shown_path
from recpoison.report.tables import Entry, Table

OUTPUTS = Path("outputs")
_FEW = 3  # refused runs that are named


@dataclass(frozen=True, eq=False)
class Published:
    """What there is to show of a published table.

    Args:
        table: The paper's.
        runs: The runs that hold a cell of it.
        compared: Each distinct cell.
        tables: Cells, the figures over the whole table, and the paper's claim for one column where it makes one.
        not_run: Every cell that the first table leaves out.
    """

    table: PublishedTable
    runs: Runs
    compared: tuple[Compared, ...]
    tables: tuple[Table, ...]
    not_run: tuple[Table, ...]


def is_published(name: str) -> bool:
    """Whether the argument of ``recpoison-report`` is a published table and no folder."""
    return name in names() and not Path(name).exists()


def published(name: str, paths: Sequence[str], average_repeated: bool = False) -> Published:
    """The table ``name`` beside the runs below ``paths``, or below ``outputs/`` where there are none.

    Cells that no run holds show what was kept. Without any run all cells are shown, else those with a number of ours.

    Raises:
        ConfigError: If a path leads to no run.
        DataError: If a file of a run is broken, or two runs disagree on a cell.
    """
    table = load(name)
    expected = Expected(table)
    runs, refused = _relevant(expected, paths)
    if runs.runs:
        measurements = measure(runs, average_repeated)
        frame = pd.concat([measurements.frame, data_figures(runs.runs)], ignore_index=True)
        configs = measurements.configs
    else:
        frame, configs = pd.DataFrame(columns=[*METRICS, "clean", "run"]), ()
    measured = with_stars(table, compare(table, frame, lambda cell, run: not expected.differences(cell, configs[run])))
    compared = with_kept(table, measured, read_kept(table))
    shown = [one for one in compared if one.n] if runs.runs else compared
    protocols = ["protocol: " + "; ".join(f"{k}: {v}" for k, v in protocol.items()) for protocol in runs.protocols()]
    notes = [*missing_notes(table, compared), *refused, *protocols]
    main = cells_table(table, shown, compared)
    main = replace(main, notes=(*main.notes, *notes))
    rest = [one for one in compared if not one.n] if runs.runs else []
    tables = (main, *whole_tables(table, compared))
    return Published(table, runs, tuple(compared), tables, tuple(_not_run_table(table, rest)))


def whole_tables(table: PublishedTable, compared: Sequence[Compared]) -> tuple[Table, ...]:
    """What is said of the table as a whole."""
    claim = contest_table(table, compared)
    return (figures_table(table, compared), *([claim] if claim else []))


def _relevant(expected: Expected, paths: Sequence[str]) -> tuple[Runs, list[str]]:
    """The runs that hold a cell, and sentences about those that hold one but for their settings."""
    if not paths and not any(OUTPUTS.rglob("metrics.csv")):
        return Runs((), ()), []
    runs = read_runs(paths or [OUTPUTS])
    cells = expected.table.distinct
    taken, refused = [], []
    for run in runs.runs:
        labels = run.metrics[list(LABELS)].drop_duplicates().to_dict("records")
        found = [expected.differences(cell, run.config) for cell in cells if has_labels(cell, labels)]
        if not found:
            continue
        nearest = min(found, key=len)
        if nearest:
            refused.append(f"left out: {shown_path(run.folder)}: {in_words(nearest)}")
        else:
            taken.append(run)
    strangers = len(runs.runs) - len(taken) - len(refused)
    if paths and strangers:
        refused.insert(0, f"left out: {strangers} of {counted(len(runs.runs), 'run')} hold no cell of this table")
    more = [f"left out: {len(refused) - _FEW} more runs with other settings"] if len(refused) > _FEW else []
    missing = tuple(job for job in runs.missing if paths or job.damaged)
    return Runs(tuple(taken), missing), [*refused[:_FEW], *more]


def cells_table(table: PublishedTable, shown: Sequence[Compared], compared: Sequence[Compared]) -> Table:
    """``shown`` cells with the paper's number and ours, and what must be known of all ``compared``."""
    sources = list(dict.fromkeys(one.source or "–" for one in shown))
    rows = [(*one.cell.names, _verdict(one), *[one.source or "–"] * (len(sources) > 1)) for one in shown]
    labels = list(dict.fromkeys(one.cell.label for one in compared))
    group = labels[0] if len(labels) == 1 else "value"
    columns = tuple((group, name) for name in ("paper", "ours", "difference", "95% ±"))
    title = f"{table.name}: {table.title}"
    if sources == [KEPT]:
        title += " (ours: kept numbers)"
    keys = (*table.keys, "verdict", *["ours from"] * (len(sources) > 1))
    entries = tuple(_entries(one) for one in shown)
    notes = (*verdict_notes(table, compared), *table.notes, *kept_notes(table, shown))
    return Table(title, keys, tuple(rows), columns, entries, notes, mixed=len(labels) > 1)


def _verdict(one: Compared) -> str:
    return one.verdict + (" (note)" if one.n and one.cell.note else "")


def _entries(one: Compared) -> tuple[Entry | None, ...]:
    paper = Entry(one.cell.value, n=one.n)
    if not one.n:
        return paper, None, None, None
    return (
        paper,
        Entry(one.mean, one.sd, one.n),
        Entry(one.difference, n=one.n, signed=True),
        Entry(one.half_width, n=one.n),
    )


def figures_table(table: PublishedTable, compared: Sequence[Compared]) -> Table:
    """Rank agreement and claims: over runs where there are any, else over what was kept."""
    source = RUN if any(one.source == RUN for one in compared) else KEPT
    counted = [one for one in compared if one.source == source]
    tau, n_cells = rank_agreement(counted)
    rows = [("rank agreement (Kendall's tau-b over cells)",)]
    entries = [(Entry(tau, n=n_cells),)]
    for kind, stated in claims(counted).items():
        if not stated.total:
            continue
        rows.append((f"claims 'A above B' that hold: {kind}",))
        entries.append((Entry(stated.hold / stated.total, n=stated.total),))
    notes = (
        "n: cells or pairs; a cell that is printed several times counts once, misprints do not count; claims compare "
        "cells that share every column outside the comparison and differ in the attack alone or in what is attacked "
        "alone; that an attacked number is not the clean one holds nearly always and says little",
        *["over kept numbers"] * (source == KEPT and bool(counted)),
    )
    return Table(
        f"{table.name} as a whole",
        ("figure",),
        tuple(rows),
        (("", "value"),),
        tuple(entries),
        notes,
        told=claim_in_words(table, compared),
    )


def _not_run_table(table: PublishedTable, rest: Sequence[Compared]) -> Iterable[Table]:
    if rest:
        rows = tuple((*one.cell.names, one.verdict) for one in rest)
        entries = tuple((Entry(one.cell.value, n=0),) for one in rest)
        title, keys = f"{table.name}: cells without a run", (*table.keys, "verdict")
        yield Table(title, keys, rows, (("value", "paper"),), entries, mixed=True)


def keep_ours(found: Published) -> str:
    """Write what the runs gave for each cell beside the paper's numbers; a sentence on what was written.

    Raises:
        ConfigError: If no run holds a cell.
        OutputError: If the file cannot be written.
    """
    ours = {key_of(one.cell): _kept(one, found.runs.runs) for one in found.compared if one.source == RUN}
    if not ours:
        raise ConfigError(
            f"--keep: no run holds a cell of {found.table.name}: run it first, or name the sweep's folder"
        )
    file, written, left = keep(found.table, ours)
    said = f"{len(written)} of {len(ours)} measured cells kept in {file}"
    return said + (f"; {len(left)} stay, for they are over more repeats: {_listed(left)}" if left else "")


def _listed(keys: Sequence[Key]) -> str:
    return ", ".join(" ".join(key) for key in keys[:_FEW]) + (", ..." if len(keys) > _FEW else "")


def _kept(one: Compared, runs: Sequence[Run]) -> Kept:
    abouts: list[dict[str, Any]] = [runs[place].about for place in one.runs]
    commit, device, command = (_joined(about.get(name) for about in abouts) for name in ("commit", "device", "command"))
    dates = [str(about["finished"])[:10] for about in abouts if about.get("finished")]
    return Kept(one.mean, one.sd, one.n, commit, max(dates, default=""), device, command, p=one.p)


def _joined(values: Iterable[Any]) -> str:
    return ", ".join(dict.fromkeys(str(value) for value in values if value))
