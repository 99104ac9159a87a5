"""What an attack on edges is: it flips some, and its base class holds the budget."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, final

import numpy as np
import torch

from recpoison.attacks.base import Attack
from recpoison.attacks.taking import edge_flips
from recpoison.border import called, method
from recpoison.data.graph import NodeGraph
from recpoison.data.interactions import Interactions
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds


class Flipping(NamedTuple):
    """What an attack on edges is given.

    Args:
        data: The edges that the attacker sees, zeros included, or the graph.
        n_flips: How many the budget allows.
        seeds: Streams of the attack's own.
        run: Streams of the run, from which the victim draws.
        device: Where tensors live.
        progress: Hears how far it is, and keeps the state of long loops.
    """

    data: Interactions | NodeGraph
    n_flips: int
    seeds: Seeds
    run: Seeds
    device: torch.device
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class EdgeAttack(Attack, ABC):
    """Flips edges of the training graph. A new attack writes ``_flip``; the budget is checked here.

    Args:
        budget: Flips, as a share of the pairs that can be flipped, in (0, 1]: of the training zeros, or of the edges
            of a graph of nodes.
        n_flips: Flips, as a number; it wins over ``budget``.
        plan: Flips that are crafted in one go, of which the above are the first: a number, or below 1 a share. Cells
            that differ in the number of flips alone then share one crafting. None crafts as many as are used.

    Raises:
        ConfigError: If a value is out of range.
    """

    flips: ClassVar[bool] = True
    crafts: ClassVar[type] = EdgeFlips

    budget: float = ranged(0.01, low=0.0, high=1, open_low=True, note=" (a share of the pairs that can be flipped)")
    n_flips: int | None = ranged(None, low=1, null="the share budget")
    plan: float | None = ranged(
        None, low=0.0, open_low=True, null="as many as are used", note=" (a share below 1, or a whole number of flips)"
    )

    def __post_init__(self) -> None:
        check_ranges(self, "attack")
        if self.plan is not None and self.plan >= 1 and self.plan != int(self.plan):
            raise ConfigError(f"attack.plan is {self.plan:g}: give a share below 1, or a whole number of flips")
        if self.plan is not None and 1 <= self.plan < (self.n_flips or 0):
            raise ConfigError(
                f"attack.plan is {self.plan:g}, but attack.n_flips is {self.n_flips}, which are its first: raise "
                "attack.plan"
            )

    def idle(self, parts: Together) -> dict[str, str]:
        """The share, where the number is given."""
        given = f"n_flips is {self.n_flips}, which wins over it"
        return {} if self.n_flips is None else {"budget": given}

    @property
    def planned(self) -> EdgeAttack:
        """The attack that makes all of ``plan``."""
        if self.plan is None:
            return self
        if self.plan < 1:
            return replace(self, budget=float(self.plan), n_flips=None, plan=None)
        return replace(self, budget=EdgeAttack.budget, n_flips=int(self.plan), plan=None)

    def used(self, change: EdgeFlips) -> EdgeFlips:
        """As many of what ``planned`` made as this attack may use."""
        return change if self.plan is None else change.first(self.n_flips, self.budget)

    @final
    def poison(
        self,
        data: Interactions | NodeGraph,
        targets: np.ndarray,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
    ) -> EdgeFlips:
        """Flip edges within the budget.

        Raises:
            BudgetExceeded: If the attack flipped more than it may.
            ConfigError: If the budget comes to no flip, or to more than can be flipped.
            UserError: If it gave anything but flips that the data can hold.
        """
        eligible = self.eligible(data)
        n_flips = self._allowed(eligible, "edges" if isinstance(data, NodeGraph) else "zeros")
        flipping = Flipping(data, n_flips, seeds.child("attack"), seeds, device, progress)
        given = edge_flips(called(self._flip, flipping), data, method(self._flip), n_flips)
        return replace(given, eligible=eligible, eligible_are=self.eligible_are)

    @property
    def eligible_are(self) -> str:
        """What ``eligible`` counts, in words."""
        return "edges of the graph" if self.works_on == "graph" else "training zeros"

    def eligible(self, data: Interactions | NodeGraph) -> int:
        """Pairs that a budget is a share of."""
        if isinstance(data, NodeGraph):
            return data.n_edges
        if data.zeros is None:
            raise ConfigError("attacks on edges flip sampled zeros: choose evaluation=link_prediction")
        return len(data.zeros.users)

    def _allowed(self, eligible: int, noun: str) -> int:
        count = int(self.budget * eligible + 1e-9) if self.n_flips is None else self.n_flips
        said = f"attack.budget={self.budget:g}" if self.n_flips is None else f"attack.n_flips={self.n_flips}"
        if count < 1:
            raise ConfigError(f"{said} of {eligible:,} {noun} is less than one flip: raise it to {1 / eligible:.2g}")
        if noun == "zeros" and count > eligible:
            raise ConfigError(f"{said}, but there are {eligible:,} {noun} to flip: lower it")
        return count

    @abstractmethod
    def _flip(self, flipping: Flipping) -> EdgeFlips:
        """At most ``flipping.n_flips`` flips, in the order of their worth; ``eligible`` is filled in afterwards."""
