"""Training where some users count less: the loss of each of a user's triples or ratings is multiplied by their weight.

Regularisers and the figure shown are so too. Means stay means over all rows, so that a user of weight 0 takes nothing
but their own rows out of the gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recpoison.errors import IncompatibleParts
from recpoison.training.bpr_kernel import bpr_epoch
from recpoison.training.captured import captures
from recpoison.training.graph_objective import GraphObjective
from recpoison.training.objectives import BPRObjective, UserObjective, runs_on_numba
from recpoison.training.optimizers import State
from recpoison.training.rating_kernel import rating_epoch
from recpoison.training.ratings import RatingObjective
from recpoison.training.trainer import BatchObjective, Trainer


def weighted(plain: BatchObjective, weights: np.ndarray) -> BatchObjective:
    """What is minimised where ``plain`` would be without weights, by the same batches and draws.

    Args:
        plain: Of triples, of ratings, or of triples on a graph.
        weights: ``(n_users,)``, from 0.

    Raises:
        IncompatibleParts: If it is another.
    """
    make = _MAKERS.get(type(plain))
    if make is None:
        raise IncompatibleParts(f"{type(plain).__name__} has no weights for users: choose model=bprmf, mf or lightgcn")
    objective = make(plain)
    objective.weights = torch.from_numpy(weights.astype(np.float32))
    return objective


class Weighted(UserObjective):
    """What the objectives below share.

    Attributes:
        weights: ``(n_users,)`` float32 on the CPU.
    """

    weights: Tensor
    _weights_there: Tensor | None = None

    def inputs(self) -> object:
        """Those without weights, and the weights."""
        return super().inputs(), self.weights

    def weights_of(self, users: Tensor) -> Tensor:
        """As given; they go to a device once."""
        if self._weights_there is None or self._weights_there.device != users.device:
            self._weights_there = self.weights.to(users.device, non_blocking=True)
        return self._weights_there.index_select(0, users)


class WeightedBPR(Weighted, BPRObjective):
    """``BPRObjective`` with weights."""

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """By the numba kernel on a CPU with SGD or Adagrad, else by torch, on CUDA as graphs."""
        if not runs_on_numba(trainer, state):
            device = state["param.user"].device
            by_torch = self._captured_epoch if captures(trainer, device) else self._torch_epoch
            return by_torch(trainer, state, epoch)
        arrays, figures = self.kernel_inputs(trainer, state, epoch)
        n_rows = self.n_rows(trainer)
        arguments = (*arrays, n_rows, trainer.batch_size, *figures, self.weights.numpy())
        return float(bpr_epoch(*arguments)) / n_rows


class WeightedRatings(Weighted, RatingObjective):
    """``RatingObjective`` with weights."""

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """By the numba kernel on a CPU with SGD or Adagrad, else by torch."""
        run = self._numba_epoch if runs_on_numba(trainer, state) else self._torch_epoch
        return run(trainer, state, epoch) / max(1, self.n_rows(trainer))

    def _numba_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        arguments = (*self.kernel_inputs(trainer, state, epoch), self.weights.numpy())
        return float(rating_epoch(*arguments))


class WeightedGraph(Weighted, GraphObjective):
    """``GraphObjective`` with weights; the graph is as it was."""


_MAKERS: dict[type[BatchObjective], Callable[..., Weighted]] = {
    BPRObjective: lambda plain: WeightedBPR(plain.data, plain.seeds, plain.regularization),
    RatingObjective: lambda plain: WeightedRatings(plain.data, plain.seeds, plain.regularization),
    GraphObjective: lambda plain: WeightedGraph(plain.data, plain.seeds, plain.model, plain.loss, plain.sampler),
}
