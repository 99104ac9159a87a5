"""Accuracy on held-out items: pure functions of their places, one number a user.

Places start at 0. A user may hold out several items; a user without any is not counted. Every function returns
``(n_users,)`` and a table shows the mean. Where ties count half, a number is the expected value over all orders of
candidates with the same score, held-out items among them (McSherry and Najork 2008, in closed form).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recpoison.evaluation.ranks import ItemRanks
from recpoison.evaluation.ties import chance_of_none, expected_reciprocal, expected_worth, one


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out items sorted by user, and by place within a user.

    Args:
        users: ``(n_users,)`` ids of the users who hold out something.
        starts: ``(n_users,)`` first row of each user.
        counts: ``(n_users,)`` held-out items of each user.
        items: ``(n,)`` item ids.
        places: ``(n,)`` the first place from 0 that each may have.
        widths: ``(n,)`` how many places from there it may have, all equally likely: more than 1 where it is tied and
            ties count half. Items with one place have different ones within a user: where they are tied, one after
            another.
        sharing: ``(n,)`` held-out items of the user, itself included, that stand in these places.
        ahead: ``(n,)`` held-out items of the user that stand before these places.
        candidates: ``(n_users,)`` candidates of each user, held-out items among them.
    """

    users: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    items: np.ndarray
    places: np.ndarray
    widths: np.ndarray
    sharing: np.ndarray
    ahead: np.ndarray
    candidates: np.ndarray

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum of ``(n,)`` values over each user's items."""
        return np.add.reduceat(values, self.starts) if len(values) else np.zeros(0)

    def worth(self, worth: Callable[[np.ndarray], np.ndarray], k: int) -> np.ndarray:
        """``(n,)`` what each item's place is worth, 0 from place k on."""
        return expected_worth(self.places, self.widths, worth, k)

    def hits(self, k: int) -> np.ndarray:
        """``(n_users,)`` held-out items in the first k."""
        return self.total(self.worth(one, k))


def place_held_out(part: ItemRanks, ties: str) -> HeldOut:
    """Give every held-out item a place.

    Args:
        part: Ranks of the held-out items.
        ties: Where others of the same score stand: ``half``, ``against`` or ``for`` (``recpoison.evaluation.ties``).
    """
    order = np.lexsort((part.above, part.users))
    sorted_part = part.take(order)
    users, starts, counts = np.unique(sorted_part.users, return_index=True, return_counts=True)
    keys = np.stack([sorted_part.users, sorted_part.above])
    new = np.ones(len(part), dtype=bool)
    new[1:] = (np.diff(keys, axis=1) != 0).any(axis=0)
    first = np.flatnonzero(new)
    sizes = np.diff(np.append(first, len(part)))
    sharing = np.repeat(sizes, sizes)
    others = sorted_part.ties.astype(np.int64) - (sharing - 1)
    shared = (sorted_part.ties > 0) & (ties == "half")
    within = np.where(shared, 0, np.arange(len(part)) - np.repeat(first, sizes))
    places = sorted_part.above.astype(np.int64) + within + (others if ties == "against" else 0)
    ahead = np.repeat(first, sizes) - np.repeat(starts, counts) + within
    return HeldOut(
        users,
        starts,
        counts,
        sorted_part.items,
        places,
        np.where(shared, others + sharing, 1),
        np.where(shared, sharing, 1),
        ahead,
        sorted_part.candidates[starts].astype(np.int64),
    )


def discount(places: np.ndarray) -> np.ndarray:
    """What a hit at a 0-based place is worth: ln 2 / ln(place + 2), 1 at the top."""
    return np.log(2) / np.log(places + 2.0)


def hit_ratio(held: HeldOut, k: int) -> np.ndarray:
    """HR: 1 for a user with at least one held-out item in the first k (share of hits with one held-out item)."""
    sure = held.places + held.widths <= k
    # At most one tie of a user lies across the end of the list; its items are rows of the same numbers.
    across = np.flatnonzero((held.places < k) & ~sure)
    missed = np.ones(len(held.places))
    missed[sure] = 0.0
    missed[across] = chance_of_none(held.widths[across], held.sharing[across], k - held.places[across])
    return 1.0 - np.minimum.reduceat(missed, held.starts) if len(missed) else np.zeros(0)


def ndcg(held: HeldOut, k: int) -> np.ndarray:
    """NDCG: discounted hits over those of the best list, which has min(k, held-out items) hits.

    With one held-out item it is ln 2 / ln(place + 2), as in APR and APT. ``revisit_adv_rec`` cuts the list itself to
    the number of held-out items; we do not.
    """
    gain = held.total(held.worth(discount, k))
    best = np.concatenate([[0.0], np.cumsum(discount(np.arange(k)))])
    return gain / best[np.minimum(held.counts, k)]


def precision(held: HeldOut, k: int) -> np.ndarray:
    """Precision: hits in the first k, over k."""
    return held.hits(k) / k


def recall(held: HeldOut, k: int) -> np.ndarray:
    """Recall: hits in the first k, over the user's held-out items."""
    return held.hits(k) / held.counts


def reciprocal_rank(held: HeldOut, k: int) -> np.ndarray:
    """MRR: 1 / (place from 1) of the first hit, 0 if it is not in the first k."""
    first, widths = held.places[held.starts], held.widths[held.starts]
    values = np.where(first < k, 1.0 / (first + 1), 0.0)
    wide = widths > 1
    values[wide] = expected_reciprocal(first[wide], widths[wide], held.sharing[held.starts][wide], k)
    return values


def average_precision(held: HeldOut, k: int) -> np.ndarray:
    """MAP: the precision at each hit in the first k, summed, over min(k, held-out items)."""
    at_hit = np.where(held.places < k, (held.ahead + 1) / (held.places + 1), 0.0)
    wide = held.widths > 1
    at_hit[wide] = _precision_at_hit(held.places[wide], held.widths[wide], held.sharing[wide], held.ahead[wide], k)
    return held.total(at_hit) / np.minimum(held.counts, k)


def _precision_at_hit(
    places: np.ndarray, widths: np.ndarray, sharing: np.ndarray, ahead: np.ndarray, k: int
) -> np.ndarray:
    """Expected precision at a tied item, 0 where that is not in the first k.

    At place r of its tie, from 1 in the list, (r - 1 - place) (sharing - 1) / (width - 1) of the others that share the
    tie are expected before it: a mean over r of a constant and a multiple of 1 / r.
    """
    sums = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, k + 1))])
    first, end = np.minimum(places, k), np.minimum(places + widths, k)
    slope = (sharing - 1) / (widths - 1)
    return ((ahead + 1 - (places + 1) * slope) * (sums[end] - sums[first]) + slope * (end - first)) / widths


def auc(held: HeldOut) -> np.ndarray:
    """AUC: 1 minus the share of negatives placed before a held-out item, averaged over the user's held-out items.

    With ties counted half this is the usual area; with ties against the item it is APR's
    ``1 - (negatives >= positive) / negatives``. NaN for a user without negatives.
    """
    negatives = held.candidates - held.counts
    before = held.total(held.places - held.ahead + (held.widths - held.sharing) / 2) / held.counts
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
