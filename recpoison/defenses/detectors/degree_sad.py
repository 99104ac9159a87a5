"""DegreeSAD (Li et al., "Shilling attack detection ... via selecting patterns analysis", IEICE Transactions 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.base import LabelledDetector
from recpoison.defenses.forest import chances
from recpoison.ranges import check_ranges, ranged


@dataclass(frozen=True)
class DegreeSAD(LabelledDetector):
    """Fake users choose items of other popularity than real ones do: trees on three features of it, with labels.

    Of the popularities (numbers of users) of a user's items: ``MUD`` their mean, ``RUD`` their range, and ``QUD`` their
    lower quartile, the floor((n - 1) / 4)-th smallest counted from 0. It sees no rating, so that implicit data are as
    good.

    Departures: one tree says yes or no and ranks nobody, so that there is a forest of trees by entropy, and users are
    judged by trees that did not see them. SDLib's code divides MUD by nothing, so that it is a sum; here it is a mean.

    Args:
        labels: Who says who is fake; the authors' are the truth.
        trees: Of the forest.

    Raises:
        ConfigError: If ``trees`` is below 1.

    Example:
        >>> data = Interactions([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 0], [1] * 6, n_users=3, n_items=3)
        >>> popularity_features(data).tolist()  # items 0 to 2 are had by 3, 2 and 1 users
        [[2.0, 2.0, 1.0], [2.5, 1.0, 2.0], [3.0, 0.0, 3.0]]
    """

    reads_values: ClassVar[bool] = False
    has_cut: ClassVar[bool] = True

    trees: int = ranged(100, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense.detector")

    def cut(self, data: Interactions, scores: np.ndarray) -> int:
        """Those who are more likely fake than not."""
        return int((scores > 0.5).sum())

    def _learned(self, data: Interactions, fake: np.ndarray, genuine: np.ndarray) -> np.ndarray:
        suspicion = chances(popularity_features(data), fake, genuine, self.trees, "entropy")
        return np.where(data.user_counts > 0, suspicion, -1.0)


def popularity_features(data: Interactions) -> np.ndarray:
    """MUD, RUD and QUD, ``(n_users, 3)``; 0 for a user without rows."""
    seen = data.seen
    users = np.repeat(np.arange(data.n_users), np.diff(seen.indptr))
    popularity = np.bincount(seen.indices, minlength=data.n_items)[seen.indices]
    ordered = popularity[np.lexsort((popularity, users))].astype(float)  # of each user, ascending
    lengths, found = np.diff(seen.indptr), np.zeros((data.n_users, 3))
    has, first = lengths > 0, seen.indptr[:-1][lengths > 0]
    found[:, 0] = np.bincount(users, weights=popularity, minlength=data.n_users) / np.maximum(lengths, 1)
    found[has, 1] = ordered[first + lengths[has] - 1] - ordered[first]
    found[has, 2] = ordered[first + (lengths[has] - 1) // 4]
    return found
