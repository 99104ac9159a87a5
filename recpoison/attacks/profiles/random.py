"""Random attack (Lam and Riedl, "Shilling recommender systems for fun and profit", WWW 2004, as RandomBot)."""

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.profiles.base import FillerAttack
from recpoison.data.interactions import Interactions


@dataclass(frozen=True, kw_only=True)
class RandomAttack(FillerAttack):
    """Fillers are rated from N(mean, standard deviation) of all ratings.

    On implicit data a filler has no rating and this is the same attack as ``average`` and ``rand_filter``.
    """

    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(data.values.mean(), data.values.std(), items.shape)
