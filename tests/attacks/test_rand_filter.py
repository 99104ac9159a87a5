import numpy as np
import torch

from recpoison.attacks.profiles.rand_filter import RandFilterAttack
from recpoison.attacks.targets import Targets
from recpoison.progress import Progress


def test_every_item_is_clicked(tiny_explicit, planted, seeds):
    for data, click in ((tiny_explicit, 5), (planted.train, 1)):
        attack = RandFilterAttack(targets=Targets("list", [4]), n_fake_users=10, fillers=3)
        change = attack.poison(data, np.array([4]), seeds, torch.device("cpu"), Progress())
        assert len(change.values) == 40
        assert set(change.values) == {click}
