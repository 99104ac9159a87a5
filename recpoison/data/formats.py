"""Parsers of the files that datasets come in. Whatever is broken is named by file and line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recpoison.data.diagnosis import bad_line, is_number, overlong_line, split_lines
from recpoison.data.interactions import Interactions, Scale
from recpoison.data.layout import Layout
from recpoison.data.opening import open_table, read_bytes
from recpoison.data.parquet import open_parquet
from recpoison.errors import DataError, shown, some_of

SEPARATORS = ("::", "\t", ";", ",", "|")  # in the order in which a guess tries them


@dataclass(frozen=True, eq=False)
class Rows:
    """What a file says, ids as in the file.

    Args:
        users: ``(n,)`` labels, whole numbers or text.
        items: ``(n,)`` labels.
        values: ``(n,)`` ratings or counts; None where the file has none.
        times: ``(n,)`` seconds; None where the file has none.
    """

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray | None = None
    times: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.users)


def read_delimited(path: Path, layout: Layout) -> Rows:
    """Read a table with one interaction a line (csv, tsv, ``::``; plain or gz).

    Ids that are all whole numbers become numbers (``007`` is 7), others stay text.

    Raises:
        DataError: If the file is broken, a column is missing, or a line holds no number where one belongs.
    """
    content, layout = open_table(path, layout)
    content = _without_blank_start(content)
    first = content.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip("\r")
    separator = layout.separator or _guess_separator(first)
    positions = _positions(path, first, separator, layout)
    if problem := overlong_line(path, content, separator):
        raise problem
    step = len(separator) if separator != r"\s+" else 1
    try:
        frame = pd.read_csv(
            io.BytesIO(content),
            sep=separator if separator == r"\s+" else separator[0],
            header=None,
            skiprows=int(layout.header),
            usecols=sorted({position * step for position in positions.values()}),
            dtype={positions["rating"] * step: np.float64} if "rating" in positions else None,
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            quoting=csv.QUOTE_MINIMAL if separator == "," else csv.QUOTE_NONE,
        )
        rows = _rows_of({role: frame[position * step] for role, position in positions.items()}, layout)
    except ValueError as error:
        raise bad_line(path, content, separator, positions, layout, str(error)) from None
    return rows


def _without_blank_start(content: bytes) -> bytes:
    """The file from its first line that is not blank."""
    start = 0
    while (end := content.find(b"\n", start)) >= 0 and not content[start:end].strip():
        start = end + 1
    return content[start:]


def _guess_separator(line: str) -> str:
    return next((separator for separator in SEPARATORS if separator in line), r"\s+")


def _positions(path: Path, first: str, separator: str, layout: Layout) -> dict[str, int]:
    """Column numbers of each role, names looked up in the header."""
    if separator != r"\s+" and len(set(separator)) != 1:
        raise DataError(f"separator {separator!r} cannot be read: give one character, one repeated, or \\s+")
    _, names = next(split_lines(first, separator))
    if (
        layout.header
        and isinstance(layout.rating, int)
        and layout.rating < len(names)
        and is_number(names[layout.rating])
    ):
        raise DataError(f"{path}, line 1: {shown(first)} looks like data, not like a header: set dataset.header=false")
    positions = {}
    for role, column in layout.columns.items():
        if isinstance(column, str) and not layout.header:
            raise DataError(
                f"{path} is read without a header, but dataset.{role} is {column!r}: give its number from 0"
            )
        if isinstance(column, str) and column not in names:
            raise DataError(f"{path} has no column {column!r}: set dataset.{role} to one of {some_of(names)}")
        positions[role] = names.index(column) if isinstance(column, str) else column
        if positions[role] >= len(names):
            raise DataError(
                f"{path}, line 1: there are {len(names)} columns split at {separator!r}, "
                f"but the {role} is wanted from column {column} (from 0): check dataset.separator and dataset.{role}"
            )
    return positions


def _rows_of(columns: dict[str, pd.Series], layout: Layout) -> Rows:
    """The columns of each role as arrays.

    Raises:
        ValueError: If a value is missing, no number or off the scale.
    """
    rows = Rows(
        _labels(columns["user"]),
        _labels(columns["item"]),
        columns["rating"].to_numpy(np.float64) if "rating" in columns else None,
        seconds(columns["time"]) if "time" in columns else None,
    )
    _check_values(rows, layout)
    return rows


def _labels(column: pd.Series) -> np.ndarray:
    if column.isna().any():
        raise ValueError("an id is empty")
    if pd.api.types.is_integer_dtype(column):
        return column.to_numpy()
    return column.astype(str).to_numpy(dtype=np.str_)


def seconds(column: pd.Series) -> np.ndarray:
    """Timestamps as seconds since 1970, from numbers or ISO dates."""
    if not pd.api.types.is_numeric_dtype(column):
        if column.isna().any():
            raise ValueError("a time is missing")
        codes, dates = pd.factorize(column)
        if not all(str(date)[:4].isdigit() for date in dates):  # pandas takes "today" for a date
            raise ValueError("a time is no date")
        days = pd.to_datetime(pd.Series(dates), format="ISO8601", utc=True)
        return (days - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)[codes]
    return column.to_numpy(np.float64)


def _check_values(rows: Rows, layout: Layout) -> None:
    for array in (rows.values, rows.times):
        if array is not None and not np.isfinite(array).all():
            raise ValueError("a number is missing")
    if layout.scale is not None and rows.values is not None and len(rows):
        low, high, _ = layout.scale
        if rows.values.min() < low or rows.values.max() > high:
            raise ValueError("a rating is off the scale")


def read_grouped(path: Path) -> Rows:
    """Read lines ``user item item ...`` (LightGCN's form of Gowalla); a user may have no item.

    Raises:
        DataError: If the file is broken or an id is no whole number.
    """
    lines = read_bytes(path).splitlines()
    counts = np.fromiter((len(line.split()) for line in lines), np.int64, len(lines))
    try:
        numbers = np.array(b" ".join(lines).split()).astype(np.int64)
    except ValueError:
        number = next(n for n, line in enumerate(lines, 1) if not all(part.isdigit() for part in line.split()))
        raise DataError(f"{path}, line {number}: an id is no whole number: mend or delete the line") from None
    counts = counts[counts > 0]
    heads = np.zeros(len(numbers), dtype=bool)
    heads[np.cumsum(counts) - counts] = True
    return Rows(np.repeat(numbers[heads], counts - 1), numbers[~heads])


def read_negatives(path: Path) -> tuple[np.ndarray, np.ndarray]:
    r"""Read NCF's given negatives, lines ``(user,item)\tnegative\tnegative...``.

    Returns:
        Pairs ``(n, 2)`` and negatives ``(n, m)``, ids as in the file.

    Raises:
        DataError: If a line has another length than the first, or an id is no whole number.
    """
    lines = read_bytes(path).splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            head, *rest = line.split(b"\t")
            rows.append([int(part) for part in (*head.strip(b"()").split(b","), *rest)])
        except ValueError:
            raise DataError(f"{path}, line {number}: an id is no whole number: mend or delete the line") from None
        if len(rows[-1]) != len(rows[0]):
            raise DataError(
                f"{path}, line {number}: there are {len(rows[-1]) - 2} negatives, "
                f"but line 1 has {len(rows[0]) - 2}: give every test row as many"
            )
    table = np.array(rows, dtype=np.int64)
    return table[:, :2], table[:, 2:]


def read_parquet(path: Path, layout: Layout) -> Rows:
    """Read the same columns from a parquet file, or a folder of its parts.

    Raises:
        DataError: If pyarrow is not installed, the file is broken or a column is missing.
    """
    frame = open_parquet(path)
    names = list(map(str, frame.columns))
    columns = {}
    for role, column in layout.columns.items():
        name = names[column] if isinstance(column, int) and column < len(names) else column
        if name not in names:
            raise DataError(f"{path} has no column {column!r}: set dataset.{role} to one of {some_of(names)}")
        columns[role] = frame.iloc[:, names.index(str(name))]
    return _parquet_rows(path, columns, layout)


def _parquet_rows(path: Path, columns: dict[str, pd.Series], layout: Layout) -> Rows:
    try:
        rows = _rows_of(columns, layout)
    except ValueError as error:
        raise DataError(f"{path} cannot be used ({error}): mend the column") from None
    if not len(rows):
        raise DataError(f"{path} is empty: give a file with rows")
    return rows


def stack(parts: Sequence[Rows]) -> Rows:
    """One table after another; a column that a part lacks is dropped."""

    def join(name: str) -> np.ndarray | None:
        arrays = [getattr(part, name) for part in parts]
        if any(array is None for array in arrays):
            return None
        # ids of both signs and 64 bits have no common whole number type, and as floats neighbours would merge
        text = name in ("users", "items") and np.result_type(*arrays).kind in "Uf"
        return np.concatenate([array.astype(np.str_) if text else array for array in arrays])

    users, items = join("users"), join("items")
    assert users is not None
    assert items is not None
    return Rows(users, items, join("values"), join("times"))


def number(rows: Rows, scale: tuple[float, float, float] | None) -> Interactions:
    """Give users and items ids from 0 in the order of their labels. Without values every row counts 1."""
    users, user_labels = pd.factorize(rows.users, sort=True)
    items, item_labels = pd.factorize(rows.items, sort=True)
    return Interactions(
        users,
        items,
        np.ones(len(rows)) if rows.values is None else rows.values,
        len(user_labels),
        len(item_labels),
        None if scale is None else Scale(*scale),
        rows.times,
        np.asarray(user_labels),
        np.asarray(item_labels),
    )
