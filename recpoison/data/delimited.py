"""Tables with one interaction a line: csv, tsv and their kin."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recpoison.data.columns import rows_of
from recpoison.data.diagnosis import bad_line, is_number
from recpoison.data.header import refuse_recurring_header, refuse_wrong_header
from recpoison.data.layout import Layout
from recpoison.data.lines import BLANKS, Text
from recpoison.data.opening import open_table
from recpoison.data.rows import Rows
from recpoison.errors import DataError, some_of
from recpoison.progress import QUIET, Progress

SEPARATORS = ("::", "\t", ";", ",", "|")  # in the order in which a guess tries them
_SHOWN = 120  # letters of a header that a note shows


def read_delimited(path: Path, layout: Layout, progress: Progress = QUIET) -> Rows:
    """Read a table with one interaction a line (csv, tsv, ``::``; packed or not, or JSON lines).

    Ids are compared as they are written; they are numbers only where every one is the plain decimal of its number.

    Args:
        path: The file.
        layout: Its columns.
        progress: Hears what was taken for a header, what was left out, and which ratings are off the scale's steps.

    Raises:
        DataError: If the file is broken, a column is missing, the first line is no header where one is said to be, or
            is one where none is, or rows cannot be used and are not to be dropped.
    """
    content, layout = open_table(path, layout)
    text = _text(path, content, layout)
    names = _names(text)
    positions = _positions(text, names, layout)
    refuse_wrong_header(text, layout, names)
    if overlong := text.shape.overlong:
        raise DataError(
            f"{path}, line {overlong[0]}: there are {overlong[1]} fields, but line 1 has {len(names)}: mend or delete "
            "the line, or set dataset.separator"
        )
    try:
        rows = rows_of(path, _columns(text, positions, layout), layout, progress)
    except ValueError as error:
        raise bad_line(text, positions, layout, error) from None
    refuse_recurring_header(text, layout, positions, names, rows)
    if layout.header:
        progress.note(f"{path.name}: line 1 is taken for a header: {', '.join(names)[:_SHOWN]}")
    return rows


def _text(path: Path, content: bytes, layout: Layout) -> Text:
    start = 0
    while (end := content.find(b"\n", start)) >= 0 and not content[start:end].strip():
        start = end + 1
    before, content = content.count(b"\n", 0, start), content[start:]
    separator = layout.separator or _guess(content)
    if separator != BLANKS and len(set(separator)) != 1:
        raise DataError(f"separator {separator!r} cannot be read: give one character, one repeated, or \\s+")
    return Text(path, content, separator, before)


def _guess(content: bytes) -> str:
    first = Text(Path(), content, BLANKS).first
    return next((mark for mark in SEPARATORS if mark in first), BLANKS)


def _names(text: Text) -> list[str]:
    return [name.strip() for name in next(text.split(most=1))[1]]


def _positions(text: Text, names: list[str], layout: Layout) -> dict[str, int]:
    """Column numbers of each role, names looked up in the header."""
    positions = {}
    for role, column in layout.columns.items():
        if isinstance(column, str) and not layout.header:
            raise DataError(
                f"{text.path} is read without a header, but dataset.{role} is {column!r}: give its number from 0"
            )
        if isinstance(column, str) and column not in names:
            raise DataError(f"{text.path} has no column {column!r}: set dataset.{role} to one of {some_of(names)}")
        positions[role] = names.index(column) if isinstance(column, str) else column
        if positions[role] >= len(names):
            raise DataError(
                f"{text.path}, line 1: there are {len(names)} columns split at {text.separator!r}, "
                f"but the {role} is wanted from column {column} (from 0): check dataset.separator and dataset.{role}"
            )
    return positions


def _columns(text: Text, positions: dict[str, int], layout: Layout) -> dict[str, pd.Series]:
    """The columns of each role: as numbers where reading them so loses nothing, else as text, NaN where empty.

    Raises:
        ValueError: If there is no row, or the text is no table.
    """
    step = 1 if text.separator == BLANKS else len(text.separator)
    for kinds in _guesses(text, positions, layout):
        try:
            frame = pd.read_csv(
                _below_header(text, layout),
                sep=text.separator if text.separator == BLANKS else text.separator[0],
                header=None,
                usecols=sorted({position * step for position in positions.values()}),
                dtype={positions[role] * step: kind for role, kind in kinds.items()},
                keep_default_na=False,
                na_values=[""],
                quoting=csv.QUOTE_MINIMAL if text.enclosed else csv.QUOTE_NONE,
            )
        except (ValueError, OverflowError) as error:
            cause = error
        else:
            return {role: frame[position * step] for role, position in positions.items()}
    raise ValueError(str(cause))


def _below_header(text: Text, layout: Layout) -> io.BytesIO:
    stream = io.BytesIO(text.content)
    if layout.header:
        stream.readline()  # pandas' own way of skipping a line looks at every line
    return stream


def _guesses(text: Text, positions: dict[str, int], layout: Layout) -> Iterator[dict[str, Any]]:
    """Types to read the columns as, the quickest first. Reading fails where a field is not of its column's type."""
    rows = islice(text.split(1 << 16), int(layout.header), int(layout.header) + 1)
    first = {role: fields[place] for _, fields in rows for role, place in positions.items() if place < len(fields)}
    kinds: dict[str, Any] = dict.fromkeys(positions, object)
    for role in {"rating", "time"} & set(first):
        kinds[role] = np.float64 if is_number(first[role]) else object
    whole = {role: np.int64 for role in ("user", "item") if text.shape.plain and first.get(role, "").isdigit()}
    if whole:
        yield kinds | whole
    yield kinds
    if np.float64 in kinds.values():
        yield dict.fromkeys(positions, object)
