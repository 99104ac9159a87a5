"""The Netflix prize's text: a line ``movie:``, then that movie's ``user,rating,date`` lines."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recpoison.data.columns import seconds
from recpoison.data.diagnosis import is_date
from recpoison.data.ids import ids_of_numbers
from recpoison.data.opening import read_bytes
from recpoison.data.rows import Rows
from recpoison.errors import DataError, shown

CHUNK = 64 << 20  # bytes parsed at a time

Block = tuple[Path, bytes, int]  # file, its text or a piece of it, lines before the piece


def read_netflix(paths: Sequence[Path]) -> Rows:
    """Read files of one movie (``mv_0000001.txt``) or of many (``combined_data_1.txt``), in the order given.

    Raises:
        DataError: If a file is broken.
    """
    parts = [_netflix_part(blocks) for blocks in _netflix_blocks(paths)]
    if not parts:
        raise DataError("no Netflix file was given: put combined_data_*.txt or training_set/mv_*.txt in the folder")
    columns = zip(*parts, strict=True)
    users, items, values, times = (np.concatenate(column) for column in columns)
    return Rows(ids_of_numbers(users), ids_of_numbers(items), values, times)


def _netflix_blocks(paths: Sequence[Path]) -> Iterator[list[Block]]:
    """Small files together, large files in pieces that begin with a movie, about ``CHUNK`` bytes each."""
    waiting: list[Block] = []
    size = 0
    for path in paths:
        content, start, line = read_bytes(path), 0, 0
        while start < len(content):
            stop = _piece_end(content, start)
            waiting.append((path, content[start:stop], line))
            line += content.count(b"\n", start, stop)
            size, start = size + stop - start, stop
            if size >= CHUNK:
                yield waiting
                waiting, size = [], 0
    if waiting:
        yield waiting


def _piece_end(content: bytes, start: int) -> int:
    """Where the first movie begins that is ``CHUNK`` bytes or more after ``start``; the end where there is none."""
    colon = content.find(b":", start + CHUNK)
    while colon >= 0:
        line = content.rfind(b"\n", start, colon) + 1
        if line > start:
            return line
        colon = content.find(b":", colon + 1)
    return len(content)


def _netflix_part(blocks: list[Block]) -> tuple[np.ndarray, ...]:
    text = b"\n".join(content for _, content, _ in blocks)
    try:
        frame = pd.read_csv(
            io.BytesIO(text), header=None, names=["user", "rating", "date"], dtype={"user": str, "rating": np.float64}
        )
        heads = frame["user"].str.endswith(":").to_numpy(dtype=bool)
        if not heads[0]:
            raise ValueError("no movie")
        movies = frame["user"][heads].str[:-1].astype(np.int64).to_numpy()
        rows = frame[~heads]
        times = seconds(rows["date"])
        if np.isnan(times).any():
            raise ValueError("a date cannot be read")
        values = rows["rating"].to_numpy(np.float64)
        users = rows["user"].astype(np.int64).to_numpy()
        if not ((values >= 1) & (values <= 5)).all():
            raise ValueError("a rating is off the scale")
        return users, np.repeat(movies, np.diff(np.append(np.flatnonzero(heads), len(frame))) - 1), values, times
    except ValueError as error:
        raise _netflix_error(blocks, str(error)) from None


def _netflix_error(blocks: list[Block], cause: str) -> DataError:
    """The first line that is neither ``movie:`` nor ``user,rating,date``."""
    for path, content, before in blocks:
        movie = False
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), before + 1):
            parts = line.strip().split(",")
            head = len(parts) == 1 and parts[0].endswith(":") and parts[0][:-1].isdigit()
            rating = len(parts) == 3 and parts[0].isdigit() and parts[1] in tuple("12345") and is_date(parts[2])
            movie |= head
            if parts != [""] and not (head or (rating and movie)):
                return DataError(
                    f"{path}, line {number}: {shown(line)} is neither 'movie:' nor 'user,rating,date': mend it"
                )
    return DataError(f"{blocks[0][0]} (or a file after it) cannot be read ({cause.splitlines()[0]}): fetch it again")
