"""How visible promoted items are: pure functions of their places, one number a user.

Each target is placed on its own among the candidates (where all items are candidates, other targets are too). A user
who already has a target in training is its owner; public code treats owners in three ways and this alone moves numbers
several-fold, so that it is a setting:

- ``missing``: the owner's list cannot hold the target, so the pair is a miss (APT, TrialAttack, ``revisit_adv_rec``).
  It has no rank, so MeanRank and RankShift leave it out;
- ``excluded``: the pair is not counted (AUSH, Leg-UP, VAT);
- ``included``: the target is ranked as if the owner did not have it.

Where ties count half, a number is the expected value over all orders of candidates and targets with the same score.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from recpoison.evaluation.metrics import discount
from recpoison.evaluation.ranks import ItemRanks
from recpoison.evaluation.ties import chance_of_none, expected_worth, one


class PerUser(NamedTuple):
    """A number for each of some users, both ``(n,)``."""

    users: np.ndarray
    values: np.ndarray


def places(part: ItemRanks, ties: str) -> tuple[np.ndarray, np.ndarray]:
    """``(n,)`` the first place from 0 that each target may have, and ``(n,)`` how many from there, equally likely."""
    first = part.above.astype(np.int64) + (part.ties if ties == "against" else 0)
    return first, part.ties.astype(np.int64) + 1 if ties == "half" else np.ones_like(first)


def _mean_by_user(users: np.ndarray, values: np.ndarray) -> PerUser:
    ids, unit, counts = np.unique(users, return_inverse=True, return_counts=True)
    return PerUser(ids, np.bincount(unit, weights=values, minlength=len(ids)) / counts)


def _gain(part: ItemRanks, ties: str, owners: str, k: int, worth: Callable[[np.ndarray], np.ndarray]) -> PerUser:
    """Mean over each user's counted targets of what their places are worth, 0 from place k on."""
    gain = expected_worth(*places(part, ties), worth, k)
    if owners == "missing":
        gain = np.where(part.owned, 0.0, gain)
    kept = ~part.owned if owners == "excluded" else np.ones(len(part), dtype=bool)
    return _mean_by_user(part.users[kept], gain[kept])


def hit_ratio(part: ItemRanks, ties: str, owners: str, how: str, k: int) -> PerUser:
    """HR of the targets.

    ``mean`` is the share of a user's targets in the first k, averaged over users (APT: the mean over users and
    targets; with ``excluded`` owners a user weighs the same however many targets are left). ``any`` is 1 if at least
    one is there (injection attack, section 4.1).
    """
    share = _gain(part, ties, owners, k, one)
    return share if how == "mean" else PerUser(share.users, _any(part, ties, owners, k, share))


def _any(part: ItemRanks, ties: str, owners: str, k: int, share: PerUser) -> np.ndarray:
    """``(n_users,)`` chance that at least one target is in the first k.

    A user's targets have one random order together. At most one tie of a user lies across the end of the list: none of
    its targets is in the list if the first of the tied, targets among them, are all something else.
    """
    counted = part if owners == "included" else part.take(~part.owned)
    first, widths = places(counted, ties)
    sure = first + widths <= k
    across = counted.take((first < k) & ~sure)
    users, row, targets = np.unique(across.users, return_index=True, return_counts=True)
    candidates = np.bincount(np.searchsorted(users, across.users), weights=across.listed, minlength=len(users))
    others = across.ties[row] + across.listed[row] - candidates.astype(np.int64)
    none = chance_of_none(others + targets, targets, k - across.above[row])
    values = (share.values > 0).astype(float)
    undecided = ~np.isin(users, counted.users[sure])
    values[np.searchsorted(share.users, users[undecided])] = 1.0 - none[undecided]
    return values


def ndcg(part: ItemRanks, ties: str, owners: str, k: int) -> PerUser:
    """NDCG of the targets: ln 2 / ln(place + 2) of each in the first k, else 0, averaged over a user's targets."""
    return _gain(part, ties, owners, k, discount)


def mean_rank(part: ItemRanks, ties: str, owners: str) -> PerUser:
    """MeanRank: place of the targets from 1, averaged over a user's targets. Owners count with ``included`` alone."""
    kept = np.ones(len(part), dtype=bool) if owners == "included" else ~part.owned
    first, widths = places(part, ties)
    return _mean_by_user(part.users[kept], (first + (widths - 1) / 2 + 1.0)[kept])


def rank_shift(attacked: ItemRanks, clean: ItemRanks, ties: str, owners: str) -> PerUser:
    """RankShift (APT, section 5.1.4): clean MeanRank minus attacked MeanRank of each user; above 0 the targets rose.

    Raises:
        ValueError: If the two hold different pairs.
    """
    if not (np.array_equal(attacked.users, clean.users) and np.array_equal(attacked.items, clean.items)):
        raise ValueError("the clean and the attacked ranks hold different users or targets")
    before, after = (mean_rank(part, ties, owners) for part in (clean, attacked))
    return PerUser(after.users, before.values - after.values)
