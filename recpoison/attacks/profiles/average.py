"""Average attack (Lam and Riedl, "Shilling recommender systems for fun and profit", WWW 2004, as AverageBot)."""

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.profiles.base import FillerAttack
from recpoison.attacks.profiles.fillers import item_statistics
from recpoison.data.interactions import Interactions
from recpoison.idle import Together
from recpoison.ranges import ranged


@dataclass(frozen=True, kw_only=True)
class AverageAttack(FillerAttack):
    """Fillers are rated from N(mean, standard deviation) of the item's own ratings.

    What an item lacks (a mean if nobody rated it, a standard deviation if too few did) comes from all ratings. RecAD's
    code puts the item's mean in the place of its standard deviation, so most of its ratings end at the scale's edges;
    this does not. On implicit data a filler has no rating and this is the same attack as ``random`` and
    ``rand_filter``.

    Args:
        item_std: ``sample`` (n - 1, needs two ratings; the Leg-UP code) or ``population`` (n, needs one: an item rated
            once is then always given exactly that rating).

    Raises:
        ConfigError: If ``item_std`` is unknown.

    Example:
        >>> data = Interactions([0, 0, 1, 1], [0, 1, 0, 1], [4, 2, 4, 2], n_users=2, n_items=3, scale=Scale(1, 5))
        >>> attack = AverageAttack(targets=Targets("list", [2]), n_fake_users=1, fillers=2)
        >>> fakes = attack.poison(data, np.array([2]), Seeds(0), torch.device("cpu"), Progress())
        >>> fakes.items.tolist(), fakes.values.tolist()
        ([2, 0, 1], [5.0, 4.0, 2.0])
    """

    item_std: str = ranged("sample", words=("sample", "population"))

    def idle(self, parts: Together) -> dict[str, str]:
        """The spread of ratings, where there are none."""
        why = self._without_ratings(parts)
        return super().idle(parts) | ({"item_std": why} if why else {})

    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        means, stds = item_statistics(data, self.item_std)
        return rng.normal(means[items], stds[items])
