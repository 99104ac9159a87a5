import numpy as np
import pytest

from recpoison.data.interactions import Interactions
from recpoison.defenses.detectors.degree_sad import DegreeSAD, popularity_features
from recpoison.defenses.labels import Labels
from recpoison.errors import ConfigError


def test_features_by_hand():
    """Items 0 to 4 are had by 5, 4, 3, 2, 1 users; user 0 has all five, and user 5 none."""
    users, items = np.nonzero(np.arange(5)[:, None] < np.arange(5, 0, -1))
    data = Interactions(users, items, np.ones(len(users)), 6, 5)
    assert data.item_counts.tolist() == [5, 4, 3, 2, 1]
    assert popularity_features(data)[[0, 1, 4, 5]].tolist() == [
        [3, 4, 2],  # of 1 to 5 the place floor(4 / 4) = 1
        [3.5, 3, 2],  # of 2 to 5 the place floor(3 / 4) = 0
        [5, 0, 5],
        [0, 0, 0],
    ]


def test_users_of_rare_items_are_found_by_the_truth_and_by_own_rule():
    rng = np.random.default_rng(0)
    seen = np.vstack([rng.random((60, 40)) < np.linspace(0.9, 0.02, 40), np.tile(np.arange(40) >= 25, (6, 1))])
    users, items = seen.nonzero()
    data = Interactions(users, items, np.ones(len(users)), 67, 40)  # user 66 has nothing
    detector = DegreeSAD(Labels("truth"))
    scores = detector.scores(data, n_real=60)
    assert set(np.argsort(-scores)[:6]) == set(range(60, 66))
    assert detector.cut(data, scores) == 6
    assert scores[66] == -1


def test_no_tree_is_refused():
    with pytest.raises(ConfigError, match=r"defense\.detector\.trees is 0"):
        DegreeSAD(trees=0)
