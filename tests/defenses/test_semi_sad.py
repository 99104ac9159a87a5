import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.detectors.semi_sad import SemiSAD, rating_features
from recpoison.defenses.labels import Labels
from recpoison.errors import ConfigError


@pytest.fixture
def rated() -> Interactions:
    """40 users who rate anything, 6 who rate 1 and 5 alone, and more of it; user 46 has nothing."""
    rng = np.random.default_rng(0)
    seen = np.vstack([rng.random((40, 30)) < 0.3, rng.random((6, 30)) < 0.6])
    users, items = seen.nonzero()
    values = np.where(users < 40, rng.integers(2, 5, len(users)), np.where(items < 3, 5, 1))
    return Interactions(users, items, values, 47, 30, Scale(1, 5))


def test_entropy_and_fmtd_by_hand():
    """User 0 rates 5, 5, 1, 3: halves and quarters, 1.5 ln 2, and 5 - 2. User 1 rates 5 alone."""
    data = Interactions([0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 0, 1], [5, 5, 1, 3, 5, 5], 3, 4, Scale(1, 5))
    want = [[1.5 * np.log(2), 3], [0, 0], [0, 0]]
    assert rating_features(data) == pytest.approx(np.array(want))


def test_without_rounds_it_is_naive_bayes_on_the_labels(rated):
    detector = SemiSAD(Labels("truth"), genuine=1.0, rounds=0, neighbours=4)
    fake = (np.arange(46) >= 40).astype(int)
    features = detector._features(rated)[:46]
    odds = GaussianNB().fit(features, fake).predict_log_proba(features)
    found = detector.scores(rated, n_real=40)
    assert found[:46] == pytest.approx(odds[:, 1] - odds[:, 0])
    assert found[46] == found[:46].min() - 1


def test_few_labels_and_guesses_find_all_by_own_rule(rated):
    detector = SemiSAD(Labels("known", known=0.5), neighbours=4)
    scores = detector.scores(rated, n_real=40)
    assert set(np.argsort(-scores)[:6]) == set(range(40, 46))
    assert detector.cut(rated, scores) == 6


def test_implicit_data_leave_length_and_similarity(rated):
    clicks = Interactions(rated.users, rated.items, np.ones(len(rated)), 47, 30)
    features = SemiSAD(neighbours=4)._features(clicks)
    assert (features[:, 2:] == 0).all()
    assert (features[:, :2].std(axis=0) > 0.9).all()


@pytest.mark.parametrize("settings", [{"genuine": 0.0}, {"rounds": -1}, {"neighbours": 0}])
def test_settings_out_of_range(settings):
    with pytest.raises(ConfigError, match=f"defense.detector.{next(iter(settings))}"):
        SemiSAD(**settings)
