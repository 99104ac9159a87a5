"""Users, items and what passed between them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp


class Scale(NamedTuple):
    """The grid of explicit ratings: ``low, low + step, ..., high``.

    Example:
        >>> Scale(1, 5, step=0.5).snap([3.3, 3.2, 9]).tolist()
        [3.5, 3.0, 5.0]
    """

    low: float
    high: float
    step: float = 1.0

    def snap(self, values: np.ndarray) -> np.ndarray:
        """The nearest grid points to ``values``, never outside the scale."""
        steps = np.rint((np.asarray(values) - self.low) / self.step)
        return np.clip(self.low + steps * self.step, self.low, self.high)


class Edges(NamedTuple):
    """Pairs of a user and an item.

    Args:
        users: ``(n,)`` int64.
        items: ``(n,)`` int64.

    Example:
        >>> Edges(np.array([0, 2]), np.array([1, 0])).keys(n_items=10).tolist()
        [1, 20]
    """

    users: np.ndarray
    items: np.ndarray

    def keys(self, n_items: int) -> np.ndarray:
        """``(n,)`` one number a pair."""
        return self.users * n_items + self.items


class LabelledEdges(NamedTuple):
    """Pairs of a user and an item, and whether they are edges.

    Args:
        users: ``(n,)`` int64.
        items: ``(n,)`` int64.
        labels: ``(n,)`` float32, 1 or 0.
    """

    users: np.ndarray
    items: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Interactions:
    """A table of (user, item, value) rows; ids run from 0 and some may have no row.

    Arrays are read-only. Duplicate (user, item) rows are allowed (play counts, purchases); ``csr`` adds them up and
    ``seen`` merges them.

    Args:
        users: ``(n,)`` integer.
        items: ``(n,)`` integer.
        values: ``(n,)`` ratings, or ones where feedback is implicit.
        n_users: Number of users, with or without rows.
        n_items: Number of items, with or without rows.
        scale: The rating grid; None means implicit feedback.
        times: ``(n,)`` timestamps in seconds, if known.
        user_labels: ``(n_users,)`` ids in the source, if known.
        item_labels: ``(n_items,)`` ids in the source, if known.
        zeros: Pairs without a row that count as seen to be none, for edge prediction; None where no such were drawn.

    Raises:
        ValueError: If lengths differ or an id is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 2], [0, 1, 1, 3], [5, 3, 4, 1], n_users=3, n_items=4, scale=Scale(1, 5))
        >>> data.csr.toarray()
        array([[5., 3., 0., 0.],
               [0., 4., 0., 0.],
               [0., 0., 0., 1.]])
        >>> data.item_counts.tolist()
        [1, 2, 0, 1]
    """

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    n_users: int
    n_items: int
    scale: Scale | None = None
    times: np.ndarray | None = None
    user_labels: np.ndarray | None = field(default=None, repr=False)
    item_labels: np.ndarray | None = field(default=None, repr=False)
    zeros: Edges | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        columns = {"users": np.int64, "items": np.int64, "values": np.float64, "times": np.float64}
        for name, dtype in columns.items():
            array = getattr(self, name)
            if array is None:
                continue
            array = np.array(array, dtype=dtype)
            if array.shape != (len(self.users),):
                raise ValueError(f"{name} has shape {array.shape}, but users has {len(self.users)} rows")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        zeros = self.zeros
        if zeros is not None and len(zeros.users) != len(zeros.items):
            raise ValueError(f"zeros have {len(zeros.users)} users, but {len(zeros.items)} items")
        for name, count in (("user", self.n_users), ("item", self.n_items)):
            ids = getattr(self, f"{name}s")
            if zeros is not None:
                ids = np.concatenate([ids, getattr(zeros, f"{name}s")])
            if len(ids) and not (ids.min() >= 0 and ids.max() < count):
                raise ValueError(f"{name} ids run from {ids.min()} to {ids.max()}, but there are {count} {name}s")

    def __len__(self) -> int:
        return len(self.users)

    @property
    def implicit(self) -> bool:
        """Whether a row only says that something happened."""
        return self.scale is None

    @property
    def highest(self) -> float:
        """The best rating; 1 where there are none."""
        return 1.0 if self.scale is None else self.scale.high

    @property
    def n_pairs(self) -> int:
        """Distinct (user, item) pairs."""
        return int(self.seen.nnz)

    @cached_property
    def csr(self) -> sp.csr_matrix:
        """``(n_users, n_items)`` values; duplicate rows are added up, columns sorted."""
        matrix = sp.csr_matrix((self.values, (self.users, self.items)), shape=(self.n_users, self.n_items))
        matrix.sort_indices()
        return matrix

    @cached_property
    def seen(self) -> sp.csr_matrix:
        """``(n_users, n_items)`` ones where a row exists; each pair once, columns sorted."""
        ones = np.ones(len(self.users), dtype=np.float32)
        matrix = sp.csr_matrix((ones, (self.users, self.items)), shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        matrix.data[:] = 1
        matrix.sort_indices()
        return matrix

    @cached_property
    def user_counts(self) -> np.ndarray:
        """``(n_users,)`` distinct items of each user."""
        return np.diff(self.seen.indptr)

    @property
    def mean_profile(self) -> int:
        """Distinct items of the mean user who has any, rounded."""
        return round(self.n_pairs / max(1, int(np.count_nonzero(self.user_counts))))

    @cached_property
    def item_counts(self) -> np.ndarray:
        """``(n_items,)`` distinct users of each item."""
        return np.bincount(self.seen.indices, minlength=self.n_items)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of everything a method can see: rows in order, sizes and scale."""
        digest = hashlib.sha256(repr((self.n_users, self.n_items, self.scale)).encode())
        for array in (self.users, self.items, self.values, self.times, *(self.zeros or ())):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def labelled(self) -> LabelledEdges:
        """Every row as an edge, in order and with repeats, then the zeros.

        Raises:
            ValueError: If no zeros were drawn.
        """
        if self.zeros is None:
            raise ValueError("no zeros were drawn, so that nothing says what is no edge")
        users, items = (np.concatenate(pair) for pair in zip((self.users, self.items), self.zeros, strict=True))
        labels = np.zeros(len(users), dtype=np.float32)
        labels[: len(self)] = 1
        return LabelledEdges(users, items, labels)

    def take(self, rows: np.ndarray) -> Interactions:
        """The same users, items and zeros with only these ``rows`` (a mask or row numbers)."""
        times = None if self.times is None else self.times[rows]
        return replace(self, users=self.users[rows], items=self.items[rows], values=self.values[rows], times=times)

    def with_fake_users(self, profile: np.ndarray, items: np.ndarray, values: np.ndarray, n_fakes: int) -> Interactions:
        """Append ``n_fakes`` users whose ids follow the real ones; ``profile`` counts them from 0."""
        times = None
        if self.times is not None:
            latest = self.times.max() if len(self) else 0.0
            times = np.concatenate([self.times, np.full(len(items), latest)])
        return replace(
            self,
            users=np.concatenate([self.users, self.n_users + np.asarray(profile, dtype=np.int64)]),
            items=np.concatenate([self.items, items]),
            values=np.concatenate([self.values, values]),
            times=times,
            n_users=self.n_users + n_fakes,
            user_labels=None,
        )
