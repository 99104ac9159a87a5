"""What we got for each published cell: ``ours/TABLE.csv``, one line a distinct cell, written by ``--keep``.

A line has the table's key columns as the report prints them, ``measure`` (``target HR@50``), our ``mean sd n`` in the
csv's unit, and where they come from: ``commit date device command``, ``origin`` (``measured`` from runs, or
``transcribed`` from a document of before there were such files) and ``remark`` (how the run departs from the paper).
Of a table with a contest it ends with ``p``, of the champion against the best of its rivals.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recpoison.errors import DataError, OutputError
from recpoison.published.tables import FOLDER, PublishedCell, PublishedTable

OURS = FOLDER / "ours"
MEASURED, TRANSCRIBED = "measured", "transcribed"
_ABOUT = ("mean", "sd", "n", "commit", "date", "device", "command", "origin", "remark")
Key = tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """A number of ours as it was kept.

    Args:
        mean: Over seeds, in the unit of the paper's csv.
        sd: Over seeds; nan with a single one.
        n: Number of seeds.
        commit: Of this project, when it was measured; empty where nobody knows.
        date: Day on which the runs ended, as 2026-11-22.
        device: What they ran on.
        command: What was typed.
        origin: ``measured`` or ``transcribed``.
        remark: How the run departs from what the paper did.
        p: Of the champion of the table's contest, else nan.
    """

    mean: float
    sd: float
    n: int
    commit: str = ""
    date: str = ""
    device: str = ""
    command: str = ""
    origin: str = MEASURED
    remark: str = ""
    p: float = float("nan")


def key_of(cell: PublishedCell) -> Key:
    """What names a distinct cell in the file."""
    return (*cell.names, cell.label)


def file_of(table: PublishedTable) -> Path:
    """Where the numbers for ``table`` are kept."""
    return OURS / f"{table.name}.csv"


def read_kept(table: PublishedTable) -> dict[Key, Kept]:
    """The kept numbers of ``table`` by :func:`key_of`; none where there is no file.

    Raises:
        DataError: If a line is no number, or names no cell of the table or one twice.
    """
    file = file_of(table)
    if not file.is_file():
        return {}
    known = {key_of(cell) for cell in table.distinct}
    found: dict[Key, Kept] = {}
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        columns = _columns(table)
        if reader.fieldnames != columns:
            raise DataError(f"{file}: its columns should be {','.join(columns)}")
        for row in reader:
            key = tuple(row[column] for column in (*table.keys, "measure"))
            place = f"{file}, line {reader.line_num}"
            if key not in known or key in found:
                said = "is there twice" if key in found else f"is no cell of {table.name}"
                raise DataError(f"{place}: {' '.join(key)} {said}: remove the line")
            found[key] = _kept(row, place)
    return found


def _kept(row: Mapping[str, str], place: str) -> Kept:
    try:
        return Kept(
            float(row["mean"]),
            float(row["sd"] or "nan"),
            int(row["n"]),
            **{column: row[column] for column in _ABOUT[3:]},
            p=float(row.get("p") or "nan"),
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"{place}: mean, sd and n should be numbers ({error}): write them with --keep") from error


def keep(table: PublishedTable, found: Mapping[Key, Kept]) -> tuple[Path, list[Key], list[Key]]:
    """Add ``found`` to the file; returned with the cells that are written and those that are left as they were.

    A number over more seeds is not replaced by one over fewer. Lines stand in the table's order.

    Raises:
        OutputError: If the file cannot be written.
    """
    before = read_kept(table)
    left = [key for key, kept in found.items() if key in before and before[key].n > kept.n]
    written = [key for key in found if key not in left]
    after = before | {key: found[key] for key in written}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_columns(table))
    for key in dict.fromkeys(key_of(cell) for cell in table.distinct):
        if key in after:
            writer.writerow([*key, *_fields(after[key]), *[_number(after[key].p)] * (table.contest is not None)])
    _write(file_of(table), text.getvalue())
    return file_of(table), written, left


def _fields(kept: Kept) -> list[str]:
    return [_number(kept.mean), _number(kept.sd), str(kept.n), *(getattr(kept, name) for name in _ABOUT[3:])]


def _columns(table: PublishedTable) -> list[str]:
    return [*table.keys, "measure", *_ABOUT, *["p"] * (table.contest is not None)]


def _number(value: float) -> str:
    return "" if value != value else f"{value:.6g}"


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f".{file.name}.draft")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, file)
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror or error}") from error
