"""What models share that learn to rank or, where an evaluation has drawn zeros once, to tell edges from zeros."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.errors import IncompatibleParts
from recpoison.idle import Together
from recpoison.models.base import Monitor, Params
from recpoison.models.trained import TrainedModel
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.edges.trainer import EdgeTrainer
from recpoison.training.trainer import Trainable


@dataclass(frozen=True)
class EdgeLearner(TrainedModel):
    """A score is the log odds that a user has an item, where it was learned as such.

    From data with zeros (``Interactions.zeros``) it learns edges and zeros in full batches, by ``edge_trainer``, and
    nothing else is drawn or added; else it learns to rank, by ``trainer``.

    Args:
        edge_trainer: How the log loss of edges and zeros is minimised.
    """

    ranking_only: ClassVar[tuple[str, ...]] = ("trainer", "regularization")  # settings without a meaning for edges

    edge_trainer: EdgeTrainer = field(default_factory=EdgeTrainer, kw_only=True)

    def idle(self, parts: Together) -> dict[str, str]:
        """What only ranking needs, or only edges."""
        found, evaluation = super().idle(parts), type(parts.evaluation).__name__
        if parts.evaluation.divides_edges:
            why = f"{evaluation} has zeros drawn once, learned by edge_trainer in full batches"
            return found | dict.fromkeys(self.ranking_only, why)
        return found | {"edge_trainer": f"{evaluation} draws no zeros, so trainer learns a ranking"}

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Learn the edges and zeros of ``data`` where it has zeros, else to rank; a step then counts as an epoch.

        Raises:
            Diverged: If a number is no longer finite.
        """
        if data.zeros is None:
            return TrainedModel.fit(cast(Trainable, self), data, seeds, device, progress, monitor)
        return self.fit_edges(self.start(data, seeds, device), data, seeds.child("train"), progress, monitor)

    @abstractmethod
    def fit_edges(
        self, params: Params, data: Interactions, seeds: Seeds, progress: Progress, monitor: Monitor | None
    ) -> Params:
        """Learn the edges and zeros of ``data`` from ``params``, which stay as they are."""

    @abstractmethod
    def edge_logits(self, params: Params, data: Interactions, users: Tensor, items: Tensor) -> Tensor:
        """Log odds ``(n,)`` of the pairs of ``users`` ``(n,)`` and ``items`` ``(n,)``.

        Args:
            params: As ``prepared`` gives them.
            data: What they were learned from.
            users: ``(n,)``.
            items: ``(n,)``.
        """


def refuse_zeros(data: Interactions) -> None:
    """Refuse what trains in mini-batches, where edges and zeros are to be learned.

    Raises:
        IncompatibleParts: If ``data`` has zeros.
    """
    if data.zeros is not None:
        raise IncompatibleParts(
            "edges and zeros are learned in full batches, and what trains in mini-batches would draw other zeros: "
            "choose defense=none, and an attack with no surrogate that learns to rank"
        )
