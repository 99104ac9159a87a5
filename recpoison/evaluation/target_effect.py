"""How visible promoted items are: pure functions of their places, one number a user.

Each target is placed on its own among the candidates (where all items are candidates, other targets are too). A user
who already has a target in training is its owner; public code treats owners in three ways and this alone moves numbers
several-fold, so that it is a setting:

- ``missing``: the owner's list cannot hold the target, so the pair is a miss (APT, TrialAttack, ``revisit_adv_rec``).
  It has no rank, so MeanRank and RankShift leave it out;
- ``excluded``: the pair is not counted (AUSH, Leg-UP, VAT);
- ``included``: the target is ranked as if the owner did not have it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recpoison.evaluation.metrics import discount
from recpoison.evaluation.ranks import ItemRanks


class PerUser(NamedTuple):
    """A number for each of some users, both ``(n,)``."""

    users: np.ndarray
    values: np.ndarray


def places(part: ItemRanks, ties: str) -> np.ndarray:
    """``(n,)`` place of each target from 0; ``against`` puts items of the same score before it, ``for`` after."""
    return part.above.astype(np.int64) + (part.ties if ties == "against" else 0)


def _mean_by_user(users: np.ndarray, values: np.ndarray) -> PerUser:
    ids, unit, counts = np.unique(users, return_inverse=True, return_counts=True)
    return PerUser(ids, np.bincount(unit, weights=values, minlength=len(ids)) / counts)


def _gain(part: ItemRanks, ties: str, owners: str, k: int, worth: np.ndarray) -> PerUser:
    """Mean over each user's counted targets of ``worth`` where the target is in the first k."""
    hit = places(part, ties) < k
    if owners == "missing":
        hit = hit & ~part.owned
    kept = ~part.owned if owners == "excluded" else np.ones(len(part), dtype=bool)
    return _mean_by_user(part.users[kept], np.where(hit, worth, 0.0)[kept])


def hit_ratio(part: ItemRanks, ties: str, owners: str, how: str, k: int) -> PerUser:
    """HR of the targets.

    ``mean`` is the share of a user's targets in the first k, averaged over users (APT: the mean over users and
    targets; with ``excluded`` owners a user weighs the same however many targets are left). ``any`` is 1 if at least
    one is there (injection attack, section 4.1).
    """
    share = _gain(part, ties, owners, k, np.ones(len(part)))
    return share if how == "mean" else PerUser(share.users, (share.values > 0).astype(float))


def ndcg(part: ItemRanks, ties: str, owners: str, k: int) -> PerUser:
    """NDCG of the targets: ln 2 / ln(place + 2) of each in the first k, else 0, averaged over a user's targets."""
    return _gain(part, ties, owners, k, discount(places(part, ties)))


def mean_rank(part: ItemRanks, ties: str, owners: str) -> PerUser:
    """MeanRank: place of the targets from 1, averaged over a user's targets. Owners count with ``included`` alone."""
    kept = np.ones(len(part), dtype=bool) if owners == "included" else ~part.owned
    return _mean_by_user(part.users[kept], places(part, ties)[kept] + 1.0)


def rank_shift(attacked: ItemRanks, clean: ItemRanks, ties: str, owners: str) -> PerUser:
    """RankShift (APT, section 5.1.4): clean MeanRank minus attacked MeanRank of each user; above 0 the targets rose.

    Raises:
        ValueError: If the two hold different pairs.
    """
    if not (np.array_equal(attacked.users, clean.users) and np.array_equal(attacked.items, clean.items)):
        raise ValueError("the clean and the attacked ranks hold different users or targets")
    before, after = (mean_rank(part, ties, owners) for part in (clean, attacked))
    return PerUser(after.users, before.values - after.values)
