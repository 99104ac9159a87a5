"""Isolation forest (Liu, Ting and Zhou, ICDM 2008) on the features of profiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.degree_features import among_all, profile_features
from recpoison.ranges import check_ranges, ranged


@dataclass(frozen=True)
class IsolationForest(Detector):
    """A user whom few random cuts part from all others is suspicious: scikit-learn's forest on ``degree_features``.

    Unlike the sum of z-scores it finds what is unusual in either direction. The forest is drawn from the same numbers
    each time, and users are put in the order of their features first, so that numbering tells nothing.

    Args:
        trees: Trees of the forest.
        sample_size: Users in a tree; all where there are fewer.
        neighbours: Users whose similarity is averaged, for ``degree_similarity``.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> seen = np.vstack([rng.random((30, 12)) < 0.5, np.arange(12) < 11])  # the last user has nearly everything
        >>> users, items = seen.nonzero()
        >>> data = Interactions(users, items, np.ones(len(users)), n_users=31, n_items=12)
        >>> int(IsolationForest(neighbours=3).scores(data).argmax())
        30
    """

    trees: int = ranged(100, low=1)
    sample_size: int = ranged(256, low=2)
    neighbours: int = ranged(25, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense.detector")

    def scores(self, data: Interactions) -> np.ndarray:
        """Suspicion ``(n_users,)`` in (0, 1], 2 to the minus mean depth over its expectation; below for no rows."""
        from sklearn import ensemble  # a second to import

        rated = data.user_counts > 0
        features = profile_features(data, self.neighbours)[rated]
        suspicion = np.zeros(len(features))
        if len(features) > 1:
            order = np.lexsort(features.T)
            sample = min(self.sample_size, len(features))
            forest = ensemble.IsolationForest(n_estimators=self.trees, max_samples=sample, random_state=0)
            suspicion[order] = -forest.fit(features[order]).score_samples(features[order])
        return among_all(suspicion, rated)
