import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.detectors.pca_select_users import PCASelectUsers
from recpoison.errors import ConfigError
from recpoison.progress import Progress
from recpoison.seeds import Seeds


def some_data(seed: int, explicit: bool) -> Interactions:
    rng = np.random.default_rng(seed)
    rows = np.argwhere(rng.random((25, 40)) < rng.random(40) * 0.8)
    values = rng.integers(1, 6, len(rows)) if explicit else np.ones(len(rows))
    return Interactions(rows[:, 0], rows[:, 1], values, 25, 40, Scale(1, 5) if explicit else None)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), explicit=st.booleans(), components=st.integers(1, 4))
def test_scores_are_those_of_the_whole_covariance_whatever_the_signs(seed, explicit, components):
    data = some_data(seed, explicit)
    rows = data.csr.toarray()
    standard = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    _, vectors = np.linalg.eigh(standard @ standard.T)
    signs = np.random.default_rng(seed).choice([-1, 1], components)
    expected = -((vectors[:, -components:] * signs) ** 2).sum(axis=1)
    assert PCASelectUsers(components).scores(data) == pytest.approx(expected, abs=1e-8)


def test_two_users_by_hand():
    """Users 0 and 1 have the same row, user 2 an orthogonal one: the first eigenvector is (1, 1, 0) / sqrt 2."""
    users, items = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 2])
    data = Interactions(users, items, np.ones(6), 3, 4)
    assert PCASelectUsers(1).scores(data) == pytest.approx([-0.5, -0.5, 0], abs=1e-12)


def test_a_user_without_rows_is_the_least_suspicious():
    data = some_data(0, explicit=True)
    scores = PCASelectUsers().scores(data.take(data.users != 7))
    assert scores.argmin() == 7


def test_a_user_with_every_item_alike_is_suspicious():
    data = some_data(0, explicit=False).with_fake_users(np.zeros(40, int), np.arange(40), np.ones(40), 1)
    assert PCASelectUsers().scores(data).argmax() == 25


def test_random_profiles_are_found_among_two_tastes():
    """Two tastes, each in its half of 60 items, are one axis after standardising; 10 fake users rate across both."""
    rng = np.random.default_rng(0)
    likes = np.kron(np.eye(2), np.ones((50, 30))) * (rng.random((100, 60)) < 0.5)
    users, items = np.nonzero(likes)
    data = Interactions(users, items, np.ones(len(users)), 100, 60)
    attack = RandomAttack(targets=Targets("list", [0]), n_fake_users=10)
    poisoned = attack.poison(data, np.array([0]), Seeds(0), torch.device("cpu"), Progress()).apply(data)
    suspects = np.argsort(-PCASelectUsers(1).scores(poisoned))[:10]
    assert set(suspects) == set(range(100, 110))


def test_more_components_than_users_are_refused(tiny_explicit):
    with pytest.raises(
        ConfigError, match=r"defense\.detector\.components is 4, but 4 users and 5 items.*give 3 or less"
    ):
        PCASelectUsers(4).scores(tiny_explicit)
    with pytest.raises(ConfigError, match=r"defense\.detector\.components is 0"):
        PCASelectUsers(0)
