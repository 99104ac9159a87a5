import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.bandwagon import BandwagonAttack
from recpoison.attacks.targets import Targets
from recpoison.errors import ConfigError
from recpoison.progress import Progress

CPU = torch.device("cpu")


def test_the_most_popular_items_but_no_target_are_rated_highest(tiny_explicit, seeds):
    # Users per item: 3, 2, 3, 0, 0. Without the target 0 the two most popular are 2 and 1.
    attack = BandwagonAttack(targets=Targets("list", [0]), n_fake_users=30, fillers=1, n_selected=2)
    change = attack.poison(tiny_explicit, np.array([0]), seeds, CPU, Progress())
    items, values = change.items.reshape(30, 4), change.values.reshape(30, 4)
    assert (items[:, :3] == [0, 2, 1]).all()
    assert (values[:, :3] == 5).all()
    assert set(items[:, 3]) == {3, 4}
    assert len(set(values[:, 3])) > 1


def test_more_selected_than_items_are_refused(tiny_explicit, seeds):
    attack = BandwagonAttack(targets=Targets("list", [0]), n_fake_users=1, fillers=0, n_selected=5)
    with pytest.raises(ConfigError, match=r"attack\.n_selected is 5, but the catalogue has 5 items.*give 4 or less"):
        attack.poison(tiny_explicit, np.array([0]), seeds, CPU, Progress())


def test_nothing_selected_is_refused():
    with pytest.raises(ConfigError, match=r"attack\.n_selected is 0: give 1 or more"):
        BandwagonAttack(targets=Targets(), n_selected=0)
