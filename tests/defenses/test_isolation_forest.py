"""The forest is scikit-learn's, on the features of profiles, whatever the numbering of users."""

import numpy as np
import pytest
from sklearn import ensemble

from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.detectors.degree_features import profile_features
from recpoison.defenses.detectors.isolation_forest import IsolationForest
from recpoison.errors import ConfigError


@pytest.fixture
def data() -> Interactions:
    """60 users of about 12 of 30 items; user 7 has none, user 20 rates 28 of them 1."""
    rng = np.random.default_rng(0)
    seen = rng.random((60, 30)) < 0.4
    seen[7], seen[20] = False, np.arange(30) < 28
    users, items = seen.nonzero()
    values = np.where(users == 20, 1, rng.integers(3, 6, len(users)))
    return Interactions(users, items, values, 60, 30, Scale(1, 5))


def test_scores_are_scikit_learns(data):
    features = np.delete(profile_features(data, 5), 7, axis=0)
    ordered = features[np.lexsort(features.T)]
    forest = ensemble.IsolationForest(n_estimators=50, max_samples=32, random_state=0).fit(ordered)
    scores = IsolationForest(trees=50, sample_size=32, neighbours=5).scores(data)
    assert np.delete(scores, 7) == pytest.approx(-forest.score_samples(features))
    assert scores.argmax() == 20
    assert scores.argmin() == 7


def test_numbering_changes_no_bit(data):
    rng = np.random.default_rng(1)
    new, rows = rng.permutation(60), rng.permutation(len(data))
    other = Interactions(new[data.users][rows], data.items[rows], data.values[rows], 60, 30, data.scale)
    detector = IsolationForest(trees=20, neighbours=4)
    assert np.array_equal(detector.scores(other)[new], detector.scores(data))


@pytest.mark.parametrize("n_users", [1, 2])
def test_few_users_have_scores(n_users):
    users, items = np.repeat(np.arange(n_users), 2), np.tile([0, 1], n_users)
    few = Interactions(users, items, np.tile([1, 5], n_users), n_users, 2, Scale(1, 5))
    assert np.isfinite(IsolationForest().scores(few)).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trees": 0}, "defense.detector.trees is 0: give 1 or more"),
        ({"sample_size": 1}, "defense.detector.sample_size is 1: give 2 or more"),
        ({"neighbours": 0}, "defense.detector.neighbours is 0"),
    ],
)
def test_settings_out_of_range(settings, words):
    with pytest.raises(ConfigError, match=words):
        IsolationForest(**settings)
