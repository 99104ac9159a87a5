"""How learned fillers descend: groups of fake users one after the other, by the gradient at what is shown of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.attacks.base import Crafting
from recpoison.attacks.profiles.closed_form import ClosedForm
from recpoison.progress import alike

TRACED = ("HR", "Objective")

State = dict[str, Tensor]
# From cells and ratings ``(n, n_items)`` to the hit ratio on the surrogate and the objective, which has a gradient.
Look = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Problem(NamedTuple):
    """What is optimised.

    Args:
        form: The surrogate.
        targets: ``(n_targets,)``.
        fillers: Items of a fake user besides the targets.
        ratings: ``(n_fakes, n_items)`` shares of the scale's maximum that fillers have, or start from; 1 at targets.
        start: ``(n_fakes, n_items)`` numbers in [0, 1) from which weights start.
        crafting: What the attack was given.
    """

    form: ClosedForm
    targets: Tensor
    fillers: int
    ratings: Tensor
    start: Tensor
    crafting: Crafting


class Learned(NamedTuple):
    """What came of it.

    Args:
        cells: ``(n_fakes, n_items)`` 1 where a fake user rates an item, else 0.
        ratings: ``(n_fakes, n_items)`` shares of the scale's maximum, that the scale has.
        trace: ``(looks, 2)`` hit ratio and objective on the surrogate.
        place: The look that found them.
    """

    cells: Tensor
    ratings: Tensor
    trace: Tensor
    place: int


class FillerDescent:
    """Moves the weights and ratings of one group of fake users, then of the next beside those found before.

    The heaviest items of each fake user are shown. Steps are ``step_size`` full profiles long in each row and shrink to
    0 over a group's ``iterations``. Of a group those fake users stay that had the highest hit ratio on the surrogate,
    the objective breaking ties; the last of its looks takes no step.

    Args:
        problem: What is optimised.
        look: Asks the surrogate.
        projected: The nearest weights that are allowed.
        allowed: The nearest ratings that the scale has.
        lowest: The scale's minimum, as a share of its maximum; None leaves ratings as they are.
        groups: Groups; as many as fake users at most.
        iterations: Steps of a group.
        step_size: Length of its first, in units of a full profile.
    """

    def __init__(
        self,
        problem: Problem,
        look: Look,
        projected: Callable[[Tensor], Tensor],
        allowed: Callable[[Tensor], Tensor],
        lowest: float | None,
        groups: int,
        iterations: int,
        step_size: float,
    ) -> None:
        self.problem, self.look, self.projected, self.allowed, self.lowest = problem, look, projected, allowed, lowest
        self.iterations, self.step_size = iterations, step_size
        n_fakes = len(problem.start)
        groups = min(groups, n_fakes)
        self.bounds = [n_fakes * number // groups for number in range(groups + 1)]
        self.n_looks = groups * (iterations + 1)

    def run(self, work: object) -> Learned:
        """All looks, or those that remain where an earlier process was stopped; ``work`` is what tells this loop."""
        progress, first = self.problem.crafting.progress, self.first()
        loop = progress.loop(work, partial(self._fits, first))
        state = first | {name: tensor.to(first[name]) for name, tensor in (loop.state or {}).items()}
        while (done := len(state["trace"])) < self.n_looks:
            state = self._round(state)
            hit_ratio, value = state["trace"][-1].tolist()
            progress.step(done, self.n_looks - 1, surrogate_hit_ratio=hit_ratio, objective=value)
            loop.keep(partial(dict, state))
        return Learned(state["best_cells"], state["best_ratings"], state["trace"], int(state["place"]))

    def first(self) -> State:
        """What the looks depend on, before the first."""
        weights, ratings = self.projected(self.problem.start), self.problem.ratings
        best = {"best_cells": torch.zeros_like(weights), "best_ratings": ratings, "place": torch.tensor(0)}
        trace = torch.zeros(0, len(TRACED), dtype=torch.float64)
        return {"weights": weights, "ratings": ratings, "trace": trace} | best

    def _round(self, state: State) -> State:
        """Look at the present group beside those before it, and take a step."""
        number, iteration = divmod(len(state["trace"]), self.iterations + 1)
        before, own = slice(0, self.bounds[number]), slice(*self.bounds[number : number + 2])
        cells = self.shown(state["weights"][own]).requires_grad_()
        ratings = self.allowed(state["ratings"][own]).requires_grad_()
        settled = (state["best_cells"][before], state["best_ratings"][before])
        hit_ratio, value = self.look(*(torch.cat(pair) for pair in zip(settled, (cells, ratings), strict=True)))
        slopes = torch.autograd.grad(value, [cells, ratings])
        seen: list[float] = torch.stack([hit_ratio, value.detach().double()]).tolist()
        if math.isnan(seen[1]):
            raise self.problem.form.unsolved()
        state = state | self._judged(state, own, cells.detach(), ratings.detach(), (seen[0], seen[1]))
        if iteration < self.iterations:
            length = self.step_size * (1 - iteration / self.iterations) * math.sqrt(self.problem.fillers)
            self._step(state, own, slopes, length)
        return state

    def _judged(self, state: State, own: slice, cells: Tensor, ratings: Tensor, seen: tuple[float, float]) -> State:
        """The trace with what was ``seen``, and the best of the group."""
        trace = torch.cat([state["trace"], state["trace"].new_tensor([seen])])
        best = trace[int(state["place"])]
        fresh = len(state["trace"]) % (self.iterations + 1) == 0
        if not fresh and (seen[0], -seen[1]) <= (float(best[0]), -float(best[1])):
            return {"trace": trace}
        found = {"best_cells": state["best_cells"].clone(), "best_ratings": state["best_ratings"].clone()}
        found["best_cells"][own], found["best_ratings"][own] = cells, ratings
        return found | {"trace": trace, "place": torch.tensor(len(trace) - 1)}

    def _step(self, state: State, own: slice, slopes: tuple[Tensor, ...], length: float) -> None:
        """Put the next weights and ratings of a group into ``state``."""
        weights, ratings = state["weights"].clone(), state["ratings"].clone()
        by_cell, by_rating = (F.normalize(g.index_fill(1, self.problem.targets, 0.0), dim=1) for g in slopes)
        weights[own] = self.projected(weights[own] - length * by_cell)
        if self.lowest is not None:
            ratings[own] = (ratings[own] - length * by_rating).clamp(self.lowest, 1.0)
        state |= {"weights": weights, "ratings": ratings}

    def shown(self, weights: Tensor) -> Tensor:
        """Ones at the heaviest ``fillers`` items of each fake user and at the targets, else zeros."""
        targets = self.problem.targets
        heaviest = weights.index_fill(1, targets, -torch.inf).sort(dim=1, descending=True, stable=True)
        chosen = heaviest.indices[:, : self.problem.fillers]  # many weigh 1: topk leaves their order to the device
        return torch.zeros_like(weights).scatter_(1, chosen, 1.0).index_fill_(1, targets, 1.0)

    def _fits(self, first: State, found: State) -> bool:
        """Whether ``found`` could have come of ``first`` on the way."""
        looks = len(found.get("trace", ()))
        like = first | {"trace": torch.zeros(looks, len(TRACED), dtype=torch.float64)}
        same = found.keys() == like.keys() and all(alike(found[name], tensor) for name, tensor in like.items())
        return same and 0 <= int(found["place"]) < looks <= self.n_looks
