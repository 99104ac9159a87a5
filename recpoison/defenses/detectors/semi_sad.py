"""SemiSAD (Cao, Wu, Mao and Zhang, "Shilling attack detection utilizing semi-supervised learning ...", WWW J. 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.base import LabelledDetector
from recpoison.defenses.detectors.degree_features import (
    degree_similarity,
    degrees,
    row_sums,
    standardised,
)
from recpoison.ranges import check_ranges, ranged

_CONFIDENT = 5  # users whose guessed label is believed after each round
_DIGITS = 9  # of standardised features; beyond them sums depend on how users are numbered


@dataclass(frozen=True)
class SemiSAD(LabelledDetector):
    """Gaussian naive Bayes on a few labels, which then believes what it is surest of (scikit-learn's self-training).

    Features: entropy of the ratings, similarity to the most similar users, the length's variance, deviation from the
    items' means (RDMA), and FMTD, how far the mean of a user's highest ratings lies from that of the others. Those that
    are equal for all users count nothing: on implicit data only similarity and length are left.

    Departures: genuine and fake users weigh the same in each round (the authors weigh guessed genuine ones lower); FMTD
    is of the user's own ratings. SDLib's entropy misses the rating 5 and divides by the number of users; ours does not.

    Args:
        labels: Who says who is fake; the authors' are the truth.
        genuine: Share of those called genuine whose label is used, drawn; all fake ones are.
        rounds: Rounds that believe five users each; 0: the labels alone.
        neighbours: Users whose similarity is averaged.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [5, 3, 1, 5, 5], 2, 3, scale=Scale(1, 5))
        >>> rating_features(data).round(3).tolist()  # ln 3, and 5 less the mean of 3 and 1
        [[1.099, 3.0], [0.0, 0.0]]
    """

    has_cut: ClassVar[bool] = True

    genuine: float = ranged(0.25, low=0.0, high=1, open_low=True)
    rounds: int = ranged(20, low=0, note=" (0: the labels alone)")
    neighbours: int = ranged(25, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense.detector")

    def cut(self, data: Interactions, scores: np.ndarray) -> int:
        """Those who are more likely fake than not."""
        return int((scores > 0).sum())

    def _learned(self, data: Interactions, fake: np.ndarray, genuine: np.ndarray) -> np.ndarray:
        """The logarithm of the odds of being fake; below all of them for users without rows."""
        from sklearn import naive_bayes, semi_supervised  # a second to import

        rated = np.flatnonzero(data.user_counts > 0)
        features = self._features(data)[rated]
        order = np.lexsort((fake[rated], *features.T))
        rated, features = rated[order], features[order]
        labels = np.where(fake[rated], 1, np.where(_drawn(genuine[rated], self.genuine), 0, -1))
        found = np.zeros(data.n_users)
        if {0, 1} <= set(labels.tolist()):
            model = naive_bayes.GaussianNB()
            if self.rounds and (labels < 0).any():
                learner = semi_supervised.SelfTrainingClassifier(
                    model, criterion="k_best", k_best=_CONFIDENT, max_iter=self.rounds
                )
                odds = learner.fit(features, labels).predict_log_proba(features)
            else:
                odds = model.fit(features[labels >= 0], labels[labels >= 0]).predict_log_proba(features)
            found[rated] = odds[:, 1] - odds[:, 0]
        found[data.user_counts == 0] = found.min() - 1
        return found

    def _features(self, data: Interactions) -> np.ndarray:
        rdma, _, variance = degrees(data).T
        columns = [degree_similarity(data, self.neighbours), variance, rdma, *rating_features(data).T]
        return standardised(np.column_stack(columns)).round(_DIGITS)


def rating_features(data: Interactions) -> np.ndarray:
    """Entropy and FMTD, ``(n_users, 2)``; both 0 where a user's ratings are all equal, as on implicit data."""
    rows = data.csr if not data.implicit else data.seen
    users = np.repeat(np.arange(data.n_users), np.diff(rows.indptr))
    shares = _counts(users, rows.data, data.n_users) / np.maximum(np.diff(rows.indptr), 1)[:, None]
    logs = np.log(np.where(shares > 0, shares, 1))
    highest = np.zeros(data.n_users)
    np.maximum.at(highest, users, rows.data)
    top = rows.data == highest[users]
    n_others = row_sums(rows, ~top)
    others = row_sums(rows, np.where(top, 0, rows.data)) / np.maximum(n_others, 1)
    entropy = -np.sort(shares * logs, axis=1).sum(axis=1)
    return np.column_stack([entropy + 0.0, np.where(n_others > 0, highest - others, 0)])


def _counts(users: np.ndarray, values: np.ndarray, n_users: int) -> np.ndarray:
    """How often each user gives each value, ``(n_users, n_values)``."""
    distinct, which = np.unique(values, return_inverse=True)
    return np.bincount(users * len(distinct) + which, minlength=n_users * len(distinct)).reshape(n_users, -1)


def _drawn(genuine: np.ndarray, share: float) -> np.ndarray:
    """A mask of a ``share`` of the ``genuine``, at least one, who stand in the order of their features."""
    places = np.flatnonzero(genuine)
    count = max(1, int(share * len(places))) if len(places) else 0
    drawn = np.random.default_rng(0).choice(places, count, replace=False) if count else places
    return np.isin(np.arange(len(genuine)), drawn)
