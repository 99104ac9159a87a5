"""Squared error over observed ratings, and how an epoch minimises it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.seeds import Seeds
from recpoison.training.objectives import UserObjective, runs_on_numba
from recpoison.training.optimizers import State, slots, step
from recpoison.training.rating_kernel import rating_epoch
from recpoison.training.trainer import Trainer
from recpoison.training.triton_epoch import TritonRatings, runs_on_triton

TABLES = ("user", "item")


def shares_of_scale(data: Interactions) -> np.ndarray:
    """Ratings divided by the scale's maximum, ``(n,)`` in (0, 1] for a scale from above 0; ones on implicit data."""
    return np.ones(len(data)) if data.scale is None else data.values / data.scale.high


def rating_matrix(data: Interactions) -> sp.csr_matrix:
    """``(n_users, n_items)`` shares of the scale's maximum; the mean where a pair is rated twice, columns sorted."""
    order = np.lexsort((data.values, data.items, data.users))  # sums of equal pairs do not depend on the rows' order
    cells, shape = (data.users[order], data.items[order]), (data.n_users, data.n_items)
    matrix = sp.csr_matrix((shares_of_scale(data)[order], cells), shape)
    matrix.data /= sp.csr_matrix((np.ones(len(data)), cells), shape).data
    return matrix


class RatingObjective(UserObjective):
    """Squared error of a dot product of two tables named ``user`` and ``item``, with gradients by hand.

    The loss of a batch is the mean over its rows of (p_u·q_i - r)² + regularization/2 (|p_u|² + |q_i|²), r being the
    rating as a share of the scale's maximum. Unobserved pairs play no part. Each epoch visits each row once; the figure
    shown is the mean squared error.

    Args:
        data: Training data; every row counts, and their order does not.
        seeds: Streams ``epoch/0``, ``epoch/1``, ...
        regularization: Weight of the squared length of the two rows of a rating.
    """

    def __init__(self, data: Interactions, seeds: Seeds, regularization: float = 0.0) -> None:
        self.data, self.seeds, self.regularization = data, seeds, regularization
        ratings = shares_of_scale(data)
        sorting = np.lexsort((ratings, data.items, data.users))
        self.users, self.items = (column[sorting].astype(np.int32) for column in (data.users, data.items))
        self.ratings = ratings[sorting].astype(np.float32)
        self._triton: TritonRatings | None = None

    def inputs(self) -> object:
        """Data, stream and regulariser."""
        return self.data, self.seeds, self.regularization

    def n_rows(self, trainer: Trainer) -> int:
        """Rows of an epoch: all, or the whole batches of them."""
        return trainer.n_rows(len(self.ratings))

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """With SGD or Adagrad by the numba kernel on a CPU and by Triton's on CUDA, else by torch."""
        if runs_on_numba(trainer, state):
            total = self._numba_epoch(trainer, state, epoch)
        elif runs_on_triton(trainer, state) and len(self.ratings):
            total = self._triton_epoch(trainer, state, epoch)
        else:
            total = self._torch_epoch(trainer, state, epoch)
        return total / max(1, self.n_rows(trainer))

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Users, items and ratings of each batch, ``(batch_size,)`` each."""
        columns, n_rows = self.drawn(epoch, device), self.n_rows(trainer)
        for start in range(0, n_rows, trainer.batch_size):
            users, items, ratings = (column[start : min(start + trainer.batch_size, n_rows)] for column in columns)
            yield users, items, ratings

    def drawn(self, epoch: int, device: torch.device) -> list[Tensor]:
        """Users, items and ratings of an epoch in its order, before the last are left out."""
        order = self._order(epoch)
        columns = (self.users, self.items, self.ratings)
        return [torch.from_numpy(column[order]).to(device, non_blocking=True) for column in columns]

    def _triton_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        if self._triton is None or not self._triton.serves(trainer, state):
            self._triton = TritonRatings(trainer, state, self.n_rows(trainer), self.regularization)
        users, items, ratings = self.drawn(epoch, state["param.user"].device)
        return self._triton.run_rated(state, users, items, ratings)

    def _order(self, epoch: int) -> np.ndarray:
        return self.seeds.numpy("epoch", epoch).permutation(len(self.ratings))

    def kernel_inputs(self, trainer: Trainer, state: State, epoch: int) -> tuple[object, ...]:
        """What an epoch's kernel begins with, from the tables up to ``adagrad``."""
        tables = [state[f"param.{name}"].numpy() for name in TABLES]
        adagrad = trainer.optimizer == "adagrad"
        sums = [state[f"sum.{name}"].numpy() for name in TABLES] if adagrad else tables
        order = self._order(epoch)
        columns = (column[order] for column in (self.users, self.items, self.ratings))  # a kernel would miss the cache
        rows = (*columns, self.n_rows(trainer), trainer.batch_size)
        figures = [np.float32(x) for x in (trainer.learning_rate, trainer.eps, self.regularization)]
        return (*tables, *sums, *rows, *figures, adagrad)

    def _numba_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        return float(rating_epoch(*self.kernel_inputs(trainer, state, epoch)))

    def _torch_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """Steps on whole tables; the host does not wait for the device inside an epoch."""
        tables = slots(state, "param")
        gradients = {name: torch.zeros_like(table) for name, table in tables.items()}
        total = torch.zeros((), dtype=torch.float64, device=tables["user"].device)
        for users, items, ratings in self.batches(trainer, epoch, total.device):
            p, q = tables["user"].index_select(0, users), tables["item"].index_select(0, items)
            error = (p * q).sum(1) - ratings
            squares, slope = error.double().square(), (2 / len(ratings) * error).unsqueeze(1)
            shrink: Tensor | float = self.regularization / len(ratings)
            weights = self.weights_of(users)
            if weights is not None:
                each = weights.unsqueeze(1)
                squares, slope, shrink = squares * weights, slope * each, shrink * each
            total += squares.sum()
            gradients["user"].zero_().index_add_(0, users, slope * q + shrink * p)
            gradients["item"].zero_().index_add_(0, items, slope * p + shrink * q)
            step(trainer.optimizer, state, gradients, trainer.learning_rate, trainer.eps)
        return float(total)
