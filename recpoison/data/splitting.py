"""From one table to training, validation and test rows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from recpoison.data.interactions import Interactions
from recpoison.data.pairs import begins, in_order, present
from recpoison.errors import DataError
from recpoison.idle import Part, Together
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds

Method = Literal["leave_one_out_last", "leave_one_out_random", "ratio", "ratio_last", "given"]
_METHODS = get_args(Method)
DRAWN = ("leave_one_out_random", "ratio")  # other rows for another seed
_BY_TIME = {"leave_one_out_last": "leave_one_out_random", "ratio_last": "ratio"}  # and what does without times
_TIES = " (of equal times the last in the file)"


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to learn from and rows to be judged by; all tables share users and items.

    Args:
        train: What models are fitted on.
        test: What they are judged by.
        valid: What an epoch may be chosen by; None where no share was set aside.
        negatives: ``(len(test), n)`` given negatives of each test row, where the source ships them.
        held_out: Which rows are test and validation rows, in words, for the protocol over every table.
        notes: What a reader should know of how the tables came about, such as rows dropped; no number depends on them.
    """

    train: Interactions
    test: Interactions
    valid: Interactions | None = None
    negatives: np.ndarray | None = None
    held_out: str = "the dataset's own"
    notes: tuple[str, ...] = ()

    @property
    def n_judged(self) -> int:
        """Users with a test row."""
        return int(present(self.test.users, self.test.n_users).sum())

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of everything an evaluation can see: all tables and the negatives."""
        tables = [None if part is None else part.fingerprint for part in (self.train, self.test, self.valid)]
        shape = None if self.negatives is None else self.negatives.shape
        digest = hashlib.sha256(repr((tables, shape)).encode())
        if self.negatives is not None:
            digest.update(np.ascontiguousarray(self.negatives, dtype=np.int64).tobytes())
        return digest.hexdigest()

    @property
    def whole(self) -> Interactions:
        """All rows: training, validation, test."""
        parts = [part for part in (self.train, self.valid, self.test) if part is not None]
        times = [part.times for part in parts if part.times is not None]
        return replace(
            self.train,
            users=np.concatenate([part.users for part in parts]),
            items=np.concatenate([part.items for part in parts]),
            values=np.concatenate([part.values for part in parts]),
            times=np.concatenate(times) if len(times) == len(parts) else None,
            zeros=None,
        )


@dataclass(frozen=True)
class Splitter(Part):
    """Holds out rows of each user.

    - ``leave_one_out_last``: the last row by time; of rows at the same time the last in file order (a note says for
      how many users that decides). Where the source has no times but marks each user's last row, that one; whose marked
      row a filter took has no test row.
    - ``leave_one_out_random``: one row at random.
    - ``ratio``: a share of the user's rows at random, rounded to the nearest count (half up), never all.
    - ``ratio_last``: the same share, but the user's last rows by time.
    - ``given``: the rows that the source marks as test rows.

    Rows of the same user and item go together; the test table has each such pair once. Random choices use the stream
    ``split``. Validation rows are taken from the rest, and never all of it: the last ones by time where test rows are
    the last ones by time, else, so also under marks of last rows, at random.

    Args:
        method: One of the above.
        test: Share of a user's rows that are test rows, in (0, 1); only ``ratio`` and ``ratio_last`` look at it.
        validation: Share of a user's remaining rows, in [0, 1); 1 is one row per user; 0 sets none aside.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 0, 1, 1], [0, 1, 2, 0, 2], [1] * 5, n_users=2, n_items=3, times=[1, 3, 2, 1, 2])
        >>> split = Splitter("leave_one_out_last").split(data, Seeds(0), Progress())
        >>> split.test.items.tolist(), split.train.items.tolist()
        ([1, 2], [0, 2, 0])
    """

    method: Method = ranged("leave_one_out_last", words=_METHODS)
    test: float = ranged(0.2, low=0.0, high=1, open_low=True, open_high=True)
    validation: float = ranged(0, low=0.0, high=1, note=" (a share; 1: one row per user)")

    def __post_init__(self) -> None:
        check_ranges(self, "dataset.split")

    def idle(self, parts: Together) -> dict[str, str]:
        """The share of test rows, where their number is fixed; all, where an evaluation divides the rows itself."""
        if parts.evaluation.divides_edges:
            why = f"{type(parts.evaluation).__name__} divides all rows itself"
            return dict.fromkeys(("method", "test", "validation"), why)
        takes_share = self.method in ("ratio", "ratio_last")
        return {} if takes_share else {"test": f"method is {self.method}, which takes no share"}

    def _in_words(self, by_time: bool) -> str:
        last = "each user's last row"
        said = {
            "leave_one_out_last": f"{last} by time{_TIES}" if by_time else f"{last}, as the source marks it",
            "leave_one_out_random": "one random row of each user",
            "ratio": f"a random {self.test:.0%} of each user's rows",
            "ratio_last": f"the last {self.test:.0%} of each user's rows by time{_TIES}",
            "given": "the source's own test rows",
        }[self.method]
        one, share = ("the last row", "the last") if by_time else ("one random row", "a random")
        kept = f"{one} of each user's rest" if self.validation == 1 else f"{share} {self.validation:.0%} of the rest"
        return f"{said}; validation: {kept}" if self.validation else said

    def split(self, data: Interactions, seeds: Seeds, progress: Progress, given: np.ndarray | None = None) -> Split:
        """Training, validation and test rows of ``data``.

        Args:
            data: All rows.
            seeds: Feed the stream ``split``.
            progress: Hears for how many users file order decides, and of users without training rows, where the source
                leaves such.
            given: ``(len(data),)`` mask of the rows that the source marks as what the method holds out: its own test
                rows for ``given``, last rows for ``leave_one_out_last``.

        Raises:
            DataError: If the method needs what the data do not have, or leaves a user without training rows.
        """
        rng = seeds.numpy("split")
        last, pair = _pairs_of(data)
        pairs = data.take(last)
        times = None if pairs.times is None else _latest(data.times, pair, len(last))
        held = self._held(pairs, times, last, rng, None if given is None else np.bincount(pair, given, len(last)) > 0)
        self._refuse_empty_users(pairs, held, progress)
        valid = self._validation(pairs, times, last, held, rng)
        by_time = self.method in _BY_TIME and times is not None
        if by_time and times is not None:
            _note_ties(pairs, times, held, ~held, self.method == "leave_one_out_last", "test", progress)
            _note_ties(pairs, times, valid, ~(held | valid), False, "validation", progress)
        return Split(
            data.take(~(held | valid)[pair]),
            data.take(np.sort(last[held])),
            data.take(np.sort(last[valid])) if self.validation else None,
            held_out=self._in_words(by_time),
        )

    def _held(
        self,
        pairs: Interactions,
        times: np.ndarray | None,
        last: np.ndarray,
        rng: np.random.Generator,
        given: np.ndarray | None,
    ) -> np.ndarray:
        counts = np.bincount(pairs.users, minlength=pairs.n_users)
        if self.method == "given":
            if given is None:
                raise DataError(
                    "dataset.split.method=given, but the source has no test rows of its own: give another method"
                )
            return given
        by_time = self.method in _BY_TIME
        if by_time and times is None:
            if self.method == "leave_one_out_last" and given is not None:
                return given
            raise DataError(
                f"dataset.split.method={self.method} needs times, but the source has none: "
                f"set dataset.split.method={_BY_TIME[self.method]}, or given where the source has test rows of its own"
            )
        wanted = np.ones_like(counts)
        if self.method in ("ratio", "ratio_last"):
            wanted = np.minimum(np.floor(self.test * counts + 0.5).astype(np.int64), counts - 1)
        order = times if by_time and times is not None else rng.random(len(pairs))
        return _from_end(pairs.users, order, last) < wanted[pairs.users]

    def _refuse_empty_users(self, pairs: Interactions, held: np.ndarray, progress: Progress) -> None:
        left = np.bincount(pairs.users[~held], minlength=pairs.n_users)
        empty = np.flatnonzero(left == 0)
        if not len(empty):
            return
        label = empty[0] if pairs.user_labels is None else pairs.user_labels[empty[0]]
        which = f"{len(empty)} of {pairs.n_users} users (the first is {label})"
        if self.method == "given":
            progress.note(f"{which} have test rows only, as the source has it")
            return
        raise DataError(
            f"dataset.split.method={self.method} leaves {which} without training rows: "
            "set dataset.filters.k_core=2, or dataset.filters.min_user=2 where other filters take no rows"
        )

    def _validation(
        self,
        pairs: Interactions,
        times: np.ndarray | None,
        last: np.ndarray,
        held: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Mask of validation pairs. By time where the test rows are, else at random."""
        mask = np.zeros(len(pairs), dtype=bool)
        if not self.validation:
            return mask
        rest = np.flatnonzero(~held)
        users = pairs.users[rest]
        counts = np.bincount(users, minlength=pairs.n_users)
        share = (
            np.floor(self.validation * counts + 0.5).astype(np.int64) if self.validation < 1 else np.ones_like(counts)
        )
        wanted = np.clip(share, 0, np.maximum(counts - 1, 0))
        by_time = self.method in _BY_TIME and times is not None
        order = times[rest] if by_time and times is not None else rng.random(len(rest))
        mask[rest] = _from_end(users, order, last[rest]) < wanted[users]
        return mask


def _pairs_of(data: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """The last row of each pair of user and item, by user, then item; and the pair of each row."""
    order, ordered = in_order(data.users * data.n_items + data.items)
    first = begins(ordered)
    pair = np.empty(len(order), dtype=np.int64)
    pair[order] = np.cumsum(first) - 1
    return order[np.append(first[1:], True)[: len(order)]], pair


def _note_ties(
    pairs: Interactions,
    times: np.ndarray,
    taken: np.ndarray,
    left: np.ndarray,
    one: bool,
    kind: str,
    progress: Progress,
) -> None:
    """Say for how many users a row that is taken and one that is left have the same time."""
    first, last = np.full(pairs.n_users, np.inf), np.full(pairs.n_users, -np.inf)
    np.minimum.at(first, pairs.users[taken], times[taken])
    np.maximum.at(last, pairs.users[left], times[left])
    if tied := int((first == last).sum()):
        what = "last time" if one else f"time where the {kind} rows begin"
        progress.note(
            f"the {what} of {tied:,} of {pairs.n_users:,} users is shared by several rows: file order decides which "
            + (f"is the {kind} row" if one else f"are {kind} rows")
        )


def _latest(times: np.ndarray | None, pair: np.ndarray, n_pairs: int) -> np.ndarray:
    """Latest time of each pair."""
    assert times is not None
    latest = np.full(n_pairs, -np.inf)
    np.maximum.at(latest, pair, times)
    return latest


def _from_end(users: np.ndarray, order: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """How many rows of the same user come after each row, by ``order``, then by ``ties``."""
    sorting = np.lexsort((ties, order, users))
    ends = np.cumsum(np.bincount(users[sorting], minlength=1 if not len(users) else int(users.max()) + 1))
    after = np.empty(len(users), dtype=np.int64)
    after[sorting] = ends[users[sorting]] - 1 - np.arange(len(users))
    return after
