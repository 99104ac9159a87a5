"""Random order: the floor of every table."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.models.base import Model, Monitor, Params
from recpoison.progress import Progress
from recpoison.seeds import Seeds

BITS = 32
MASK = (1 << BITS) - 1


@dataclass(frozen=True)
class RandomModel(Model):
    """Scores a user and an item by a hash of the two and the seed, so that no other user, block or device matters.

    Params: ``key`` ``(1,)``, the seed.

    Example:
        >>> data = Interactions([0, 1], [0, 1], [1, 1], n_users=2, n_items=1000)
        >>> params = RandomModel().fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> scores = RandomModel().scores(params, data, torch.tensor([0, 1]))
        >>> alone = RandomModel().scores(params, data, torch.tensor([1]))
        >>> torch.equal(alone, scores[1:]), round(scores.mean().item(), 1)
        (True, 0.5)
    """

    reads_values: ClassVar[bool] = False
    has_epochs: ClassVar[bool] = False

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Draw the key."""
        return {"key": torch.tensor([seeds.integer("train", "random")], device=device)}

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Uniform in [0, 1), ``(len(users), n_items)``."""
        key = params["key"]
        rows = _mix(_mix(users ^ (key & MASK)) ^ (key >> BITS))
        columns = _mix(torch.arange(data.n_items, device=users.device) ^ (key >> (BITS // 2) & MASK))
        # float32 holds 24 bits, and more would round up to 1
        return (_mix(rows[:, None] ^ columns) >> (BITS - 24)).to(torch.float32) / (1 << 24)


def _mix(x: Tensor) -> Tensor:
    """The finaliser of MurmurHash3 on the low 32 bits: every bit of ``x`` changes half of the bits that come out."""
    x = ((x ^ (x >> 16)) * 0x85EBCA6B) & MASK
    x = ((x ^ (x >> 13)) * 0xC2B2AE35) & MASK
    return x ^ (x >> 16)
