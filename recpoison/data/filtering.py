"""Which rows stay: thresholds, minimum counts, k-cores, samples of users, duplicates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from recpoison.data.interactions import Interactions
from recpoison.data.pairs import begins, in_order, present
from recpoison.errors import DataError
from recpoison.idle import Part, Together
from recpoison.progress import Progress
from recpoison.ranges import ANY, check_ranges, ranged
from recpoison.seeds import Seeds


class Filtered(NamedTuple):
    """What filters leave: the data with compact ids, and the ``rows`` of the input they are."""

    data: Interactions
    rows: np.ndarray


@dataclass(frozen=True)
class Filters(Part):
    """Filters, applied in the order of the fields, but ``count``, which says how the three before it count.

    Users and items without a row left go, ids are counted anew in their old order, labels stay. Where no scale is left
    (implicit feedback), every value becomes 1.

    Args:
        binarise_at: Keep values at or above this and forget them; None keeps all.
        implicit: Forget the values of explicit ratings.
        min_user: Least rows of a user, counted once.
        min_item: Least rows of an item, counted once among the rows of users that stay.
        k_core: Least rows of users and items, counted again until nothing changes; 0 is off.
        count: What the three counts count: distinct ``pairs`` of user and item, or every row (``rows``).
        sample_users: Keep this many users drawn at random (stream ``data``); None keeps all.
        duplicates: ``merge`` keeps the last row of a pair, by time (without times, and in a tie, in file order);
            ``keep`` keeps all of them.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], [1] * 5, n_users=3, n_items=3)
        >>> kept = Filters(k_core=2).apply(data, Seeds(0), Progress()).data
        >>> kept.n_users, kept.n_items, len(kept)  # user 2 and item 2 have one row
        (2, 2, 4)
    """

    binarise_at: float | None = ranged(None, low=ANY, null="no cut")
    implicit: bool = False
    min_user: int = ranged(0, low=0, note=" (0: off)")
    min_item: int = ranged(0, low=0, note=" (0: off)")
    k_core: int = ranged(0, low=0, note=" (0: off)")
    count: Literal["pairs", "rows"] = ranged("pairs", words=("pairs", "rows"))
    sample_users: int | None = ranged(None, low=1, null="all")
    duplicates: Literal["merge", "keep"] = ranged("merge", words=("merge", "keep"))

    def __post_init__(self) -> None:
        check_ranges(self, "dataset.filters")

    @property
    def forget(self) -> bool:
        """Whether no rating is left."""
        return self.implicit or self.binarise_at is not None

    def idle(self, parts: Together) -> dict[str, str]:
        """How rows are counted, where nothing is; values that are forgotten anyway."""
        found = {}
        if max(self.min_user, self.min_item, self.k_core) <= 1:
            found["count"] = "min_user, min_item and k_core take nothing away"
        if self.binarise_at is not None:
            found["implicit"] = "binarise_at forgets the values already"
        return found

    def apply(self, data: Interactions, seeds: Seeds, progress: Progress) -> Filtered:
        """The rows of ``data`` that stay.

        Raises:
            DataError: If nothing is left; says which filter to loosen.
        """
        rows = np.arange(len(data))
        if self.binarise_at is not None:
            rows = rows[data.values[rows] >= self.binarise_at]
            self._refuse_nothing(rows, "binarise_at", f"values run from {_span(data.values)}")
        if self.min_user:
            rows = rows[self._counts(data, rows, data.users) >= self.min_user]
            self._refuse_nothing(rows, "min_user", "no user has as many")
        if self.min_item:
            rows = rows[self._counts(data, rows, data.items) >= self.min_item]
            self._refuse_nothing(rows, "min_item", "no item has as many")
        if self.k_core:
            rows = self._core(data, rows)
            self._refuse_nothing(rows, "k_core", "users and items without as many took the others with them")
        if self.sample_users is not None:
            rows = self._sample(data, rows, seeds)
        self._note_dropped(data, rows, progress)
        rows = self._merge(data, rows, progress)
        kept = renumber(data, rows)
        if self.forget or kept.implicit:
            kept = replace(kept, scale=None, values=np.ones(len(kept)))
        return Filtered(kept, rows)

    def _note_dropped(self, data: Interactions, rows: np.ndarray, progress: Progress) -> None:
        if len(rows) == len(data):
            return
        names = ("binarise_at", "min_user", "min_item", "k_core", "sample_users")
        at_work = ", ".join(f"{name}={value:g}" for name in names if (value := getattr(self, name)))
        users, items = present(data.users[rows], data.n_users).sum(), present(data.items[rows], data.n_items).sum()
        progress.note(
            f"filters ({at_work}) keep {len(rows):,} of {len(data):,} rows, {users:,} of {data.n_users:,} users, "
            f"{items:,} of {data.n_items:,} items"
        )

    def _refuse_nothing(self, rows: np.ndarray, name: str, why: str) -> None:
        if not len(rows):
            raise DataError(f"dataset.filters.{name}={getattr(self, name):g} leaves no row ({why}): lower it")

    def _counts(self, data: Interactions, rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """For each of ``rows``: how many rows (or distinct pairs) its user or item has among them."""
        counted = rows if self.count == "rows" else rows[_first_of_pair(data, rows)]
        return np.bincount(ids[counted], minlength=ids.max(initial=0) + 1)[ids[rows]]

    def _core(self, data: Interactions, rows: np.ndarray) -> np.ndarray:
        counted = rows if self.count == "rows" else rows[_first_of_pair(data, rows)]
        while True:
            users, items = data.users[counted], data.items[counted]
            good_users = np.bincount(users, minlength=data.n_users) >= self.k_core
            good_items = np.bincount(items, minlength=data.n_items) >= self.k_core
            keep = good_users[users] & good_items[items]
            if keep.all():
                return rows[good_users[data.users[rows]] & good_items[data.items[rows]]]
            counted = counted[keep]

    def _sample(self, data: Interactions, rows: np.ndarray, seeds: Seeds) -> np.ndarray:
        users = np.flatnonzero(present(data.users[rows], data.n_users))
        assert self.sample_users is not None
        if self.sample_users > len(users):
            raise DataError(
                f"dataset.filters.sample_users={self.sample_users}, but only {len(users)} users are left: lower it"
            )
        chosen = np.zeros(data.n_users, dtype=bool)
        chosen[seeds.numpy("data", "sample_users").choice(users, self.sample_users, replace=False)] = True
        return rows[chosen[data.users[rows]]]

    def _merge(self, data: Interactions, rows: np.ndarray, progress: Progress) -> np.ndarray:
        if begins(np.sort(pair_keys(data, rows))).all():
            return rows
        order = rows if data.times is None else rows[np.argsort(data.times[rows], kind="stable")]
        last = order[::-1][_first_of_pair(data, order[::-1])]
        done = "merged" if self.duplicates == "merge" else "kept"
        progress.note(f"{len(rows):,} rows are {len(last):,} distinct pairs of user and item: duplicates {done}")
        return np.sort(last) if self.duplicates == "merge" else rows


def _span(values: np.ndarray) -> str:
    return f"{values.min():g} to {values.max():g}" if len(values) else "nothing to nothing"


def pair_keys(data: Interactions, rows: np.ndarray) -> np.ndarray:
    """One number for each row, equal where user and item are."""
    return data.users[rows] * data.n_items + data.items[rows]


def _first_of_pair(data: Interactions, rows: np.ndarray) -> np.ndarray:
    """Positions in ``rows`` of the first row of each pair, in order."""
    order, ordered = in_order(pair_keys(data, rows))
    return np.sort(order[begins(ordered)])


def renumber(data: Interactions, rows: np.ndarray) -> Interactions:
    """Only ``rows``, and only the users and items that have one of them, counted from 0 in their old order."""
    users, user_ids = _counted_anew(data.users[rows], data.n_users)
    items, item_ids = _counted_anew(data.items[rows], data.n_items)
    return replace(
        data,
        users=user_ids,
        items=item_ids,
        values=data.values[rows],
        times=None if data.times is None else data.times[rows],
        n_users=len(users),
        n_items=len(items),
        user_labels=users if data.user_labels is None else data.user_labels[users],
        item_labels=items if data.item_labels is None else data.item_labels[items],
    )


def _counted_anew(ids: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of ``n`` numbers are among ``ids``, and the place of each of ``ids`` among these."""
    here = present(ids, n)
    return np.flatnonzero(here), (np.cumsum(here) - 1)[ids]
