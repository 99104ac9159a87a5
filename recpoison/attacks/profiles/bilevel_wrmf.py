"""Fake users learned through the training of WRMF (Tang, Wen and Wang 2020, sections 3.1 and 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.algebra.unroll import unroll
from recpoison.attacks.objectives import OBJECTIVES, TargetHits
from recpoison.attacks.profiles.bilevel import BilevelAttack, Look, Surrogate
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.wrmf import WRMF, UserBatches
from recpoison.seeds import Seeds
from recpoison.training.trainer import Diverged, Trainer


def _paper() -> WRMF:
    """The surrogate of the paper's synthetic experiment."""
    trainer = Trainer(epochs=100, batch_size=2048, optimizer="adam", learning_rate=0.5, eps=1e-8)
    return WRMF(embedding_size=16, weight=20.0, regularization=0.0, trainer=trainer)


@dataclass(frozen=True, kw_only=True)
class BilevelWRMFAttack(BilevelAttack):
    """Differentiates through every step of WRMF's training, as the paper does, but never builds users x items.

    The gradient equals that of the authors' dense code: the value inside the square is the only way from a fake user
    to the model, and the weight of a cell is not differentiated. Every iteration starts from the same initial values
    and batches, which come from streams of the attack, not of the victim. With ``unroll_steps: 0`` the gradient is
    exactly 0.

    Args:
        surrogate: The attacker's own model. Defaults are the paper's for synthetic data; steps of training are
            counted in batches, so its 100 epochs on 1,000 users are 100 steps.
    """

    surrogate: WRMF = field(default_factory=_paper)

    @property
    def _start_rank(self) -> int:
        return self.surrogate.embedding_size

    def _surrogate(
        self, data: Interactions, targets: Tensor, n_fakes: int, seeds: Seeds, device: torch.device
    ) -> Surrogate:
        return _Training(self, data, targets, n_fakes, seeds, device)


class _Training:
    """Trains the surrogate with given fake users and differentiates its end in them."""

    def __init__(
        self,
        attack: BilevelWRMFAttack,
        data: Interactions,
        targets: Tensor,
        n_fakes: int,
        seeds: Seeds,
        device: torch.device,
    ) -> None:
        self.attack, self.model, self.targets = attack, attack.surrogate, targets
        self.seen = Observed.of(data.seen, device)
        nothing = np.zeros(0, dtype=np.int64)
        everyone = data.with_fake_users(nothing, nothing, np.zeros(0), n_fakes)
        self.first = tuple(self.model.init(everyone, seeds)[name].to(device) for name in ("user", "item"))
        self.batches = UserBatches(everyone.n_users, self.model.trainer, seeds.child("train"), device)
        self.steps = self.model.trainer.epochs * self.batches.per_epoch
        self.unrolled = self.steps if attack.unroll_steps is None else attack.unroll_steps
        if self.unrolled > self.steps:
            raise ConfigError(
                f"attack.unroll_steps is {self.unrolled}, but the surrogate takes {self.steps} steps "
                f"({self.model.trainer.epochs} epochs of {self.batches.per_epoch} batches): lower it, or null for all"
            )
        self.segment = self._segment()

    def __call__(self, shown: Tensor, want_gradient: bool) -> Look:
        """Train from the initial values with the fake users ``shown``.

        Raises:
            Diverged: If the objective is not a number.
        """
        shown = shown.detach().requires_grad_(want_gradient)
        unrolled = self.unrolled if want_gradient else 0
        tables = unroll(self.model.optimizer, self._inner, self.first, shown, self.steps, unrolled, self.segment)
        hits = TargetHits(self.seen, self.targets, self.attack.cutoff)
        objective = OBJECTIVES[self.attack.objective]
        with torch.set_grad_enabled(unrolled > 0):
            value = objective(tables[0][: self.seen.n_rows], tables[1], self.targets, self.seen, hits)
        if not value.isfinite():
            raise Diverged(
                "the attack's surrogate left the finite numbers: lower attack.surrogate.trainer.learning_rate "
                f"(now {self.model.trainer.learning_rate:g})"
            )
        gradient = None
        if want_gradient:
            gradient = torch.autograd.grad(value, shown)[0] if unrolled else torch.zeros_like(shown)
        return Look(float(value.detach()), hits.ratio, gradient)

    def _inner(self, number: int, tables: tuple[Tensor, ...], shown: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.gradient(tables, self.seen, self.batches(number), shown)

    def _segment(self) -> int | None:
        """Steps between two kept states: None (all are kept) within the memory limit, else what needs least memory.

        A step keeps both tables, their moments and gradients; a state kept alone, the tables and moments.
        """
        if self.attack.memory_limit is None or not self.unrolled:
            return None
        limit = self.attack.memory_limit * 2**30
        table = sum(tensor.nbytes for tensor in self.first)
        slots = self.model.optimizer.slots
        step, state = (slots + 1) * table, slots * table
        if self.unrolled * step <= limit:
            return None
        best = math.ceil(math.sqrt(self.unrolled))
        needed = best * step + math.ceil(self.unrolled / best) * state
        if needed > limit:
            raise ConfigError(
                f"attack.memory_limit is {self.attack.memory_limit:g} GiB, but {self.unrolled} differentiated steps "
                f"need {needed / 2**30:.2g} GiB even when run twice: raise it, or lower attack.unroll_steps"
            )
        return best
