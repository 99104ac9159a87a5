"""RAPU-R: popular items that both average users and a target are near (Zhang, Tian, Li, Su, Liu and Zhao, KDD 2021).

"Data poisoning attack against recommender system using incomplete and perturbed data"; the baseline of its authors'
code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from recpoison.attacks.base import Crafting
from recpoison.attacks.profiles.clicks import ClickAttack
from recpoison.attacks.profiles.fillers import most_popular
from recpoison.data.interactions import Interactions
from recpoison.idle import Together
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import QUIET
from recpoison.ranges import ranged

VECTORS = ("own", "mean_entry")
LISTS = ("target", "fake_user")


@dataclass(frozen=True, kw_only=True)
class RAPURAttack(ClickAttack):
    """Fillers are those popular items whose vectors agree most with a target's and that of average users.

    A surrogate is fitted to the real users once. For each target the mean vector of ``sampled_users`` random users is
    added to the target's; the items of the largest product with the sum, among the ``popular_items`` most popular, are
    the fillers. Fake users take the targets' lists in turn; all have all targets. With one list a target, fake users
    of the same target are alike.

    Departures: the authors' attacker sees a sample of the data with false clicks in it, and here all of them. Where
    fillers are more than the popular items, the most popular of the others are added.

    Args:
        sampled_users: Share of the users whose vectors are averaged; 1 in GPA's port.
        popular_items: Share of the catalogue that fillers are chosen from.
        target_vector: ``own``, or ``mean_entry``: the mean of its entries in place of each, as in the authors' code,
            where the target then hardly matters.
        lists: One list of fillers for each ``target``, or for each ``fake_user``, with users drawn anew.
        surrogate: The attacker's own model.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> small = {"surrogate": WRMFALS(4), "popular_items": 1.0, "fillers": 2}
        >>> attack = RAPURAttack(targets=Targets("list", [4]), n_fake_users=2, **small)
        >>> fakes = attack.poison(data, np.array([4]), Seeds(0), torch.device("cpu"), Progress())
        >>> [sorted(row) for row in (fakes.items % 2).reshape(2, 3).tolist()]  # items of the target's taste
        [[0, 0, 0], [0, 0, 0]]
    """

    sampled_users: float = ranged(0.1, low=0.0, high=1, open_low=True)
    popular_items: float = ranged(0.1, low=0.0, high=1, open_low=True)
    target_vector: str = ranged("own", words=VECTORS)
    lists: str = ranged("target", words=LISTS)
    surrogate: WRMFALS = field(default_factory=WRMFALS)

    def idle(self, parts: Together) -> dict[str, str]:
        """For whom users are drawn, where all are."""
        found = super().idle(parts)
        return found | ({"lists": "sampled_users is 1, so nothing is drawn"} if self.sampled_users == 1 else {})

    def _chosen(self, crafting: Crafting, count: int) -> np.ndarray:
        data, targets, seeds = crafting.data, crafting.targets, crafting.seeds
        params = self.surrogate.fitted(data, seeds.child("surrogate"), crafting.device, QUIET).params
        users, items = (params[name].double().cpu().numpy() for name in ("user", "item"))
        known = candidates(data, targets, self.popular_items, count)
        n_lists = crafting.n_fakes if self.lists == "fake_user" else min(len(targets), crafting.n_fakes)
        found = []
        for number in range(n_lists):
            rng = seeds.numpy("users", number)
            drawn = rng.choice(len(users), math.ceil(self.sampled_users * len(users)), replace=False)
            wanted = users[np.sort(drawn)].mean(0) + self._vector(items[targets[number % len(targets)]])
            found.append(known[np.argsort(-(items[known] @ wanted), kind="stable")[:count]])
        return np.array(found)[np.arange(crafting.n_fakes) % n_lists]

    def _vector(self, target: np.ndarray) -> np.ndarray:
        return np.full_like(target, target.mean()) if self.target_vector == "mean_entry" else target


def candidates(data: Interactions, targets: np.ndarray, share: float, least: int) -> np.ndarray:
    """The ``share`` of items that most users have, and more of them if they are fewer than ``least``; no ``targets``.

    Most popular first, then by id.
    """
    return most_popular(data, targets, max(math.ceil(share * data.n_items), least))
