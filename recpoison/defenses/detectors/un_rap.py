"""UnRAP (Bryan, O'Mahony and Cunningham, "Unsupervised retrieval of attack profiles ...", RecSys 2008)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.degree_features import among_all, item_means, row_sums
from recpoison.ranges import check_ranges, ranged


@dataclass(frozen=True)
class UnRAP(Detector):
    """Fake users' ratings do not go with the items' means: a score of it, and a target that says where to cut.

    H_u = sum (r_ui - m_u - m_i + m)² / sum (r_ui - m_u)² over the user's items, with the means of the user, the item
    and all; a user whose ratings are all equal has none and comes last. Without a number of suspects
    (``defense.suspected=null``) the item from which the ``window`` most suspicious users deviate most, in sum, is taken
    for the target, and the window slides down until its users' deviations on that item come to 0 or change their sign:
    all above it are dropped. There is one target. On implicit data every rating equals every mean, so they are refused.

    Args:
        window: Users looked at together; 10 in the paper.

    Raises:
        ConfigError: If ``window`` is below 1.

    Example:
        >>> users, items = [0, 0, 1, 1, 2, 2], [0, 1, 0, 1, 0, 1]
        >>> data = Interactions(users, items, [4, 2, 4, 2, 1, 5], n_users=3, n_items=2, scale=Scale(1, 5))
        >>> UnRAP().scores(data).round(3).tolist()  # both items have the mean 3
        [1.0, 1.0, 1.0]
    """

    has_cut: ClassVar[bool] = True
    for_cut: ClassVar[tuple[str, ...]] = ("window",)

    window: int = ranged(10, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense.detector")

    @property
    def needs_ratings(self) -> bool:
        """It compares ratings with means."""
        return True

    def scores(self, data: Interactions) -> np.ndarray:
        """H ``(n_users,)``; 0 where a user's ratings are all equal, and below for users without rows."""
        rows, deviations = _deviations(data)
        users = np.repeat(np.arange(data.n_users), np.diff(rows.indptr))
        residues = deviations - item_means(rows)[rows.indices] + np.sort(rows.data).mean()
        spread = row_sums(rows, deviations**2)
        varies = spread > 1e-9
        found = np.bincount(users, weights=residues**2, minlength=data.n_users) / np.where(varies, spread, 1)
        rated = data.user_counts > 0
        return among_all(np.where(varies, found, 0)[rated], rated)

    def cut(self, data: Interactions, scores: np.ndarray) -> int:
        """How many users stand above the first window without a common deviation on the suspected target."""
        rows, deviations = _deviations(data)
        order = np.argsort(-scores, kind="stable")
        table = sp.csr_matrix((deviations, rows.indices, rows.indptr), shape=rows.shape)[order].tocsc()
        size = min(self.window, data.n_users)
        first = np.asarray(table[:size].sum(axis=0)).ravel()
        target = int(np.abs(first.round(9)).argmax())
        sums = np.concatenate([[0.0], np.cumsum(table[:, [target]].toarray().ravel())])
        windows = (sums[size:] - sums[:-size]) * np.sign(first[target])
        past = np.flatnonzero(windows <= 1e-9)
        return int(past[0]) if len(past) else data.n_users - 1


def _deviations(data: Interactions) -> tuple[sp.csr_matrix, np.ndarray]:
    """Rows, and each rating less its user's mean."""
    rows = data.csr.astype(float)
    lengths = np.diff(rows.indptr)
    means = row_sums(rows, rows.data) / np.maximum(lengths, 1)
    return rows, rows.data - np.repeat(means, lengths)
