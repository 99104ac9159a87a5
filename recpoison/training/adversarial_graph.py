"""Adversarial training of what a graph makes of two tables: each triple's final rows are shifted."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from recpoison.models.base import Params
from recpoison.training.graph_objective import GraphObjective
from recpoison.training.inner_attack import Generator, InnerAttack, generator_of
from recpoison.training.objectives import bpr_slopes
from recpoison.training.optimizers import State
from recpoison.training.trainer import Objective, Trainer


class AdversarialGraph(Objective):
    """BPR of the rows that a graph makes, where each triple's final rows have a shift of their own.

    Args:
        plain: What is minimised without the adversary.
        attack: How final rows are shifted, by ``instance``.
        weight: Of the second loss.
    """

    def __init__(self, plain: GraphObjective, attack: InnerAttack, weight: float) -> None:
        self.plain, self.attack, self.weight = plain, attack, weight

    def inputs(self) -> object:
        """Those of the plain objective, and how it is attacked."""
        return self.plain.inputs(), self.attack, self.weight

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One epoch; returns the mean of -ln sigmoid(s_ui - s_uj) without the shift."""
        device, n_users = state["param.user"].device, len(state["param.user"])
        generator = None if self.attack.starts_at_zero else generator_of(self.plain.seeds, epoch, device)
        adverse = AdverseRows(self.attack, self.weight, self.plain.loss.weights[1], n_users, generator)
        return self.plain.epoch(trainer, state, epoch, adverse, 1 + self.weight)


@dataclass(frozen=True)
class AdverseRows:
    """``weight`` times the gradient at shifted final rows; without a ``generator`` nothing is left to chance."""

    attack: InnerAttack
    weight: float
    on_final: float
    n_users: int
    generator: Generator | None

    @property
    def lasting(self) -> bool:
        """Whether nothing in it is left to chance."""
        return self.generator is None

    def __call__(self, users: Tensor, values: Tensor, slopes: Tensor) -> Tensor:
        """For these users, their triples' rows ``(3, n, embedding_size)``, and the gradient there."""

        def gradient(shift: Params | None) -> Params:
            moved = values if shift is None else values + shift["rows"].view_as(values)
            return {"rows": slopes if shift is None else bpr_slopes(moved, self.on_final)[1]}

        start = (
            None
            if self.generator is None
            else {"rows": self.attack.starts((slopes.shape[0], slopes.shape[1]), self.generator)}
        )
        shift = self.attack.climb(start, gradient)["rows"].view_as(values)
        if self.attack.magnitude is not None:
            shift = shift * self.attack.magnitude.factors(users, values, self.n_users).view(1, -1, 1)
        return bpr_slopes(values + shift, self.on_final)[1].mul_(self.weight)
