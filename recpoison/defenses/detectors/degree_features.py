"""Features of profiles (Burke, Mobasher, Williams and Bhaumik, "Classification features ...", KDD 2006)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.base import Detector
from recpoison.idle import Together
from recpoison.ranges import check_ranges, ranged

FEATURES = ("rdma", "wdma", "length_variance", "degree_similarity")
BLOCK_BYTES = 64 * 2**20
BYTES_EACH = 40  # of one similarity, with all that is made on the way to it


@dataclass(frozen=True)
class DegreeFeatures(Detector):
    """How far a user's ratings lie from their items' means, how long the profile is, and how near its neighbours are.

    With n_u items of user u, item means m_i over n_i users:

    - ``rdma`` = 1/n_u Σ |r_ui - m_i| / n_i, rating deviation from mean agreement;
    - ``wdma`` = 1/n_u Σ |r_ui - m_i| / n_i², which weighs rare items more;
    - ``length_variance`` = |n_u - n| / Σ_v (n_v - n)², n being the mean of n_u;
    - ``degree_similarity`` = the mean correlation with the ``neighbours`` most similar users.

    The paper trains classifiers on them; here nobody says who was fake, so high means suspicious, and ``all`` is the
    sum of z-scores over the users. A feature that is equal for all (deviations on implicit data) adds nothing. Not each
    holds for each attack: on ml_100k with 3% fake users of the mean length, ``length_variance`` takes every one of them
    for real, and ``degree_similarity`` finds those of ``segment`` (AUROC 1.00) and not of ``average`` (0.08), where
    ``rdma`` has 0.99 and ``all`` 0.97.

    Departure: the correlation is of whole rows, an item that a user lacks counting as their mean, so that users with
    two items in common are not alike by chance. On implicit data it is that of rows of ones and zeros.

    Args:
        feature: ``all``, or one of the four.
        neighbours: Users whose similarity is averaged.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> users, items = [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 0, 1, 0, 2]  # user 3 alone has item 2
        >>> data = Interactions(users, items, [4, 2, 4, 2, 4, 2, 1, 5], n_users=4, n_items=3, scale=Scale(1, 5))
        >>> DegreeFeatures(feature="rdma").scores(data).round(3).tolist()  # item means 3.25, 2 and 5
        [0.094, 0.094, 0.094, 0.281]
    """

    feature: str = ranged("all", words=("all", *FEATURES))
    neighbours: int = ranged(25, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense.detector")

    @property
    def needs_ratings(self) -> bool:
        """Deviations alone are all 0 on implicit data."""
        return self.feature in ("rdma", "wdma")

    def idle(self, parts: Together) -> dict[str, str]:
        """The neighbours of features that have none."""
        if self.feature in ("all", "degree_similarity"):
            return super().idle(parts)
        return super().idle(parts) | {"neighbours": f"feature is {self.feature}, which compares no users"}

    def scores(self, data: Interactions) -> np.ndarray:
        """Suspicion ``(n_users,)``; 1 below all others for users without rows."""
        rated = data.user_counts > 0
        if self.feature == "all":
            suspicion = standardised(profile_features(data, self.neighbours)[rated]).sum(axis=1)
        elif self.feature == "degree_similarity":
            suspicion = degree_similarity(data, self.neighbours)[rated]
        else:
            suspicion = degrees(data)[rated, FEATURES.index(self.feature)]
        return among_all(suspicion, rated)


def profile_features(data: Interactions, neighbours: int) -> np.ndarray:
    """The four ``FEATURES``, ``(n_users, 4)``; the same for a user however the users are numbered."""
    return np.column_stack([degrees(data), degree_similarity(data, neighbours)])


def degrees(data: Interactions) -> np.ndarray:
    """RDMA, WDMA and the length's variance, ``(n_users, 3)``; 0 for deviations of a user without rows."""
    rows = data.csr if not data.implicit else data.seen
    deviations = np.abs(rows.data - item_means(rows)[rows.indices])
    counts = np.maximum(data.item_counts, 1)[rows.indices]
    lengths = np.maximum(data.user_counts, 1)
    found = [row_sums(rows, deviations / counts**power) / lengths for power in (1, 2)]
    off = data.user_counts - data.user_counts.mean()
    spread = np.square(np.sort(off)).sum()  # sorted: a sum must not depend on how users are numbered
    return np.column_stack([*found, np.abs(off) / spread if spread else np.zeros(len(off))])


def degree_similarity(data: Interactions, neighbours: int) -> np.ndarray:
    """Mean correlation ``(n_users,)`` with the most similar users, in blocks that bound the memory."""
    unit, level = _unit_rows(data)
    turned, n_users = unit.T.tocsr(), data.n_users
    count = min(neighbours, n_users - 1)
    found = np.zeros(n_users)
    if count < 1:
        return found
    at_once = max(1, BLOCK_BYTES // (BYTES_EACH * n_users))
    for start in range(0, n_users, at_once):
        block = np.arange(start, min(start + at_once, n_users))
        similarity = (unit[block] @ turned).toarray() - np.outer(level[block], level)
        similarity[np.arange(len(block)), block] = -np.inf
        nearest = np.partition(similarity, n_users - count, axis=1)[:, n_users - count :]
        found[block] = np.sort(nearest, axis=1).mean(axis=1)
    return found


def among_all(suspicion: np.ndarray, rated: np.ndarray) -> np.ndarray:
    """``suspicion`` of the ``rated`` users, and 1 below the lowest for the others."""
    found = np.full(len(rated), suspicion.min(initial=np.inf) - 1 if len(suspicion) else 0.0)
    found[rated] = suspicion
    return found


def standardised(features: np.ndarray) -> np.ndarray:
    """Z-scores of each column; 0 where it does not vary."""
    if not len(features):
        return features
    ordered = np.sort(features, axis=0)
    spread = ordered.std(axis=0)
    varies = spread > 1e-12 * np.abs(ordered).max(axis=0, initial=0)
    return np.where(varies, (features - ordered.mean(axis=0)) / np.where(varies, spread, 1), 0)


def item_means(rows: sp.csr_matrix) -> np.ndarray:
    """Mean value of each item over the users who have it, ``(n_items,)``; values are added in order of size."""
    order = np.lexsort((rows.data, rows.indices))
    sums = np.bincount(rows.indices[order], weights=rows.data[order], minlength=rows.shape[1])
    return sums / np.maximum(np.bincount(rows.indices, minlength=rows.shape[1]), 1)


def row_sums(rows: sp.csr_matrix, values: np.ndarray) -> np.ndarray:
    """Sum of ``values``, one for each entry of ``rows``, over each row."""
    users = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    return np.bincount(users, weights=values, minlength=rows.shape[0])


def _unit_rows(data: Interactions) -> tuple[sp.csr_matrix, np.ndarray]:
    """Rows U and levels c with corr(u, v) = U_u·U_v - c_u c_v; zeros where a row does not vary."""
    rows = (data.seen if data.implicit else data.csr).astype(np.float64)
    lengths = np.maximum(np.diff(rows.indptr), 1)
    means = row_sums(rows, rows.data) / lengths
    if data.implicit:  # of 0 and 1 over all items
        share = data.user_counts / data.n_items
        norms, level = np.sqrt(data.n_items * share * (1 - share)), np.sqrt(data.n_items) * share
    else:
        rows.data = rows.data - np.repeat(means, np.diff(rows.indptr))
        norms, level = np.sqrt(row_sums(rows, rows.data**2)), np.zeros(data.n_users)
    varies = norms > 1e-9
    inverse = np.where(varies, 1 / np.where(varies, norms, 1), 0)
    return sp.csr_matrix(sp.diags_array(inverse) @ rows), level * inverse
