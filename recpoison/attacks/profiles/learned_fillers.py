"""Fake users whose fillers are learned on a surrogate in closed form."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.capped_simplex import onto_capped_simplex
from recpoison.attacks.base import Crafting
from recpoison.attacks.objectives import TargetHits
from recpoison.attacks.profiles.base import FillerAttack
from recpoison.attacks.profiles.closed_form import ClosedForm
from recpoison.attacks.profiles.filler_descent import TRACED, FillerDescent, Problem
from recpoison.attacks.profiles.fillers import item_statistics
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions
from recpoison.idle import Together
from recpoison.memory import refuse_beyond_memory
from recpoison.models.mf import MF
from recpoison.models.wrmf_als import WRMFALS
from recpoison.ranges import ranged

_LARGEST = 1e9  # beyond it float32 has nothing left of the ratings
_COPIES = 16  # matrices of fake users x items at once: weights, ratings, their gradients and products


@dataclass(frozen=True, kw_only=True)
class LearnedFillersAttack(FillerAttack):
    """Learns which items fake users rate beside the targets. An attack writes ``_objective`` and what is special to it.

    Every fake user has a weight for each item. The ``fillers`` items of most weight are rated, and only these are shown
    to a surrogate that is solved in closed form (``ClosedForm``); its exact gradient there, in how much of a rating
    there is, moves the weights of all items (``FillerDescent``). The change's ``trace`` has what the surrogate said at
    each look.

    Args:
        iterations: Steps of a group of fake users.
        step_size: Length of the first, in units of a full profile.
        ridge: Of the surrogate's equations on ratings, whose cells weigh 1 and are shares of the scale's maximum. What
            few have rated stays near 0, much as in a victim that stops early.
        alternations: Times that fake users and then items are solved for, given each other.
        cutoff: Length of the lists in the trace's hit ratio.
        surrogate: The attacker's own model of ratings.
        implicit_surrogate: The one for data without ratings.

    Raises:
        ConfigError: If a value is out of range.
    """

    iterations: int = ranged(30, low=1)
    step_size: float = ranged(0.3, low=0.0, high=_LARGEST, open_low=True)
    ridge: float = ranged(1.0, low=0.0, high=_LARGEST, open_low=True)
    alternations: int = ranged(2, low=1)
    cutoff: int = ranged(10, low=1)
    surrogate: MF = field(default_factory=MF)
    implicit_surrogate: WRMFALS = field(default_factory=WRMFALS)

    def idle(self, parts: Together) -> dict[str, str]:
        """The surrogate of the other kind of data."""
        found = super().idle(parts)
        if parts.dataset.has_ratings:
            return found | {"implicit_surrogate": "the data have ratings, and surrogate is for those"}
        return found | dict.fromkeys(("surrogate", "ridge"), "the data have no ratings: see implicit_surrogate")

    def _coincides(self, parts: Together) -> list[str]:
        return []

    def _prepared(self, problem: Problem) -> Any:
        """What the objective needs of the surrogate before fake users came; nothing here."""
        return None

    @abstractmethod
    def _objective(self, problem: Problem, items: Tensor, hits: TargetHits, prepared: Any) -> Tensor:
        """What is minimised, of the surrogate's items; ``hits`` is to be shown its scores.

        Args:
            problem: What is optimised.
            items: ``(n_items, size)`` beside the fake users.
            hits: Wants the scores of all users.
            prepared: What ``_prepared`` gave.
        """

    @property
    def _groups(self) -> int:
        """Groups of fake users that are learned one after the other."""
        return 1

    @property
    def _learns_ratings(self) -> bool:
        """Whether ratings move; otherwise they stay as drawn, around each item's own mean."""
        return False

    def _projected(self, weights: Tensor, fillers: int) -> Tensor:
        """The nearest weights that are allowed; those of targets are minus infinity."""
        return onto_capped_simplex(weights, fillers)

    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        means, stds = item_statistics(data, "sample")
        return rng.normal(means[items], stds[items])

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets = crafting.data, torch.from_numpy(crafting.targets).to(crafting.device)
        problem = self._problem(crafting, targets, self._filler_count(data, len(targets)))
        prepared = self._prepared(problem)
        lowest = data.scale.low / data.scale.high if data.scale is not None and self._learns_ratings else None

        def look(cells: Tensor, ratings: Tensor) -> tuple[Tensor, Tensor]:
            hits = TargetHits(problem.form.seen, targets, self.cutoff)
            value = self._objective(problem, problem.form.items(cells, ratings), hits, prepared)
            return hits.share, value

        def projected(weights: Tensor) -> Tensor:
            return self._projected(weights.index_fill(1, targets, -torch.inf), problem.fillers)

        figures = (lowest, self._groups, self.iterations, self.step_size)
        descent = FillerDescent(problem, look, projected, partial(self._allowed, data=data), *figures)
        learned = descent.run((self, data, crafting.targets, crafting.seeds, crafting.n_fakes))
        profile, items = learned.cells.cpu().numpy().nonzero()
        values = self._values(learned.ratings, data)[profile, items]
        trace = {name: figures.numpy() for name, figures in zip(TRACED, learned.trace.T, strict=True)}
        n_fakes = len(learned.cells)
        return FakeProfiles(profile, items, values, n_fakes, crafting.targets, trace, self.cutoff, learned.place)

    def _problem(self, crafting: Crafting, targets: Tensor, fillers: int) -> Problem:
        data, _, n_fakes, seeds, device, _ = crafting
        model = self.implicit_surrogate if data.scale is None else self.surrogate
        refuse_beyond_memory(
            4 * data.n_items * ((1 + self.alternations) * model.embedding_size**2 + _COPIES * n_fakes),
            f"the equations of {data.n_items} items and {n_fakes} learned fake users",
            "lower attack.alternations, the embedding_size of the attack's surrogate, or attack.budget",
        )
        cells = np.tile(np.arange(data.n_items), (n_fakes, 1))
        drawn = torch.ones(cells.shape)
        if data.scale is not None:
            drawn = torch.from_numpy(self._filler_values(data, cells, seeds.numpy("values")) / data.scale.high)
        ratings = self._allowed(drawn.float().to(device), data).index_fill_(1, targets, 1.0)
        start = torch.from_numpy(seeds.numpy("start").random(cells.shape)).float().to(device)
        form = ClosedForm(model, self.ridge, self.alternations, data, seeds.child("surrogate"), device)
        return Problem(form, targets, fillers, ratings, start, crafting)

    def _allowed(self, shares: Tensor, data: Interactions) -> Tensor:
        """The nearest ratings that the scale has, as shares of its maximum."""
        if data.scale is None:
            return torch.ones_like(shares)
        low, high, step = data.scale.low, data.scale.high, data.scale.step
        ratings = shares.double() * high
        if self.round_ratings:  # as Scale.snap
            ratings = low + ((ratings - low) / step).round() * step
        return (ratings.clamp(low, high) / high).to(shares)

    def _values(self, shares: Tensor, data: Interactions) -> np.ndarray:
        """Ratings from shares of the scale's maximum; ones on implicit data."""
        if data.scale is None:
            return np.ones(shares.shape)
        return self._on_scale(shares.double().cpu().numpy() * data.scale.high, data.scale)
