"""A surrogate that is trained with given fake users and differentiated in them through the end of its training.

Equations are those of Tang, Wen and Wang 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recpoison.algebra.unroll import unroll
from recpoison.attacks.objectives import TargetHits
from recpoison.attacks.profiles.bilevel import BilevelAttack, Look, Surrogate
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.edge_learner import EdgeLearner
from recpoison.seeds import Seeds
from recpoison.training.inner_problem import Unrollable
from recpoison.training.trainer import Diverged


class UnrolledTraining:
    """Trains a model with given fake users and differentiates its last steps, and what it reads when it scores.

    Never builds users x items. Where fake values count is the model's to say (``inner_problem``). Every call starts
    from the same initial values and batches.

    Args:
        attack: Its objective, unrolled steps and memory limit.
        model: The surrogate.
        setting: How the user names the surrogate, for messages.
        data: Real users.
        targets: ``(n_targets,)``.
        n_fakes: Fake users.
        seeds: Streams of the surrogate's fit.
        device: Where to train.

    Raises:
        ConfigError: If more steps are to be differentiated than there are, or they do not fit the memory limit.
    """

    def __init__(
        self,
        attack: BilevelAttack,
        model: Unrollable,
        setting: str,
        data: Interactions,
        targets: Tensor,
        n_fakes: int,
        seeds: Seeds,
        device: torch.device,
    ) -> None:
        self.attack, self.model, self.setting, self.targets = attack, model, setting, targets
        self.inner = model.inner_problem(data, n_fakes, seeds, device)
        self.seen = self.inner.seen
        self.steps = model.trainer.epochs * self.inner.per_epoch
        self.unrolled = self.steps if attack.unroll_steps is None else attack.unroll_steps
        if self.unrolled > self.steps:
            raise ConfigError(
                f"attack.unroll_steps is {self.unrolled}, but the surrogate takes {self.steps} steps "
                f"({model.trainer.epochs} epochs of {self.inner.per_epoch} batches): lower it, or null for all"
            )
        self.segment = self._segment()

    def __call__(self, shown: Tensor, want_gradient: bool) -> Look:
        """Train from the initial values with the fake users ``shown``.

        Raises:
            Diverged: If the objective is not a number.
        """
        figures, gradient = self.train(shown, want_gradient)
        return self.look(figures.tolist(), gradient)

    def look(self, figures: list[float], gradient: Tensor | None) -> Look:
        """What ``train`` found, once its figures are numbers of the host.

        Raises:
            Diverged: If the objective is not a number.
        """
        value, hit_ratio = figures
        if not math.isfinite(value):
            raise Diverged(
                f"the attack's surrogate left the finite numbers: lower {self.setting}.trainer.learning_rate "
                f"(now {self.model.trainer.learning_rate:g})"
            )
        return Look(value, hit_ratio, gradient)

    def train(self, shown: Tensor, want_gradient: bool) -> tuple[Tensor, Tensor | None]:
        """Objective and hit ratio ``(2,)``, and the gradient; the host waits for nothing."""
        shown = shown.detach().requires_grad_(want_gradient)
        unrolled = self.unrolled if want_gradient else 0
        # eq. 2; ``shown`` is in the last steps, so that they carry the second term of eq. 4 (eq. 7, or eq. 9 for fewer)
        inner = self.inner
        tables = unroll(inner.optimizer, inner.gradient, inner.first, shown, self.steps, unrolled, self.segment)
        hits = TargetHits(self.seen, self.targets, self.attack.cutoff)
        with torch.set_grad_enabled(want_gradient):
            users, items = inner.factors(tables, shown)  # its first term, 0 where scores read no data
            value = self.attack.value(users, items, self.targets, self.seen, hits)  # eq. 1
        gradient = None
        if want_gradient:
            gradient = torch.autograd.grad(value, shown)[0] if value.requires_grad else torch.zeros_like(shown)
        return torch.stack([value.detach().double(), hits.share]), gradient

    def _segment(self) -> int | None:
        """Steps between two kept states: None (all are kept) within the memory limit, else what needs least memory.

        A step keeps all tables, their moments and gradients, and what the model adds; a state kept alone, the tables
        and moments.
        """
        if self.attack.memory_limit is None or not self.unrolled:
            return None
        limit = self.attack.memory_limit * 2**30
        first, slots = self.inner.first, self.inner.optimizer.slots
        table = sum(tensor.nbytes for tensor in first)
        step = (slots + 1) * table + self.inner.kept_numbers * first[0].element_size()
        state = slots * table
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


def check_surrogate(model: Unrollable, setting: str) -> None:
    """Refuse a surrogate whose training has no derivative.

    Raises:
        ConfigError: Naming what has one.
    """
    if not hasattr(model, "inner_problem"):
        raise ConfigError(
            f"{setting} is {type(model).__name__}, whose training is not differentiated in fake users: choose wrmf, "
            "item_ae or lightgcn"
        )
    if model.trainer.optimizer not in ("sgd", "adam"):
        raise ConfigError(
            f"{setting}.trainer.optimizer is {model.trainer.optimizer}, whose steps are not differentiated: give sgd "
            "or adam"
        )


@dataclass(frozen=True, kw_only=True)
class UnrolledAttack(BilevelAttack):
    """Differentiates through the training of one surrogate. An attack says which kind, and its defaults.

    Args:
        surrogate: The attacker's own model.

    Raises:
        ConfigError: If its training is not differentiated.
    """

    surrogate: Unrollable

    def __post_init__(self) -> None:
        super().__post_init__()
        check_surrogate(self.surrogate, "attack.surrogate")

    @property
    def ranks(self) -> bool:
        """Where the surrogate tells edges from zeros if there are such, and ranks if not."""
        return isinstance(self.surrogate, EdgeLearner)

    @property
    def _start_rank(self) -> int:
        return self.surrogate.latent_size

    def _surrogate(
        self, data: Interactions, targets: Tensor, n_fakes: int, seeds: Seeds, device: torch.device
    ) -> Surrogate:
        return UnrolledTraining(self, self.surrogate, "attack.surrogate", data, targets, n_fakes, seeds, device)
