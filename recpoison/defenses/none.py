"""No defense: the model's own fit."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from recpoison.data.interactions import Interactions
from recpoison.defenses.base import Defense
from recpoison.models.base import Fitted, Model, Monitor
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class NoDefense(Defense):
    """Fits the model as its paper does.

    Example:
        >>> data = Interactions([0, 0, 1, 2], [0, 1, 0, 0], [1] * 4, n_users=3, n_items=3)
        >>> fitted = NoDefense().fit(Popularity(), data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.scores(torch.tensor([2])).tolist()
        [[3.0, 1.0, 0.0]]
    """

    works_on: ClassVar[str | None] = None
    learns_edges: ClassVar[bool] = True

    @property
    def reads_values(self) -> bool:
        """It looks at nothing."""
        return False

    def fit(
        self,
        model: Model,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        monitor: Monitor | None = None,
    ) -> Fitted:
        """Fit ``model`` on ``data``."""
        return model.fitted(data, seeds, device, progress, monitor)
