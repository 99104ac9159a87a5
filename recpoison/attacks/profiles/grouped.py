"""Fake users one group after another: each group's fillers are what a surrogate thinks they would like best."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from recpoison.attacks.base import Crafting
from recpoison.attacks.profiles.clicks import ClickAttack
from recpoison.attacks.profiles.group_surrogate import GroupSurrogate
from recpoison.errors import ConfigError
from recpoison.models.trained import TrainedModel
from recpoison.progress import alike
from recpoison.ranges import ranged
from recpoison.training.trainer import Trainable

STEPS = 6


@dataclass(frozen=True, kw_only=True)
class GroupedAttack(ClickAttack):
    """In each step a surrogate is trained from scratch, to which a new group of fake users has the targets alone.

    Real users and the finished fake users are there too. The surrogate is attacked, and the group's fillers are chosen
    by its scores. An attack writes ``_attacked`` and ``_picked``.

    Args:
        fakes_per_step: Fake users of a group; null: as many as make six steps at most.
        rounds: Times that the surrogate is attacked in a step.
        users_per_batch: Real users of one step down the attack's objective.
    """

    fakes_per_step: int | None = ranged(None, low=1, null="all at once")
    rounds: int = ranged(low=0)
    users_per_batch: int = ranged(low=1)

    @property
    @abstractmethod
    def _model(self) -> TrainedModel:
        """The surrogate."""

    @abstractmethod
    def _attacked(self, surrogate: GroupSurrogate) -> Tensor:
        """Scores ``(size of the group, n_items)`` of the group's users by an attacked surrogate."""

    @abstractmethod
    def _picked(self, scores: np.ndarray, before: np.ndarray, count: int) -> np.ndarray:
        """Fillers ``(n, count)`` of a group.

        Args:
            scores: ``(n, n_items)`` minus infinity at targets.
            before: ``(n_before, count)`` fillers of finished fake users.
            count: How many.
        """

    def _chosen(self, crafting: Crafting, count: int) -> np.ndarray:
        n_fakes, progress = crafting.n_fakes, crafting.progress
        size = self.fakes_per_step or math.ceil(n_fakes / STEPS)
        work = (self, crafting.data, crafting.targets, crafting.seeds, n_fakes)
        loop = progress.loop(work, partial(_fits, size, n_fakes, count))
        found = np.zeros((0, count), dtype=np.int64) if loop.state is None else loop.state["fillers"].numpy()
        while len(found) < n_fakes:
            surrogate = GroupSurrogate(self._model, crafting, found, min(size, n_fakes - len(found)))
            scores = self._attacked(surrogate).index_fill(1, surrogate.targets, -torch.inf)
            found = np.vstack([found, self._picked(scores.cpu().numpy(), found, count)])
            progress.step(math.ceil(len(found) / size), math.ceil(n_fakes / size))
            loop.keep(partial(_state, found))
        return found


def check_trainable(model: object) -> None:
    """Refuse a surrogate that cannot be trained one epoch further.

    Raises:
        ConfigError: If it cannot.
    """
    if not isinstance(model, Trainable):
        raise ConfigError(
            f"attack.surrogate is {type(model).__name__}, which has no trainer to go on with: choose bprmf, cf, gmf, "
            "neumf or lightgcn"
        )


def _state(found: np.ndarray) -> dict[str, Tensor]:
    return {"fillers": torch.from_numpy(found)}


def _fits(size: int, n_fakes: int, count: int, state: dict[str, Tensor]) -> bool:
    """Whether ``state`` could have been kept between two groups."""
    done = len(state.get("fillers", ()))
    like = torch.zeros(done, count, dtype=torch.int64)
    return state.keys() == {"fillers"} and alike(state["fillers"], like) and (done % size == 0 or done == n_fakes)
