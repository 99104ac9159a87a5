import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.bilevel_wrmf import BilevelWRMFAttack
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError
from recpoison.progress import Progress

CPU = torch.device("cpu")


def test_fillers_follow_the_normal_law_of_all_ratings(seeds):
    values = np.array([40.0, 60, 45, 55, 50, 50])  # mean 50, variance 250 / 6
    data = Interactions(np.arange(6), np.array([0, 1, 0, 1, 0, 1]), values, 6, 4, Scale(0, 100))
    attack = RandomAttack(targets=Targets("list", [3]), n_fake_users=10_000, fillers=2, round_ratings=False)
    change = attack.poison(data, np.array([3]), seeds, CPU, Progress())
    drawn = change.values[change.items != 3]
    assert len(drawn) == 20_000
    assert drawn.mean() == pytest.approx(50, abs=4 * 6.455 / np.sqrt(20_000))
    assert drawn.std() == pytest.approx(np.sqrt(250 / 6), rel=0.02)


def test_mean_makes_a_profile_as_long_as_the_mean_one(tiny_explicit, seeds):
    attack = RandomAttack(targets=Targets("list", [3]), n_fake_users=2)
    change = attack.poison(tiny_explicit, np.array([3]), seeds, CPU, Progress())
    assert np.bincount(change.profile).tolist() == [2, 2]  # 8 ratings, 4 users: one target and one filler


def test_unrounded_ratings_leave_the_grid_but_not_the_scale(tiny_explicit, seeds):
    attack = RandomAttack(targets=Targets("list", [3]), n_fake_users=200, fillers=4, round_ratings=False)
    values = attack.poison(tiny_explicit, np.array([3]), seeds, CPU, Progress()).values
    assert (values != np.rint(values)).mean() > 0.5
    assert 1 <= values.min() < values.max() <= 5


@pytest.mark.parametrize("fillers", [-1, "median", 2.5])
def test_fillers_that_make_no_sense_are_refused(fillers):
    with pytest.raises(ConfigError, match=r"attack\.fillers is .*give (a whole number, )?0 or more or mean"):
        RandomAttack(targets=Targets(), fillers=fillers)


def test_more_fillers_than_items_are_refused(tiny_explicit, seeds):
    attack = RandomAttack(targets=Targets("list", [3]), n_fake_users=1, fillers=5)
    with pytest.raises(ConfigError, match=r"attack\.fillers is 5, but the catalogue has 5 items.*give 4 or less"):
        attack.poison(tiny_explicit, np.array([3]), seeds, CPU, Progress())


@pytest.mark.parametrize("kind", [RandomAttack, BilevelWRMFAttack])
def test_more_fake_users_than_memory_holds_are_refused_before_they_are_made(kind, tiny_explicit, seeds):
    attack = kind(targets=Targets("list", [3]), n_fake_users=10**12)
    with pytest.raises(
        ConfigError, match=r"10{12} .*fake users .* would take .* GiB are free: lower attack\.n_fake_users"
    ):
        attack.poison(tiny_explicit, np.array([3]), seeds, CPU, Progress())
