"""Parsers of the files that datasets come in. Whatever is broken is named by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recpoison.data.columns import rows_of
from recpoison.data.ids import ids_of_numbers
from recpoison.data.layout import Layout
from recpoison.data.opening import read_bytes
from recpoison.data.parquet import open_parquet
from recpoison.data.rows import Rows
from recpoison.errors import DataError, some_of
from recpoison.progress import QUIET, Progress


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
    return Rows(ids_of_numbers(np.repeat(numbers[heads], counts - 1)), ids_of_numbers(numbers[~heads]))


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


def read_parquet(path: Path, layout: Layout, progress: Progress = QUIET) -> Rows:
    """Read the same columns from a parquet file, or a folder of its parts.

    Raises:
        DataError: If pyarrow is not installed, the file is broken or a column is missing.
    """
    return rows_of_frame(path, open_parquet(path), layout, progress)


def rows_of_frame(path: Path, frame: pd.DataFrame, layout: Layout, progress: Progress = QUIET) -> Rows:
    """The columns of a table that is read already; ``path`` is for messages.

    Raises:
        DataError: If a column is missing, or rows cannot be used and are not to be dropped.
    """
    if not len(frame):
        raise DataError(f"{path} is empty: give a file with rows")
    names = list(map(str, frame.columns))
    columns = {}
    for role, column in layout.columns.items():
        name = names[column] if isinstance(column, int) and column < len(names) else column
        if name not in names:
            raise DataError(f"{path} has no column {column!r}: set dataset.{role} to one of {some_of(names)}")
        columns[role] = frame.iloc[:, names.index(str(name))]
    try:
        return rows_of(path, columns, layout, progress)
    except ValueError as error:
        remedy = "" if layout.drop_invalid is None else ", or set dataset.drop_invalid=true"
        raise DataError(f"{path} cannot be used ({error}): mend the column{remedy}") from None
