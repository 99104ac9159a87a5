"""What an attack is: it crafts a change, and its base class holds the budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch

from recpoison.attacks.targets import Targets
from recpoison.changes import Budget, FakeProfiles
from recpoison.data.interactions import Interactions
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class Attack:
    """Anything that can be done to a recommender. The runner knows this class and none below it.

    An attack changes the data before fitting (``poison``) or a fitted model at evaluation; a kind that does one leaves
    the other alone.
    """

    works_on: ClassVar[str | None] = "interactions"  # a Dataset.kind; None: any

    def choose_targets(self, data: Interactions, seeds: Seeds) -> np.ndarray:
        """Items to promote, ``(n_targets,)``; none where the attack is about no item in particular."""
        return np.zeros(0, dtype=np.int64)

    def poison(
        self, data: Interactions, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> FakeProfiles:
        """The change to the training data; nothing here."""
        return FakeProfiles.none(targets)


@dataclass(frozen=True, kw_only=True)
class ProfileAttack(Attack, ABC):
    """Adds fake users. A new attack writes ``_craft``; the budget is checked here.

    Args:
        targets: How the items to promote are chosen.
        budget: Fake users, as a share of the real ones, in (0, 1].
        n_fake_users: Fake users, as a number; it wins over ``budget``.
    """

    targets: Targets
    budget: float = 0.01
    n_fake_users: int | None = None

    def __post_init__(self) -> None:
        Budget(self.budget, self.n_fake_users)

    @final
    def choose_targets(self, data: Interactions, seeds: Seeds) -> np.ndarray:
        """Items to promote, ``(n_targets,)``."""
        return self.targets.choose(data, seeds.numpy("targets"))

    @final
    def poison(
        self, data: Interactions, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> FakeProfiles:
        """Craft fake users within the budget.

        Raises:
            BudgetExceeded: If the attack made more fake users than it may.
        """
        n_fakes = Budget(self.budget, self.n_fake_users).fake_users(data.n_users)
        change = self._craft(data, targets, n_fakes, seeds.child("attack"), device, progress)
        change.check(data, n_fakes)
        return change

    @abstractmethod
    def _craft(
        self,
        data: Interactions,
        targets: np.ndarray,
        n_fakes: int,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
    ) -> FakeProfiles:
        """At most ``n_fakes`` fake users that promote ``targets`` in ``data``."""
