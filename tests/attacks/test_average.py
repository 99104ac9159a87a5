import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError
from recpoison.progress import Progress

CPU = torch.device("cpu")


def test_item_means_and_deviations_are_those_of_the_data(seeds):
    """RecAD's code takes the item's mean for its standard deviation: 50 and 30 here instead of 14.14 and 10."""
    users, items = np.array([0, 1, 0, 1, 2]), np.array([0, 0, 1, 1, 1])
    data = Interactions(users, items, np.array([40.0, 60, 20, 30, 40]), 3, 3, Scale(0, 100))
    attack = AverageAttack(targets=Targets("list", [2]), n_fake_users=20_000, fillers=2, round_ratings=False)
    change = attack.poison(data, np.array([2]), seeds, CPU, Progress())
    for item, mean, std in ((0, 50, np.sqrt(200)), (1, 30, 10)):
        drawn = change.values[change.items == item]
        assert drawn.mean() == pytest.approx(mean, abs=4 * std / np.sqrt(20_000))
        assert drawn.std() == pytest.approx(std, rel=0.02)


def test_it_shares_its_fillers_with_other_attacks(tiny_explicit, seeds):
    settings = {"targets": Targets("list", [4]), "n_fake_users": 20, "fillers": 2}
    average, random = (
        kind(**settings).poison(tiny_explicit, np.array([4]), seeds, CPU, Progress())
        for kind in (AverageAttack, RandomAttack)
    )
    assert np.array_equal(average.items, random.items)
    assert not np.array_equal(average.values, random.values)


def test_unknown_item_std_is_refused():
    with pytest.raises(ConfigError, match=r"attack\.item_std is 'mean': choose one of sample, population"):
        AverageAttack(targets=Targets(), item_std="mean")
