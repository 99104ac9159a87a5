"""Random attack (Lam and Riedl, "Shilling recommender systems for fun and profit", WWW 2004, as RandomBot)."""

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.profiles.base import FillerAttack
from recpoison.data.interactions import Interactions


@dataclass(frozen=True, kw_only=True)
class RandomAttack(FillerAttack):
    """Fillers are rated from N(mean, standard deviation) of all ratings.

    On implicit data a filler has no rating and this is the same attack as ``average`` and ``rand_filter``.

    Example:
        >>> data = Interactions([0, 0, 1, 1], [0, 1, 0, 1], [3, 3, 3, 3], n_users=2, n_items=3, scale=Scale(1, 5))
        >>> attack = RandomAttack(targets=Targets("list", [2]), n_fake_users=1, fillers=2)
        >>> fakes = attack.poison(data, np.array([2]), Seeds(0), torch.device("cpu"), Progress())
        >>> fakes.items.tolist(), fakes.values.tolist()
        ([2, 0, 1], [5.0, 3.0, 3.0])
    """

    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(data.values.mean(), data.values.std(), items.shape)
