"""Collaborative metric learning (Hsieh, Yang, Cui, Lin, Belongie and Estrin 2017): users near the items they have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import Params
from recpoison.models.trained import TrainedModel
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.cml_kernel import cml_epoch
from recpoison.training.initial_values import factor_tables
from recpoison.training.objectives import runs_on_numba
from recpoison.training.optimizers import State
from recpoison.training.row_objective import RowObjective, only_for_adam, shorten
from recpoison.training.trainer import Trainer


@dataclass(frozen=True)
class CML(TrainedModel):
    """A user's score of an item is -|p_u - q_i|²; an item the user has is to be nearer than all others by ``margin``.

    The loss of a batch is the sum over its positives of w [margin + |p_u - q_i|² - |p_u - q_j|²]_+, j the nearest of
    ``negatives`` unseen items, drawn afresh every epoch (equation 1; ratings are not looked at). With ``warp`` w is
    ln(1 + floor(n_items M / negatives)), M the number of negatives within the margin (section 3.2), else 1. Rows longer
    than ``max_norm`` are brought back to it after each step. The injection paper has 256 factors and margin 10 and
    neither weights nor a bound: a bound below the root of the margin keeps every hinge open.

    It names no ``tables``: a shifted row would leave the ball, and adversarial training would not bring it back.
    Params: ``user`` ``(n_users, embedding_size)`` and ``item`` ``(n_items, embedding_size)``.

    Args:
        embedding_size: Length of an embedding.
        margin: In squared distance.
        negatives: Unseen items a positive.
        warp: Whether a hinge weighs the logarithm of the positive's estimated rank.
        max_norm: Radius of the ball that holds all embeddings, 1 in the paper; None: no bound.
        covariance: Times the sum of the squared covariances of different coordinates over the users' and positives'
            rows of a batch, times its size (the off-diagonal part of the paper's equation 9);
            needs ``trainer.backend`` other than numba.
        regularization: Weight of half the squared length of the rows of a positive and its nearest negative.
        initial_std: Standard deviation of the normal initial values.
        rows_only: Whether Adam leaves rows outside a batch where they are (``torch.optim.SparseAdam``).
        trainer: How the loss is minimised.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = CML(embedding_size=4, margin=0.5, negatives=1, trainer=Trainer(epochs=30))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    reads_values: ClassVar[bool] = False

    embedding_size: int = ranged(64, low=1)
    margin: float = ranged(1.0, low=0.0, open_low=True)
    negatives: int = ranged(10, low=1)
    warp: bool = True
    max_norm: float | None = ranged(1.0, low=0.0, open_low=True, null="no bound")
    covariance: float = ranged(0.0, low=0.0)
    regularization: float = ranged(0.0, low=0.0)
    initial_std: float = ranged(0.1, low=0.0, open_low=True)
    rows_only: bool = True
    trainer: Trainer = field(default_factory=lambda: Trainer(epochs=40))

    def __post_init__(self) -> None:
        check_ranges(self, "model")
        if self.covariance and self.trainer.backend == "numba":
            raise ConfigError("model.trainer.backend=numba has no model.covariance: set backend=auto or torch")

    def idle(self, parts: Together) -> dict[str, str]:
        """Adam alone moves rows without a gradient, and torch alone knows the covariance."""
        found = super().idle(parts) | only_for_adam(self.trainer)
        return found | ({"trainer.backend": "covariance has no numba kernel"} if self.covariance else {})

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Both tables, each from its own stream of ``init``; rows longer than ``max_norm`` are shortened."""
        params = factor_tables("normal", data, self.embedding_size, self.initial_std, seeds)
        if self.max_norm is not None:
            for table in params.values():
                shorten(table, self.max_norm)
        return params

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Sum over the batch of the weighted hinges, with the regularisers.

        Args:
            params: Both tables, or those of their rows that the batch speaks of.
            batch: Users and positives ``(n,)``, negatives ``(n, negatives)``, and the number of items of the catalogue.
        """
        users, positives, negatives, n_items = batch
        p, q = params["user"].index_select(0, users), params["item"].index_select(0, positives)
        others = params["item"].index_select(0, negatives.flatten()).view(*negatives.shape, -1)
        near = (p - q).square().sum(1)
        with torch.no_grad():
            distances = (p.unsqueeze(1) - others).square().sum(2)
            nearest = distances.argmin(1)
            n_closer = (self.margin + near.unsqueeze(1) - distances > 0).sum(1)
        r = others[torch.arange(len(users), device=users.device), nearest]
        hinges = torch.relu(self.margin + near - (p - r).square().sum(1))
        if self.warp:
            hinges = hinges * torch.log1p((n_items * n_closer // self.negatives).to(hinges.dtype))
        loss = hinges.sum()
        if self.regularization:
            loss = loss + self.regularization / 2 * sum(rows.square().sum() for rows in (p, q, r))
        if self.covariance:
            loss = loss + self.covariance * len(users) * _covariance(torch.cat([p, q]))
        return loss

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> RowObjective:
        """What ``fit`` minimises on ``data``, with draws from the stream ``train``."""
        return _Hinges(self, data, seeds.child("train"))

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Minus the squared distances ``(len(users), n_items)``, as 2 p·q - |p|² - |q|²."""
        p, q = params["user"].index_select(0, users), params["item"]
        return 2 * p @ q.T - p.square().sum(1, keepdim=True) - q.square().sum(1)

    def user_embeddings(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Rows of the user table, ``(len(users), embedding_size)``."""
        return params["user"].index_select(0, users)


class _Hinges(RowObjective):
    """By the numba kernel on a CPU with SGD or Adagrad, else by autograd on a batch's rows."""

    def __init__(self, model: CML, data: Interactions, seeds: Seeds) -> None:
        super().__init__(data, seeds, model.loss, model, model.negatives, model.rows_only, model.max_norm)
        self.cml = model
        self._pairs = np.stack([self.pairs.users, self.pairs.items], axis=1)

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
        """As ``RowObjective``, and the number of items."""
        n_items = torch.full((), self.data.n_items, device=device)
        for batch in super().batches(trainer, epoch, device):
            yield *batch, n_items

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One epoch; returns the mean loss of a positive."""
        model = self.cml
        if model.covariance or not runs_on_numba(trainer, state):
            return super().epoch(trainer, state, epoch)
        order, uniforms = self.pairs.draws(self.seeds, epoch, model.negatives)
        negatives = self.pairs.negatives(uniforms).reshape(-1, model.negatives)
        tables = [state[f"param.{name}"].numpy() for name in ("user", "item")]
        adagrad = trainer.optimizer == "adagrad"
        sums = [state[f"sum.{name}"].numpy() for name in ("user", "item")] if adagrad else tables
        n_rows = self.n_rows(trainer)
        figures = (trainer.learning_rate, trainer.eps, model.regularization, model.margin)
        arguments = (
            *(*tables, *sums, self._pairs, negatives, order, n_rows, min(trainer.batch_size, n_rows)),
            *(*map(np.float32, figures), model.warp, np.float32(model.max_norm or 0), adagrad),
        )
        return float(cml_epoch(*arguments)) / n_rows


def _covariance(rows: Tensor) -> Tensor:
    """Sum of the squared covariances of different columns."""
    centred = rows - rows.mean(0)
    covariance = centred.T @ centred / len(rows)
    return covariance.square().sum() - covariance.diagonal().square().sum()
