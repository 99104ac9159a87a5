"""Accuracy on held-out items: pure functions of their places, one number a user.

Places start at 0. A user may hold out several items; a user without any is not counted. Every function returns
``(n_users,)`` and a table shows the mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recpoison.evaluation.ranks import ItemRanks


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out items sorted by user, and by place within a user.

    Args:
        users: ``(n_users,)`` ids of the users who hold out something.
        starts: ``(n_users,)`` first row of each user.
        counts: ``(n_users,)`` held-out items of each user.
        items: ``(n,)`` item ids.
        places: ``(n,)`` places from 0, different within a user: tied items of one user take the places after one
            another.
        candidates: ``(n_users,)`` candidates of each user, held-out items among them.
    """

    users: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    items: np.ndarray
    places: np.ndarray
    candidates: np.ndarray

    @property
    def order(self) -> np.ndarray:
        """``(n,)`` 0 for the best held-out item of a user, 1 for the next."""
        return np.arange(len(self.places)) - np.repeat(self.starts, self.counts)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum of ``(n,)`` values over each user's items."""
        return np.add.reduceat(values, self.starts) if len(values) else np.zeros(0)


def place_held_out(part: ItemRanks, ties: str) -> HeldOut:
    """Give every held-out item a place.

    Args:
        part: Ranks of the held-out items.
        ties: ``against``: negatives of the same score stand before it, as in APR's code; ``for``: after it.
    """
    order = np.lexsort((part.above, part.users))
    sorted_part = part.take(order)
    users, starts, counts = np.unique(sorted_part.users, return_index=True, return_counts=True)
    keys = np.stack([sorted_part.users, sorted_part.above])
    new = np.ones(len(part), dtype=bool)
    new[1:] = (np.diff(keys, axis=1) != 0).any(axis=0)
    first = np.flatnonzero(new)
    sizes = np.diff(np.append(first, len(part)))
    within = np.arange(len(part)) - np.repeat(first, sizes)
    places = sorted_part.above.astype(np.int64) + within
    if ties == "against":
        places += sorted_part.ties - (np.repeat(sizes, sizes) - 1)
    return HeldOut(users, starts, counts, sorted_part.items, places, sorted_part.candidates[starts].astype(np.int64))


def discount(places: np.ndarray) -> np.ndarray:
    """What a hit at a 0-based place is worth: ln 2 / ln(place + 2), 1 at the top."""
    return np.log(2) / np.log(places + 2.0)


def hit_ratio(held: HeldOut, k: int) -> np.ndarray:
    """HR: 1 for a user with at least one held-out item in the first k (share of hits with one held-out item)."""
    return (held.total(held.places < k) > 0).astype(float)


def ndcg(held: HeldOut, k: int) -> np.ndarray:
    """NDCG: discounted hits over those of the best list, which has min(k, held-out items) hits.

    With one held-out item it is ln 2 / ln(place + 2), as in APR and APT. ``revisit_adv_rec`` cuts the list itself to
    the number of held-out items; we do not.
    """
    gain = held.total(np.where(held.places < k, discount(held.places), 0.0))
    best = np.concatenate([[0.0], np.cumsum(discount(np.arange(k)))])
    return gain / best[np.minimum(held.counts, k)]


def precision(held: HeldOut, k: int) -> np.ndarray:
    """Precision: hits in the first k, over k."""
    return held.total(held.places < k) / k


def recall(held: HeldOut, k: int) -> np.ndarray:
    """Recall: hits in the first k, over the user's held-out items."""
    return held.total(held.places < k) / held.counts


def reciprocal_rank(held: HeldOut, k: int) -> np.ndarray:
    """MRR: 1 / (place from 1) of the first hit, 0 if it is not in the first k."""
    first = held.places[held.starts]
    return np.where(first < k, 1.0 / (first + 1), 0.0)


def average_precision(held: HeldOut, k: int) -> np.ndarray:
    """MAP: the precision at each hit in the first k, summed, over min(k, held-out items)."""
    at_hit = np.where(held.places < k, (held.order + 1) / (held.places + 1), 0.0)
    return held.total(at_hit) / np.minimum(held.counts, k)


def auc(held: HeldOut) -> np.ndarray:
    """AUC: 1 minus the share of negatives placed before a held-out item, averaged over the user's held-out items.

    With ties against it this is APR's ``1 - (negatives >= positive) / negatives``; the mean of ``against`` and ``for``
    is the usual area, where a tie counts half. NaN for a user without negatives.
    """
    negatives = held.candidates - held.counts
    before = held.total((held.places - held.order).astype(float)) / held.counts
    return 1 - np.divide(before, negatives, out=np.full(len(before), np.nan), where=negatives > 0)


AT_CUTOFF: dict[str, Callable[[HeldOut, int], np.ndarray]] = {
    "HR": hit_ratio,
    "NDCG": ndcg,
    "Precision": precision,
    "Recall": recall,
    "MRR": reciprocal_rank,
    "MAP": average_precision,
}
"""Metrics of held-out items at a cutoff, by the label that papers print."""
