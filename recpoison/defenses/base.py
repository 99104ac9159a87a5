"""What a defense is: a way of fitting a model that expects an attack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import torch

from recpoison.data.interactions import Interactions
from recpoison.errors import IncompatibleParts
from recpoison.idle import Part
from recpoison.models.base import Fitted, Model, Monitor
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class Defense(Part, ABC):
    """Fits a model in a way that should withstand an attack. Only an oracle learns which users are fake."""

    works_on: ClassVar[str | None] = "interactions"  # a Dataset.kind; None: any
    learns_edges: ClassVar[bool] = False  # whether it can fit a model to edges and zeros

    @property
    def needs_ratings(self) -> bool:
        """Whether it can do nothing where feedback is implicit."""
        return False

    @property
    def told(self) -> bool:
        """Whether ``fit`` is given, last, the rows before the attack: an oracle in whole or in part."""
        return self.oracle

    @property
    def reads_values(self) -> bool:
        """Whether it looks at ratings beside what the model does."""
        return True

    @property
    def perturbs(self) -> bool:
        """Whether it shifts the tables of the model while it is fitted."""
        return False

    @property
    def oracle(self) -> bool:
        """Whether it is told what no defender knows."""
        return False

    def check_model(self, model: Model) -> None:
        """Refuse a ``model`` that this defense cannot fit, before any work is done.

        Raises:
            UserError: Saying what does not fit, and what does.
        """

    @final
    def check_ratings(self, has_ratings: bool) -> None:
        """Refuse data without ratings where the defense is about these, before anything is read.

        Raises:
            IncompatibleParts: If it is.
        """
        if self.needs_ratings and not has_ratings:
            raise IncompatibleParts(
                f"{type(self).__name__} works with ratings, and these data have none: choose a dataset with ratings "
                "(such as ml_100k, without filters.binarise_at), or another defense"
            )

    def check_data(self, data: Interactions) -> None:
        """Refuse ``data`` that are too small for the settings, once they are read and before anything is fitted.

        Raises:
            ConfigError: Naming the setting.
        """

    @abstractmethod
    def fit(
        self,
        model: Model,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        monitor: Monitor | None = None,
    ) -> Fitted:
        """Fit ``model`` on ``data``, which may be poisoned.

        The result holds parameters for ``model`` as given and scores every user of ``data`` by their own rows, so a
        defense that drops suspected users from training keeps their ids.
        """
