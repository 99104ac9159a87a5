"""What tests of attacks through a surrogate's training share."""

import numpy as np
import torch

from recpoison.data.interactions import Interactions
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CPU = torch.device("cpu")


class Figures(Progress):
    """Keeps what an attack says of each iteration."""

    def __init__(self):
        self.hit_ratios, self.objectives = [], []

    def step(self, done, total, **figures):
        self.hit_ratios.append(figures["surrogate_hit_ratio"])
        self.objectives.append(figures["objective"])


def small_data() -> Interactions:
    """25 users x 15 items, 30% of them seen."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((25, 15)) < 0.3)
    return Interactions(users, items, np.ones(len(users)), 25, 15)


def training(attack, data, targets=(3,)):
    """The inner problem of ``attack`` in double precision."""
    made = attack._surrogate(data, torch.tensor(targets), attack.n_fake_users, Seeds(0), CPU)
    made.inner.first = tuple(table.double() for table in made.inner.first)
    return made


def some_fakes(n=4, m=15):
    """Zeros and ones ``(n, m)``, float64."""
    return torch.from_numpy((np.random.default_rng(1).random((n, m)) < 0.4).astype(float))
