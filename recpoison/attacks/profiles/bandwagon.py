"""Bandwagon attack (Burke, Mobasher and Bhaumik 2005; the form of the AUSH paper's baselines)."""

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.profiles.base import FillerAttack, check_selected
from recpoison.attacks.profiles.fillers import most_popular
from recpoison.data.interactions import Interactions
from recpoison.ranges import ranged


@dataclass(frozen=True, kw_only=True)
class BandwagonAttack(FillerAttack):
    """The most popular items are rated highest, so that fake users resemble many; fillers are rated as in ``random``.

    Args:
        n_selected: How many of the most popular items. AUSH's code takes as many as ``segment`` selects, Leg-UP's 1,
            RecAD's 11.

    Raises:
        ConfigError: If ``n_selected`` is below 1.

    Example:
        >>> data = Interactions([0, 1, 2, 2], [0, 0, 0, 1], [1] * 4, n_users=3, n_items=4)
        >>> targets = Targets("list", [2])
        >>> attack = BandwagonAttack(targets=targets, n_fake_users=1, fillers=0, n_selected=1)
        >>> attack.poison(data, np.array([2]), Seeds(0), torch.device("cpu"), Progress()).items.tolist()
        [2, 0]
    """

    n_selected: int = ranged(3, low=1)

    @property
    def _alike(self) -> str:
        return "bandwagon, and segment where it selects the most popular items"

    def _selected(self, data: Interactions, targets: np.ndarray) -> np.ndarray:
        check_selected(self.n_selected, data, targets)
        return most_popular(data, targets, self.n_selected)

    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(data.values.mean(), data.values.std(), items.shape)
