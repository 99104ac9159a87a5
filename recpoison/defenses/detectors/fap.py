"""FAP, fraudulent action propagation (Zhang, Tan, Zhang, Liu, Chua and Ma, "Catch the black sheep", IJCAI 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.base import LabelledDetector
from recpoison.defenses.detectors.degree_features import item_means, row_sums
from recpoison.ranges import check_ranges, ranged

_DIGITS = 12  # beyond them sums depend on how users are numbered


@dataclass(frozen=True)
class FAP(LabelledDetector):
    """Suspicion spreads from known fake users over the items that they have to whoever else has them.

    In turn an item has the weighted mean of its users' probabilities and a user that of their items', users called fake
    being set to 1 before each round. A rating r weighs 1 + |r - m_u| / m_u + |r - m_i| / m_i + |r - m| / m, with the
    means of the user, the item and all; on implicit data all weigh 1.

    Departure: the rule's fixed point is 1 for everybody whom a walk reaches, and the authors' ranking is what a random
    start and an early stop leave of it. Here rounds are counted, and every start is 0: a user's suspicion is then the
    chance that a walk of so many rounds meets a fake user, and the mean over random starts ranks users alike.

    Args:
        labels: Who says who is fake; SDLib and FEO take 5 users or a tenth from the truth.
        rounds: Half the length of a walk.

    Raises:
        ConfigError: If ``rounds`` is below 1.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 1, 2, 2], [1] * 5, n_users=3, n_items=3)
        >>> FAP(Labels("known"), rounds=1).scores(data, n_real=2).tolist()  # user 2 is fake, and item 2 leads to user 1
        [0.0, 0.25, 1.0]
    """

    has_cut: ClassVar[bool] = False

    rounds: int = ranged(5, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense.detector")

    def _learned(self, data: Interactions, fake: np.ndarray, genuine: np.ndarray) -> np.ndarray:
        weights = _weights(data)
        to_users = sp.diags_array(_inverse(weights.sum(axis=1))) @ weights
        to_items = sp.diags_array(_inverse(weights.sum(axis=0))) @ weights.T
        chance = fake.astype(float)
        for _ in range(self.rounds):
            chance = np.where(fake, 1.0, to_users @ (to_items @ chance))
        return np.where(data.user_counts > 0, chance.round(_DIGITS), -1.0)


def _weights(data: Interactions) -> sp.csr_matrix:
    if data.implicit:
        return data.seen.astype(float)
    rows = data.csr.astype(float)
    lengths = np.diff(rows.indptr)
    users = np.repeat(np.arange(data.n_users), lengths)
    means = row_sums(rows, rows.data) / np.maximum(lengths, 1), item_means(rows), rows.data.mean()
    off = np.ones(len(rows.data))
    for mean in (means[0][users], means[1][rows.indices], means[2]):
        off += np.abs(rows.data - mean) / mean
    return sp.csr_matrix((off, rows.indices, rows.indptr), shape=rows.shape)


def _inverse(sums: np.ndarray) -> np.ndarray:
    sums = np.asarray(sums).ravel()
    return np.where(sums > 0, 1 / np.where(sums > 0, sums, 1), 0)
