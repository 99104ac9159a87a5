"""Ids as the source writes them: rows point into a sorted list of distinct labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

LONGEST = 4096  # characters of an id; what is longer comes from a broken file


@dataclass(frozen=True, eq=False)
class Ids:
    """The ids of one column.

    Args:
        codes: ``(n,)`` position of each row's id in ``labels``.
        labels: ``(m,)`` distinct ids in ascending order, each of some row: whole numbers where every id is the plain
            decimal of its number (``7``, not ``007``, ``+7`` or ``7.0``), else text (Python strings).
    """

    codes: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def each(self) -> np.ndarray:
        """``(n,)`` the label of every row."""
        return self.labels[self.codes]


def ids_of_numbers(numbers: np.ndarray) -> Ids:
    """Ids from whole numbers of at most 64 bits with a sign."""
    if len(numbers) and int(numbers.max()) - (low := int(numbers.min())) < 4 * len(numbers) + 1024:
        here = np.zeros(int(numbers.max()) - low + 1, dtype=bool)
        here[numbers - low] = True
        return Ids((np.cumsum(here) - 1)[numbers - low], np.flatnonzero(here) + low)
    codes, labels = pd.factorize(np.asarray(numbers, dtype=np.int64), sort=True)
    return Ids(codes, labels)


def ids_of_texts(texts: np.ndarray) -> Ids:
    """Ids from an array of Python strings.

    Raises:
        ValueError: If one is longer than ``LONGEST``.
    """
    codes, distinct = pd.factorize(texts)
    if max(map(len, distinct), default=0) > LONGEST:
        raise ValueError("an id is too long")
    if (numbers := _plain_numbers(distinct)) is not None:
        labels, places = np.unique(numbers, return_inverse=True)
        return Ids(places[codes], labels)
    order = np.argsort(distinct)
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return Ids(places[codes], distinct[order])


def _plain_numbers(texts: np.ndarray) -> np.ndarray | None:
    """The numbers whose plain decimals ``texts`` are, blanks around them left aside; None where one is not."""
    bare = [text.strip() for text in texts]
    try:
        numbers = np.array([int(text) for text in bare], dtype=np.int64)
    except (ValueError, OverflowError):
        return None
    return numbers if list(map(str, numbers.tolist())) == bare else None


def ids_of_column(column: pd.Series) -> Ids:
    """Ids from a column of a table; none may be missing.

    Raises:
        ValueError: If one is too long, or numbers with a fraction stand where ids belong.
    """
    if pd.api.types.is_integer_dtype(column) and (not len(column) or int(column.max()) < 2**63):
        return ids_of_numbers(column.to_numpy(np.int64))
    if pd.api.types.is_float_dtype(column):  # whole numbers become floats where a table cannot mark a missing one
        numbers = column.to_numpy(np.float64)
        if (numbers != np.rint(numbers)).any() or (np.abs(numbers) > 2**53).any():
            raise ValueError("ids are numbers with a fraction, or too large to be told apart: save them as text")
        return ids_of_numbers(numbers.astype(np.int64))
    return ids_of_texts(np.array([str(text) for text in column], dtype=object))


def join(parts: Sequence[Ids]) -> Ids:
    """The ids of one table after another."""
    labels = [part.labels for part in parts]
    if all(array.dtype.kind == "i" for array in labels):
        joined = ids_of_numbers(np.concatenate(labels))
    else:
        joined = ids_of_texts(np.array([str(label) for array in labels for label in array], dtype=object))
    starts = np.cumsum([0, *map(len, labels)])
    return Ids(
        np.concatenate([joined.codes[start + part.codes] for start, part in zip(starts[:-1], parts, strict=True)]),
        joined.labels,
    )


def places_of(labels: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Position of each label in ``known`` (ascending); -1 where it is not there."""
    if labels.dtype.kind != known.dtype.kind or known.dtype.kind == "O":
        numbers = {str(label): number for number, label in enumerate(known)}
        return np.array([numbers.get(str(label), -1) for label in labels], dtype=np.int64)
    places = np.minimum(np.searchsorted(known, labels), len(known) - 1)
    return np.where(known[places] == labels, places, -1)
