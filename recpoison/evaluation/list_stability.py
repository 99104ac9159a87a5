"""How alike two recommended lists of the same user are (Oh et al. 2022; rank-biased overlap: Webber et al. 2010)."""

from __future__ import annotations

import numpy as np

_AT_ONCE = 2**24  # pairs of places compared together


def rank_biased_overlap(first: np.ndarray, second: np.ndarray, persistence: float = 0.9) -> np.ndarray:
    """Rank-biased overlap of each user's two lists, normalised at their length: 1 for equal lists, 0 for disjoint ones.

    With p the persistence and A_d the share of items that the first d places have in common, it is the sum of
    p^(d-1) A_d over the places d = 1..k, divided by the sum of the weights, (1 - p^k) / (1 - p). Left undivided, two
    equal lists of 10 items have 0.65. Where a list is shorter than d, A_d is a share of the longer one.

    Args:
        first: ``(n_users, k)`` item ids, the best first; -1 where there are no more.
        second: The same users' other lists, ``(n_users, k)``.
        persistence: In (0, 1): the chance that a reader goes on to the next place.

    Example:
        >>> both = np.array([[1, 2, 3]]), np.array([[2, 1, 3]])  # nothing in common at 1, all at 2 and at 3
        >>> rank_biased_overlap(*both).round(4).tolist() == [round((0.9 + 0.81) / (1 + 0.9 + 0.81), 4)]
        True
    """
    weights = persistence ** np.arange(first.shape[1])
    common, longest = _common(first, second)
    agreement = np.where(longest > 0, common / np.maximum(longest, 1), 1.0)
    return np.asarray(agreement @ weights / weights.sum())


def jaccard(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Items that each user's two lists share, of all in either; 1 where both are empty.

    Args:
        first: ``(n_users, k)`` item ids; -1 where there are no more.
        second: The same users' other lists, ``(n_users, k)``.

    Example:
        >>> jaccard(np.array([[1, 2, 3]]), np.array([[3, 4, 5]])).tolist()
        [0.2]
    """
    both = _common(first, second)[0][:, -1]
    either = (first >= 0).sum(1) + (second >= 0).sum(1) - both
    return np.asarray(np.where(either > 0, both / np.maximum(either, 1), 1.0))


def _common(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each depth ``(n_users, k)``: items in both lists so far, and the length of the longer one so far."""
    step = max(1, _AT_ONCE // first.shape[1] ** 2)
    blocks = [(first[at : at + step], second[at : at + step]) for at in range(0, len(first), step)]
    common = [_diagonal((a[:, :, None] == b[:, None, :]) & (a[:, :, None] >= 0)) for a, b in blocks]
    lengths = [np.cumsum(lists >= 0, axis=1) for lists in (first, second)]
    empty = np.zeros((0, first.shape[1]), dtype=np.int64)
    return np.concatenate([empty, *common]), np.maximum(*lengths)


def _diagonal(same: np.ndarray) -> np.ndarray:
    """How many of the first d places of one list are among the first d of the other, for each d."""
    return np.asarray(same.cumsum(1).cumsum(2).diagonal(axis1=1, axis2=2))
