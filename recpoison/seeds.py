"""One seed, many independent streams, each known by its name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Seeds:
    """A tree of named random streams.

    A stream depends on the seed and its name alone, so that drawing more from one (an attack with more fake users, say)
    leaves every other as it was. The names a run uses are ``data split targets attack init train evaluate``.

    Args:
        seed: The run's seed, 0 or more.
        path: Names from the root to here.

    Example:
        >>> epoch = Seeds(7).child("train").child(3)
        >>> epoch.path, epoch == Seeds(7).child("train", 3)
        (('train', '3'), True)
        >>> bool(epoch.numpy().random() == Seeds(7).numpy("train", 3).random())  # the same stream, from its start
        True
    """

    seed: int
    path: tuple[str, ...] = ()

    def child(self, *names: str | int) -> Seeds:
        """Streams below ``names``; ``child("train", 3)`` is epoch 3 of training."""
        return Seeds(self.seed, (*self.path, *map(str, names)))

    def integer(self, *names: str | int) -> int:
        """A whole number in [0, 2**63) for libraries that want one."""
        text = "/".join((str(self.seed), *self.path, *map(str, names)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1

    def numpy(self, *names: str | int) -> np.random.Generator:
        """A fresh numpy generator at the start of the stream ``names``."""
        return np.random.default_rng(self.integer(*names))

    def torch(self, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
        """A fresh torch generator at the start of the stream ``names``, on ``device``."""
        import torch

        return torch.Generator(device=device).manual_seed(self.integer(*names))
