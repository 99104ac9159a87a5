"""Most popular first: the baseline that knows no user."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.models.base import Model, Monitor, Params
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class Popularity(Model):
    """Scores an item by its number of users, fake ones included. Params: ``count`` ``(n_items,)``.

    Example:
        >>> data = Interactions([0, 0, 1, 2], [0, 1, 0, 0], [1] * 4, n_users=3, n_items=3)
        >>> params = Popularity().fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> Popularity().scores(params, data, torch.tensor([0, 2])).tolist()
        [[3.0, 1.0, 0.0], [3.0, 1.0, 0.0]]
    """

    reads_values: ClassVar[bool] = False
    has_epochs: ClassVar[bool] = False

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Count."""
        return {"count": torch.from_numpy(data.item_counts.astype("float32")).to(device)}

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """The same row of counts for each of ``users``."""
        return params["count"].repeat(len(users), 1)
