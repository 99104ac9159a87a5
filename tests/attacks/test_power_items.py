import numpy as np
import torch

from recpoison.attacks.profiles.power_items import PowerItemsAttack
from recpoison.attacks.targets import Targets
from recpoison.progress import Progress

CPU = torch.device("cpu")


def test_fillers_are_the_most_influential_items(tiny_explicit, seeds):
    """Users per item: 3, 2, 3, 0, 0. Without the target 0 the first two are 2 and 1."""
    attack = PowerItemsAttack(targets=Targets("list", [0]), n_fake_users=40, fillers=2, rule="ratings")
    change = attack.poison(tiny_explicit, np.array([0]), seeds, CPU, Progress())
    items, values = change.items.reshape(40, 3), change.values.reshape(40, 3)
    assert (items == [0, 2, 1]).all()
    assert (values[:, 0] == 5).all()
    assert len(set(values[:, 1:].ravel())) > 1
    assert set(values.ravel()) <= {1, 2, 3, 4, 5}


def test_items_nobody_has_come_last(tiny_explicit, seeds):
    attack = PowerItemsAttack(targets=Targets("list", [3]), n_fake_users=1, fillers=4)
    change = attack.poison(tiny_explicit, np.array([3]), seeds, CPU, Progress())
    assert change.items[-1] == 4
