"""What models share that fit by minimising an objective of their own from initial values."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from recpoison.data.interactions import Interactions
from recpoison.models.base import GradientModel, Monitor, Params
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import BatchObjective, Trainable


@dataclass(frozen=True)
class TrainedModel(GradientModel):
    """A model with a ``trainer``: a concrete one says what is minimised, and from where."""

    @abstractmethod
    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> BatchObjective:
        """What ``fit`` minimises on ``data``; all that chance decides in an epoch comes from the stream ``train``."""

    def fit(
        self: Trainable,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        monitor: Monitor | None = None,
    ) -> Params:
        """Train from ``init`` on ``objective``.

        Raises:
            Diverged: If a number is no longer finite.
        """
        params = self.start(data, seeds, device)
        return self.trainer.fit(self.objective(data, seeds, device), params, progress, monitor)
