"""Power item attack (Seminario and Wilson, "Attacking item-based recommenders with power items", RecSys 2014)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.profiles.base import FillerAttack
from recpoison.attacks.profiles.fillers import item_statistics
from recpoison.attacks.profiles.power import RULES, idle_power, most_influential
from recpoison.data.interactions import Interactions
from recpoison.idle import Together
from recpoison.ranges import ranged


@dataclass(frozen=True, kw_only=True)
class PowerItemsAttack(FillerAttack):
    """The fillers of every fake user are the most influential items; they are rated as in ``average``.

    On implicit data all fake users are alike, and ``rule=ratings`` is ``bandwagon`` with nothing but selected items.

    Args:
        rule: What influence is: ``in_degree`` (in how many items' neighbourhoods), ``similarity`` (to its own nearest
            neighbours), or ``ratings`` (how many users have it).
        neighbours: Nearest neighbours of an item; 50 in the paper.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 1], [1] * 5, n_users=3, n_items=4)
        >>> attack = PowerItemsAttack(targets=Targets("list", [3]), n_fake_users=1, fillers=1, rule="ratings")
        >>> attack.poison(data, np.array([3]), Seeds(0), torch.device("cpu"), Progress()).items.tolist()
        [3, 1]
    """

    rule: str = ranged("in_degree", words=RULES)
    neighbours: int = ranged(50, low=1)

    def idle(self, parts: Together) -> dict[str, str]:
        """What chooses fillers, where there are none; the neighbourhood, where only ratings are counted."""
        found = super().idle(parts)
        if self.fillers == 0:
            return found | dict.fromkeys(("rule", "neighbours"), "fillers is 0")
        return found | idle_power(self.rule)

    def _coincides(self, parts: Together) -> list[str]:
        return []

    def _fillers(
        self, data: Interactions, pushed: np.ndarray, n_fakes: int, count: int, rng: np.random.Generator
    ) -> np.ndarray:
        order = most_influential(data.seen.T.tocsr(), self.rule, self.neighbours, data.n_items)
        return np.tile(order[~np.isin(order, pushed)][:count], (n_fakes, 1))

    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        means, stds = item_statistics(data, "sample")
        return rng.normal(means[items], stds[items])
