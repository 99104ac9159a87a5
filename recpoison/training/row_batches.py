"""Training on rows of a matrix by optimisers that are functions, so that an attack may differentiate the same steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.unroll import SGD, Adam, Optimizer, Tensors
from recpoison.seeds import Seeds
from recpoison.training.optimizers import State
from recpoison.training.trainer import Trainer


class Rows(NamedTuple):
    """The rows of a batch, ascending, on the device and on the host."""

    tensor: Tensor
    on_host: np.ndarray


class RowBatches:
    """Which rows (users or items) each step of a fit looks at; the draws depend on the seed and the epoch only.

    Args:
        n_rows: Rows.
        trainer: Its ``batch_size`` and ``drop_last`` count rows.
        seeds: Streams ``epoch/0``, ``epoch/1``, ...
        device: Where the numbers go.
    """

    def __init__(self, n_rows: int, trainer: Trainer, seeds: Seeds, device: torch.device | str) -> None:
        self.n_rows, self.trainer, self.seeds, self.device = n_rows, trainer, seeds, device
        whole, rest = divmod(n_rows, trainer.batch_size)
        self.per_epoch = max(1, whole + (rest > 0 and not trainer.drop_last))
        self._epoch = lru_cache(maxsize=1)(self._draw)

    def __call__(self, number: int) -> Rows | None:
        """The rows of step ``number`` (from 0), ascending; None for all."""
        if self.n_rows <= self.trainer.batch_size:
            return None
        epoch, place = divmod(number, self.per_epoch)
        return self._epoch(epoch)[place]

    def steps(self, epoch: int) -> range:
        """The numbers of the steps of ``epoch``."""
        return range(epoch * self.per_epoch, (epoch + 1) * self.per_epoch)

    def _draw(self, epoch: int) -> list[Rows]:
        order = self.seeds.numpy("epoch", epoch).permutation(self.n_rows)
        size = self.trainer.batch_size
        parts = [np.sort(order[start : start + size]) for start in range(0, self.per_epoch * size, size)]
        tensors = (
            torch.from_numpy(np.concatenate(parts)).to(self.device, non_blocking=True).split(list(map(len, parts)))
        )
        return list(map(Rows, tensors, parts))


def functional_optimizer(trainer: Trainer, weight_decay: float) -> Optimizer:
    """The rule of ``trainer``, ``sgd`` or ``adam``, as a function."""
    if trainer.optimizer == "sgd":
        return SGD(trainer.learning_rate, weight_decay=weight_decay)
    return Adam(trainer.learning_rate, weight_decay, eps=trainer.eps)


def step_functionally(
    optimizer: Optimizer, state: State, names: Sequence[str], steps: range, gradient: Callable[[int, Tensors], Tensors]
) -> None:
    """Take ``steps`` in the parameters ``names`` of ``state``, whose entries are replaced.

    Args:
        optimizer: The rule; SGD without momentum or Adam.
        state: As ``Trainer.start`` makes it.
        names: Parameters in the order of ``gradient``.
        steps: Numbers of the steps, from 0 at the start of the fit.
        gradient: Maps the number of a step and the parameters to their gradients.
    """
    kinds = ("param", "first", "second") if isinstance(optimizer, Adam) else ("param",)
    keys = [f"{kind}.{name}" for kind in kinds for name in names]
    numbers = tuple(state[key] for key in keys)
    if not isinstance(optimizer, Adam):
        numbers = optimizer.start(numbers)
    for number in steps:
        numbers = optimizer.step(number, numbers, gradient(number, numbers[: len(names)]))
    state.update(zip(keys, numbers, strict=False))
    if "step" in state:
        state["step"] += len(steps)
