import numpy as np
import pytest

from recpoison.data.interactions import Interactions
from recpoison.defenses.forest import chances
from recpoison.defenses.labels import Labels
from recpoison.errors import ConfigError


@pytest.fixture
def crowd() -> Interactions:
    """20 users with rows, one without, then 5 fake ones; 12 items."""
    rows = np.argwhere(np.random.default_rng(0).random((20, 12)) < 0.7)
    data = Interactions(rows[:, 0], rows[:, 1], np.ones(len(rows)), 21, 12)
    return data.with_fake_users(np.repeat(np.arange(5), 2), np.tile([0, 1], 5), np.ones(10), 5)


def test_simulated_users_stand_last_and_all_others_are_called_genuine(crowd):
    rows, fake, genuine = Labels("simulated", simulated=0.2).of(crowd)
    assert rows.n_users == 26 + 4  # a fifth of 26, an even number
    assert np.flatnonzero(fake).tolist() == [26, 27, 28, 29]
    assert np.flatnonzero(~genuine).tolist() == [20, 26, 27, 28, 29]
    first = rows.take(rows.users < 26)
    assert (first.users == crowd.users).all()
    assert (first.items == crowd.items).all()
    assert len(rows) - len(crowd) == 4 * crowd.mean_profile


def test_a_share_of_the_fake_users_is_known_rounded_up(crowd):
    rows, fake, genuine = Labels("known", known=0.3).of(crowd, n_real=21)
    assert rows is crowd
    assert fake.sum() == 2
    assert fake[21:].sum() == 2
    assert genuine[:20].all()
    assert not genuine[20]
    assert genuine[21:].sum() == 3


def test_the_truth_knows_everybody(crowd):
    _, fake, genuine = Labels("truth").of(crowd, n_real=21)
    assert np.flatnonzero(fake).tolist() == [21, 22, 23, 24, 25]
    assert np.flatnonzero(genuine).tolist() == list(range(20))


def test_an_oracle_must_be_told(crowd):
    with pytest.raises(ConfigError, match=r"labels\.source is truth, but nobody has said"):
        Labels("truth").of(crowd)


@pytest.mark.parametrize("settings", [{"source": "guess"}, {"simulated": 0.0}, {"known": 1.5}])
def test_settings_out_of_range(settings):
    with pytest.raises(ConfigError, match=f"labels.{next(iter(settings))}"):
        Labels(**settings)


def test_the_forest_judges_by_trees_that_did_not_see_a_user():
    """Labels that features do not explain: a tree that saw a user knows the label, others say chance."""
    rng = np.random.default_rng(3)
    fake = np.arange(60) < 20
    found = chances(rng.random((60, 3)), fake, ~fake, trees=50)
    assert abs(found[fake].mean() - found[~fake].mean()) < 0.15


def test_the_forest_parts_what_features_part():
    fake = np.arange(40) < 10
    features = np.column_stack([np.where(fake, 5.0, 0) + np.arange(40) / 100, np.zeros(40)])
    found = chances(features, fake, ~fake, trees=20)
    assert found[fake].min() > 0.9
    assert found[~fake].max() < 0.1


def test_the_forest_says_nothing_without_both_labels():
    assert chances(np.eye(3), np.zeros(3, dtype=bool), np.ones(3, dtype=bool), 5).tolist() == [0, 0, 0]
