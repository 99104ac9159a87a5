"""RandFilter, the heuristic baseline of the injection paper (Tang, Wen and Wang, RecSys 2020, section 4.2)."""

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.profiles.base import FillerAttack
from recpoison.data.interactions import Interactions
from recpoison.idle import Together


@dataclass(frozen=True, kw_only=True)
class RandFilterAttack(FillerAttack):
    """Fake users click the targets and randomly chosen other items.

    The paper adapts Lam and Riedl's attack to clicks and defines nothing else; on explicit data a click is the highest
    rating here. On implicit data this is the same attack as ``random`` and ``average``.
    The "random" mode of the authors' code clicks about half of the catalogue, which the paper does not describe; it is
    not offered.

    Example:
        >>> data = Interactions([0, 0, 1, 1], [0, 1, 0, 1], [4, 2, 4, 2], n_users=2, n_items=3, scale=Scale(1, 5))
        >>> attack = RandFilterAttack(targets=Targets("list", [2]), n_fake_users=1, fillers=2)
        >>> fakes = attack.poison(data, np.array([2]), Seeds(0), torch.device("cpu"), Progress())
        >>> fakes.items.tolist(), fakes.values.tolist()
        ([2, 0, 1], [5.0, 5.0, 5.0])
    """

    def idle(self, parts: Together) -> dict[str, str]:
        """There is nothing to round."""
        return {"round_ratings": "fillers have the scale's highest rating"} | super().idle(parts)

    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.full(items.shape, np.inf)  # the scale cuts it to its highest rating
