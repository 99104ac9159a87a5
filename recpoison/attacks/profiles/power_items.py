"""Power item attack (Seminario and Wilson, "Attacking item-based recommenders with power items", RecSys 2014)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.base import Crafting
from recpoison.attacks.profiles.base import FilledAttack, refuse_too_large
from recpoison.attacks.profiles.fillers import item_statistics
from recpoison.attacks.profiles.power import most_influential
from recpoison.attacks.profiles.power_users import check_power, idle_power
from recpoison.changes import FakeProfiles
from recpoison.idle import Together


@dataclass(frozen=True, kw_only=True)
class PowerItemsAttack(FilledAttack):
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

    rule: str = "in_degree"
    neighbours: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        check_power(self.rule, self.neighbours)

    def idle(self, parts: Together) -> dict[str, str]:
        """Ratings and their rounding where there are none; what chooses fillers where there are none."""
        if self.fillers == 0:
            return super().idle(parts) | dict.fromkeys(("rule", "neighbours", "round_ratings"), "fillers is 0")
        unrated = {} if parts.dataset.has_ratings else {"round_ratings": "the data have no ratings"}
        return super().idle(parts) | unrated | idle_power(self.rule)

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets, n_fakes, seeds, _, _ = crafting
        count = self._filler_count(data, len(targets))
        refuse_too_large(n_fakes, len(targets) + count)
        order = most_influential(data.seen.T.tocsr(), self.rule, self.neighbours, data.n_items)
        fillers = order[~np.isin(order, targets)][:count]
        items = np.tile(np.concatenate([targets, fillers]), (n_fakes, 1))
        values = np.ones(items.shape)
        if data.scale is not None:
            means, stds = item_statistics(data, "sample")
            drawn = seeds.numpy("values").normal(means[fillers], stds[fillers], (n_fakes, count))
            values[:, : len(targets)] = data.scale.high
            values[:, len(targets) :] = self._on_scale(drawn, data.scale)
        profile = np.repeat(np.arange(n_fakes), items.shape[1])
        return FakeProfiles(profile, items.ravel(), values.ravel(), n_fakes, targets)
