"""What attacks along the gradient of a model's training loss share."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import torch

from recpoison.algebra.perturbation import Tables, direction
from recpoison.attacks.base import EmbeddingAttack
from recpoison.attacks.targets import Targets
from recpoison.changes import EmbeddingShift
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.idle import Together
from recpoison.models.base import DataLoss, Fitted, GradientModel
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds

GOALS = ("untargeted", "targeted")
UNTARGETED = "goal is untargeted"


@dataclass(frozen=True, kw_only=True)
class GradientAttack(EmbeddingAttack, ABC):
    """Climbs the training loss of the fitted model, or descends to a wished one.

    ``untargeted`` raises the loss of all training data (equation 2 of the APR report and of MSAP). ``targeted`` lifts
    items: equation 4 of the report, which *minimises* the loss with the answer y_t in place of the true one; here y_t
    is that each user has the targets and nothing else. Its step goes down the gradient: equation 6 is printed without
    the minus sign. Owners of a target are left out, for they cannot be recommended it.

    Args:
        epsilon: Size of the shift, in the norm that bounds it.
        goal: ``untargeted`` or ``targeted``.
        targets: How the items to lift are chosen, for ``targeted``.
    """

    epsilon: float = ranged(0.5, low=0.0)
    goal: str = ranged("untargeted", words=GOALS)
    targets: Targets = field(default_factory=lambda: Targets(rule="random"))

    def __post_init__(self) -> None:
        check_ranges(self, "attack")

    @property
    def aims(self) -> bool:
        """Only where it is targeted."""
        return self.goal == "targeted"

    def idle(self, parts: Together) -> dict[str, str]:
        """The targets, where there are none."""
        return super().idle(parts) | ({} if self.aims else {"targets": UNTARGETED})

    @final
    def choose_targets(self, data: Interactions, seeds: Seeds) -> np.ndarray:
        """Items to lift, ``(n_targets,)``; none where the attack is untargeted."""
        if self.goal == "untargeted":
            return np.zeros(0, dtype=np.int64)
        return self.targets.choose(data, seeds.numpy("targets"))

    def _loss(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds) -> DataLoss:
        """The loss that the attack raises or lowers."""
        # the report's y of eq. 2, or y_t of eq. 4
        data = fitted.data if self.goal == "untargeted" else wished(fitted.data, targets)
        return gradient_model(fitted).data_loss(data, seeds.child("negatives"), fitted.device)

    def _uphill(self, loss: DataLoss, fitted: Fitted, shift: Tables, kind: str, draw: int) -> tuple[float, Tables]:
        """The loss at a shift, and a step of size 1 that makes matters worse."""
        value, gradient = loss.gradient(EmbeddingShift(shift).apply(fitted.params), draw)
        steps = direction({name: gradient[name] for name in shift}, kind)
        return value, steps if self.goal == "untargeted" else {name: -step for name, step in steps.items()}


def gradient_model(fitted: Fitted) -> GradientModel:
    """The model of ``fitted``, which ``check_model`` let through.

    Raises:
        IncompatibleParts: If it has no gradient.
    """
    if not isinstance(fitted.model, GradientModel):
        raise IncompatibleParts(f"{type(fitted.model).__name__} has no gradient")
    return fitted.model


def still(fitted: Fitted) -> Tables:
    """No shift of any table."""
    return {name: torch.zeros_like(fitted.params[name]) for name in gradient_model(fitted).tables}


def wished(data: Interactions, targets: np.ndarray) -> Interactions:
    """What an attacker wants the data to say: every user has just the targets that they do not own, rated highest.

    Raises:
        ConfigError: If every user owns every target, or there is none.
    """
    users, items = np.divmod(np.arange(data.n_users * len(targets)), max(1, len(targets)))
    items = np.asarray(targets)[items]
    free = np.asarray(data.seen[users, items]).ravel() == 0
    if not free.any():
        raise ConfigError("no user is without a target, so there is nothing to lift: change attack.targets")
    values = np.full(int(free.sum()), data.highest)
    return replace(data, users=users[free], items=items[free], values=values, times=None)
