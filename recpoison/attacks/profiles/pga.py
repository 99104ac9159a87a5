"""Projected gradient attack (Li, Wang, Singh and Vorobeychik, NIPS 2016), in the form of the APT paper.

"Data poisoning attacks on factorization-based collaborative filtering"; APT is Wu et al. 2021, section 5.1.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.algebra.capped_simplex import onto_capped_simplex
from recpoison.attacks.objectives import TargetHits, promote
from recpoison.attacks.profiles.learned_fillers import TRACED, Learned, LearnedFillersAttack, Problem
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.progress import alike

FILLER_RATINGS = ("optimised", "item_normal")


@dataclass(frozen=True, kw_only=True)
class PGAAttack(LearnedFillersAttack):
    """Projected gradient through the conditions of optimality of the surrogate's factorisation.

    The objective is the targets' cross-entropy among all items, over real users (``promote``). Each step goes against
    the gradient, each row of which is brought to a length in units of a full profile, and from there to the nearest
    weights between 0 and 1 that add up to ``fillers``. Ratings take steps of the same length and stay on the scale;
    the surrogate sees them on its grid. Steps shrink to 0 over the iterations. All fake users are looked at, the first
    and the last too, and those of the highest hit ratio on the surrogate are returned, the objective breaking ties.

    Departures. Li et al. move ratings alone, centred so that 0 says nothing; here 0 is off the scale and would be an
    opinion, so an item has a weight and a rating, and APT's "first m' items" are those of most weight. Li et al. let
    all users' vectors follow; as in the public code of GPA real users' are constants (the gradient is exact given
    them), but fake users' follow their ratings, without which fillers have no other way to a target.

    Args:
        filler_ratings: ``optimised``, starting from draws as the average attack's, or ``item_normal``: those draws.
        iterations: Steps.
        step_size: Length of the first, in units of a full profile.
        temperature: Scores, shares of the scale's maximum, are divided by it before the objective's softmax.

    Example:
        >>> data = Planted("planted", n_users=8).read(None, Seeds(0), Progress())
        >>> small = {"implicit_surrogate": WRMFALS(4), "iterations": 3, "fillers": 2}
        >>> attack = PGAAttack(targets=Targets("list", [8]), n_fake_users=2, **small)
        >>> fakes = attack.poison(data, np.array([8]), Seeds(0), torch.device("cpu"), Progress())
        >>> len(fakes.trace["HR"]), fakes.items.reshape(2, 3)[:, -1].tolist()  # before and after each step
        (4, [8, 8])
    """

    filler_ratings: str = "optimised"
    iterations: int = 30
    step_size: float = 0.3
    temperature: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filler_ratings not in FILLER_RATINGS:
            raise ConfigError(f"attack.filler_ratings is {self.filler_ratings!r}: choose {' or '.join(FILLER_RATINGS)}")
        if self.iterations < 1:
            raise ConfigError(f"attack.iterations is {self.iterations}: give 1 or more")
        for name in ("step_size", "temperature"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"attack.{name} is {getattr(self, name):g}: give a finite number above 0")

    def idle(self, parts: Together) -> dict[str, str]:
        """How fillers are rated, where there are no ratings."""
        why = self._without_ratings(parts)
        return super().idle(parts) | ({"filler_ratings": why} if why else {})

    def _objective(self, problem: Problem, items: Tensor, hits: TargetHits) -> Tensor:
        form = problem.form
        return promote(form.users / self.temperature, items, problem.targets, form.seen, hits)

    def _learn(self, problem: Problem) -> Learned:
        data, targets, n_fakes, seeds, _, progress = problem.crafting
        state = _state(self._projected(problem.start, problem), problem.ratings)
        loop = progress.loop((self, data, targets, seeds, n_fakes), partial(_fits, state, self.iterations))
        state |= {name: tensor.to(state[name]) for name, tensor in (loop.state or {}).items()}
        while (done := len(state["trace"])) <= self.iterations:  # the last is looked at only
            state = self._round(problem, state)
            hit_ratio, value = state["trace"][-1].tolist()
            progress.step(done, self.iterations, surrogate_hit_ratio=hit_ratio, objective=value)
            loop.keep(partial(dict, state))
        return Learned(state["best_cells"], state["best_ratings"], state["trace"], int(state["place"]))

    def _round(self, problem: Problem, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Look at the present fake users, and take a step."""
        data, trace = problem.crafting.data, state["trace"]
        cells = self._shown(problem, state["weights"]).requires_grad_()
        ratings = self._allowed(state["ratings"], data).requires_grad_()
        hit_ratio, value = self._look(problem, cells, ratings)
        slopes = torch.autograd.grad(value, [cells, ratings])
        found = {"trace": torch.cat([trace, trace.new_tensor([[hit_ratio, float(value.detach())]])])}
        if not len(trace) or (hit_ratio, -float(value.detach())) > _effect(trace[int(state["place"])]):
            found |= {"best_cells": cells.detach(), "best_ratings": ratings.detach(), "place": torch.tensor(len(trace))}
        length = self.step_size * (1 - len(trace) / self.iterations) * math.sqrt(problem.fillers)
        weights, rated = (
            state[name] - length * F.normalize(slope.index_fill(1, problem.targets, 0.0), dim=1)
            for name, slope in zip(("weights", "ratings"), slopes, strict=True)
        )
        found["weights"] = self._projected(weights, problem)
        if data.scale is not None and self.filler_ratings == "optimised":
            found["ratings"] = rated.clamp(data.scale.low / data.scale.high, 1.0)
        return state | found

    def _projected(self, weights: Tensor, problem: Problem) -> Tensor:
        return onto_capped_simplex(weights.index_fill(1, problem.targets, -torch.inf), problem.fillers)


def _effect(seen: Tensor) -> tuple[float, float]:
    hit_ratio, value = seen.tolist()
    return hit_ratio, -value


def _state(weights: Tensor, ratings: Tensor) -> dict[str, Tensor]:
    """What the iterations depend on, before the first."""
    best = {"best_cells": weights, "best_ratings": ratings, "place": torch.tensor(0)}
    trace = torch.zeros(0, len(TRACED), dtype=torch.float64)
    return {"weights": weights, "ratings": ratings, "trace": trace} | best


def _fits(first: dict[str, Tensor], iterations: int, found: dict[str, Tensor]) -> bool:
    """Whether ``found`` could have come of ``first`` on the way."""
    n_looks = len(found.get("trace", ()))
    like = first | {"trace": torch.zeros(n_looks, len(TRACED), dtype=torch.float64)}
    same = found.keys() == like.keys() and all(alike(found[name], tensor) for name, tensor in like.items())
    return same and 0 <= int(found["place"]) < n_looks <= iterations + 1
