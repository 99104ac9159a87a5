"""Power user attack (Wilson and Seminario, "When power users attack", RecSys 2013; after O'Mahony et al. 2004)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recpoison.attacks.base import Crafting, ProfileAttack
from recpoison.attacks.profiles.base import of_rows
from recpoison.attacks.profiles.power import RULES, idle_power, most_influential
from recpoison.changes import FakeProfiles
from recpoison.idle import Together
from recpoison.ranges import ranged
from recpoison.training.ratings import rating_matrix


@dataclass(frozen=True, kw_only=True)
class PowerUsersAttack(ProfileAttack):
    """Each fake user is a copy of one of the most influential real users, who also rates all targets highest.

    The first fake user copies the most influential user, and so on; where there are more fake users than real ones,
    from the top again. A copied rating of a target is replaced.

    Args:
        rule: What influence is: ``in_degree`` (in how many users' neighbourhoods), ``similarity`` (to its own nearest
            neighbours), or ``ratings`` (how many it has).
        neighbours: Nearest neighbours of a user; 50 in the paper.
        copied: Rows taken from each, drawn uniformly; None: all, as in the paper. A number makes profiles as long as
            those of other attacks, for a comparison at equal clicks.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 1], [1] * 5, n_users=3, n_items=4)
        >>> attack = PowerUsersAttack(targets=Targets("list", [3]), n_fake_users=1, rule="ratings")
        >>> attack.poison(data, np.array([3]), Seeds(0), torch.device("cpu"), Progress()).items.tolist()
        [3, 0, 1]
    """

    rule: str = ranged("in_degree", words=RULES)
    neighbours: int = ranged(50, low=1)
    copied: int | None = ranged(None, low=1, null="all")

    def idle(self, parts: Together) -> dict[str, str]:
        """The neighbourhood, where only ratings are counted."""
        return super().idle(parts) | idle_power(self.rule)

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets, n_fakes, seeds, _, _ = crafting
        rng, high = seeds.numpy("copied"), data.highest
        order = most_influential(data.seen, self.rule, self.neighbours, min(n_fakes, data.n_users))
        profiles, values, shares = [], [], rating_matrix(data)
        for user in np.resize(order, n_fakes):
            row = shares[user]
            free = ~np.isin(row.indices, targets)
            items, own = row.indices[free], row.data[free] * high
            if self.copied is not None and self.copied < len(items):
                kept = np.sort(rng.choice(len(items), self.copied, replace=False))
                items, own = items[kept], own[kept]
            profiles.append(np.concatenate([targets, items]))
            values.append(
                np.concatenate([np.full(len(targets), high), own if data.scale is None else data.scale.snap(own)])
            )
        return of_rows(profiles, values, targets)
