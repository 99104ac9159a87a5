"""Losses and how an epoch minimises them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.base import Params
from recpoison.seeds import Seeds
from recpoison.training.bpr_kernel import bpr_epoch
from recpoison.training.captured import CapturedEpoch, captures
from recpoison.training.joint_tables import JointTables
from recpoison.training.optimizers import State, slots, step
from recpoison.training.sampling import DevicePairs, Pairs
from recpoison.training.trainer import BatchObjective, Objective, Trainer
from recpoison.training.triton_epoch import TritonBPR, runs_on_triton

Batch = tuple[Tensor, ...]


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Sum of -ln sigmoid(positive - negative) (Rendle et al. 2009, equation for BPR-Opt without its regulariser)."""
    return F.softplus(negative - positive).sum()


def bpr_of_tables(params: Params, batch: Batch, regularization: float) -> Tensor:
    """Sum over triples of users, positives and negatives of -ln sigmoid(p_u·q_i - p_u·q_j), with the regulariser.

    That is ``regularization``/2 times the squared lengths of the rows of each triple, of tables ``user`` and ``item``.
    """
    p, q, r = (params[name].index_select(0, rows) for name, rows in zip(("user", "item", "item"), batch, strict=True))
    loss = bpr_loss((p * q).sum(1), (p * r).sum(1))
    return loss + regularization / 2 * sum(rows.square().sum() for rows in (p, q, r))


def bpr_slopes(values: Tensor, regularization: float, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Sum of -ln sigmoid(s_ui - s_uj) of triples ``(3, n, embedding_size)``, and the loss's gradient in each row.

    The gradient is ``(3 * n, embedding_size)``: users, positives, negatives. It has the regulariser, the sum has not.
    ``weights`` ``(n,)`` multiply both.
    """
    p, q, r = values
    margin = (p * (q - r)).sum(1)
    pull = torch.sigmoid(-margin).unsqueeze(1)  # minus the derivative of -ln sigmoid(margin)
    slopes = torch.cat([pull * (r - q), -pull * p, pull * p])
    if regularization:
        slopes.add_(values.reshape(len(slopes), -1), alpha=regularization)
    losses = F.softplus(-margin)
    if weights is None:
        return losses.sum(), slopes
    return (losses * weights).sum(), slopes.mul_(weights.repeat(3).unsqueeze(1))


class LossObjective(Objective):
    """Any differentiable loss, by autograd: what a new gradient model starts with.

    Args:
        loss: Maps parameters and a batch to a scalar, as ``GradientModel.loss``.
        batches: Maps (trainer, epoch) to the batches; draws depend on the epoch only.
        n_units: What the sum of the batches' losses is divided by for display.
        made_of: Model, data and stream behind ``loss`` and ``batches``, for ``inputs``; a killed fit without it starts
            afresh.
    """

    def __init__(
        self,
        loss: Callable[[Params, Batch], Tensor],
        batches: Callable[[Trainer, int], Iterator[Batch]],
        n_units: int,
        made_of: object = None,
    ) -> None:
        self.loss, self.batches, self.n_units, self.made_of = loss, batches, n_units, made_of

    def inputs(self) -> object:
        """What it was made of."""
        return self.made_of

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One step on whole tables for each batch."""
        total: Tensor | float = 0.0
        for batch in self.batches(trainer, epoch):
            params = {name: tensor.detach().requires_grad_() for name, tensor in slots(state, "param").items()}
            loss = self.loss(params, batch)
            gradients = torch.autograd.grad(loss, list(params.values()), materialize_grads=True)
            by_name = dict(zip(params, gradients, strict=True))
            step(trainer.optimizer, state, by_name, trainer.learning_rate, trainer.eps)
            total = total + loss.detach()  # a tensor: the host does not wait
        return float(total) / self.n_units


class UserObjective(BatchObjective):
    """One whose loss is a sum or mean over rows of users, who may weigh more or less (``training.weighted``)."""

    def weights_of(self, users: Tensor) -> Tensor | None:
        """What the losses of a batch's rows, of ``users``, are multiplied by, ``(n,)``; None: nothing."""
        return None


class BPRObjective(UserObjective):
    """BPR of a dot product of two tables named ``user`` and ``item``, with gradients by hand.

    The loss of a batch is the sum over its triples of -ln sigmoid(p_u·q_i - p_u·q_j) + regularization/2 (|p_u|² +
    |q_i|² + |q_j|²), one negative for each positive, redrawn every epoch. Each epoch visits each pair once. The figure
    shown leaves the regulariser out.

    Args:
        data: Training data; pairs count once, ratings are not looked at.
        seeds: Streams ``epoch/0``, ``epoch/1``, ...
        regularization: Weight of the squared length of the rows of a triple.
    """

    def __init__(self, data: Interactions, seeds: Seeds, regularization: float = 0.0) -> None:
        self.data, self.pairs, self.seeds, self.regularization = data, Pairs.of(data), seeds, regularization
        self._on_device: DevicePairs | None = None
        self._triples: np.ndarray | None = None
        self._triton: TritonBPR | None = None
        self._captured: CapturedEpoch | None = None

    def inputs(self) -> object:
        """Data, stream and regulariser."""
        return self.data, self.seeds, self.regularization

    def n_rows(self, trainer: Trainer) -> int:
        """Pairs of an epoch: all, or the whole batches of them."""
        return trainer.n_rows(len(self.pairs))

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """By the numba kernel on a CPU and by Triton's on CUDA; by torch with Adam, which neither has."""
        if runs_on_numba(trainer, state):
            return self._numba_epoch(trainer, state, epoch)
        if runs_on_triton(trainer, state):
            return self._triton_epoch(trainer, state, epoch)
        if captures(trainer, state["param.user"].device):
            return self._captured_epoch(trainer, state, epoch)
        return self._torch_epoch(trainer, state, epoch)

    def _triton_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        n_rows = self.n_rows(trainer)
        if self._triton is None or not self._triton.serves(trainer, state):
            self._triton = TritonBPR(trainer, state, n_rows, self.regularization)
        return self._triton.run(state, *self.drawn(epoch, state["param.user"].device)) / n_rows

    def _captured_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        n_rows = self.n_rows(trainer)
        if self._captured is None or not self._captured.serves(trainer, state):
            self._captured = CapturedEpoch(trainer, state, n_rows, self._train)
        return self._captured.run(state, *self.drawn(epoch, state["param.user"].device)) / n_rows

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Users, positive and negative items of each batch, ``(batch_size,)`` each."""
        columns, n_rows = self.drawn(epoch, device), self.n_rows(trainer)
        for start in range(0, n_rows, trainer.batch_size):
            stop = min(start + trainer.batch_size, n_rows)
            users, positives, negatives = (column[start:stop] for column in columns)
            yield users, positives, negatives

    def drawn(self, epoch: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Users, positive and negative items of an epoch in its order, ``(n,)`` each, before the last are left out."""
        if self._on_device is None or self._on_device.users.device != device:
            self._on_device = DevicePairs.of(self.pairs, device)
        return self._on_device.epoch(self.seeds, epoch)

    def kernel_inputs(self, trainer: Trainer, state: State, epoch: int) -> tuple[list[np.ndarray], tuple[object, ...]]:
        """What an epoch's kernel begins with (tables, sums, triples, order) and its figures, up to ``adagrad``."""
        order, uniforms = self.pairs.draws(self.seeds, epoch)
        if self._triples is None:
            self._triples = np.stack([self.pairs.users, self.pairs.items, self.pairs.items], axis=1)
        self._triples[:, 2] = self.pairs.negatives(uniforms)
        tables = [state[f"param.{name}"].numpy() for name in ("user", "item")]
        adagrad = trainer.optimizer == "adagrad"
        sums = [state[f"sum.{name}"].numpy() for name in ("user", "item")] if adagrad else tables
        figures = (np.float32(x) for x in (trainer.learning_rate, trainer.eps, self.regularization))
        return [*tables, *sums, self._triples, order], (*figures, adagrad)

    def slopes(self, values: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``bpr_slopes`` with this regulariser."""
        return bpr_slopes(values, self.regularization, weights)

    def _numba_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        arrays, figures = self.kernel_inputs(trainer, state, epoch)
        n_rows = self.n_rows(trainer)
        arguments = (*arrays, n_rows, trainer.batch_size, *figures)
        return float(bpr_epoch(*arguments)) / n_rows

    def _torch_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """The host never waits inside an epoch: shapes are static, and there is no ``item()``, ``unique`` or mask.

        Only a last, smaller batch has another shape.
        """
        joint = JointTables(trainer, state)
        for batch in self.batches(trainer, epoch, joint.device):
            self._train(joint, joint.rows(batch))
        joint.write_back()
        return float(joint.loss) / self.n_rows(trainer)

    def _train(self, joint: JointTables, rows: Tensor) -> None:
        loss, slopes = self.slopes(joint.values(rows), self.weights_of(rows[: len(rows) // 3]))
        joint.loss += loss
        joint.step(rows, slopes)


def runs_on_numba(trainer: Trainer, state: State) -> bool:
    """Whether a trainer runs this fit on its numba kernel."""
    on_cpu = state["param.user"].device.type == "cpu"
    if trainer.backend == "numba" and not on_cpu:
        raise ConfigError("model.trainer.backend=numba runs on a CPU only: set device=cpu, or backend=auto")
    return trainer.backend == "numba" or (trainer.backend == "auto" and on_cpu and trainer.optimizer != "adam")
