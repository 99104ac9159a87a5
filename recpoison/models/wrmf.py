"""WRMF (Hu, Koren and Volinsky 2008), trained as in the injection paper: Adam on the weighted loss over all cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.gram import whole_matrix_gradient, whole_matrix_loss
from recpoison.algebra.observed import Observed
from recpoison.algebra.unroll import SGD, Adam, Optimizer
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.base import DataLoss, GradientModel, Monitor, Params
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.initial_values import normal
from recpoison.training.optimizers import State
from recpoison.training.trainer import BatchObjective, Trainer


def _adam() -> Trainer:
    return Trainer(epochs=50, batch_size=2048, optimizer="adam", learning_rate=0.01, eps=1e-8)


@dataclass(frozen=True)
class WRMF(GradientModel):
    """A user's score of an item is p_u·q_i; every cell counts, a seen one ``weight`` times (injection paper, eq. 5).

    The loss of a batch of users is the sum over these users and all items of w (x - p.q)², with x and w 1 and
    ``weight`` where the user has the item, else 0 and 1; ratings are not looked at. The matrix is never built
    (``algebra/gram.py``), so a step costs what the interactions cost. Params: ``user`` ``(n_users, embedding_size)``
    and ``item`` ``(n_items, embedding_size)``.

    Defaults are the authors' for Gowalla (13,149 users). ``trainer.batch_size`` counts users; a batch that holds them
    all is taken in order, and every step is then on the whole data.

    Args:
        embedding_size: Length of an embedding.
        weight: Weight of a seen cell, at least 1.
        regularization: Weight of half the squared length of both tables, added at every step (torch's
            ``weight_decay``).
        initial_std: Standard deviation of the normal initial values.
        trainer: How the loss, a sum over the batch, is minimised; ``sgd`` or ``adam``.

    Raises:
        ConfigError: If a value is out of range.
    """

    tables: ClassVar[tuple[str, ...]] = ("user", "item")

    embedding_size: int = 128
    weight: float = 20.0
    regularization: float = 1e-5
    initial_std: float = 0.1
    trainer: Trainer = field(default_factory=_adam)

    def __post_init__(self) -> None:
        if self.embedding_size < 1:
            raise ConfigError(f"model.embedding_size is {self.embedding_size}: give 1 or more")
        if not 1 <= self.weight < float("inf"):
            raise ConfigError(f"model.weight is {self.weight:g}: give 1 (all cells alike) or more")
        if not 0 <= self.regularization < float("inf"):
            raise ConfigError(f"model.regularization is {self.regularization:g}: give 0 or more")
        if not 0 < self.initial_std < float("inf"):
            raise ConfigError(f"model.initial_std is {self.initial_std:g}: give a number above 0")
        if self.trainer.optimizer not in ("sgd", "adam"):
            raise ConfigError(f"model.trainer.optimizer is {self.trainer.optimizer!r}: wrmf takes sgd or adam")
        if self.trainer.backend == "numba":
            raise ConfigError("model.trainer.backend=numba trains on pairs, and wrmf on all cells: set backend=auto")

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Both tables, each from its own stream of ``init``."""
        rows = {"user": data.n_users, "item": data.n_items}
        streams = seeds.child("init")
        return {name: normal(streams.numpy(name), n, self.embedding_size, self.initial_std) for name, n in rows.items()}

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Sum over the batch's users and all items of w (x - p.q)², without ``regularization``.

        Args:
            params: The two tables.
            batch: Users ``(n,)``, and where in the third ``(n + 1,)`` each user's seen items begin.
        """
        users, indptr, items = batch
        observed = Observed(indptr, items, len(params["item"]))
        return whole_matrix_loss(params["user"].index_select(0, users), params["item"], observed, self.weight)

    def gradient(
        self, tables: tuple[Tensor, ...], observed: Observed, users: Tensor | None, dense: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Gradient of the loss of ``users`` (ascending; None means all) in both tables; may be differentiated once.

        Args:
            tables: Users' and items'.
            observed: What the real users have seen.
            users: Whose loss it is.
            dense: ``(n_fakes, n_items)`` values of the users after the real ones, where these are to be differentiated.
        """
        p, q = tables
        if users is None:
            return whole_matrix_gradient(p, q, observed, self.weight, dense)
        real, fake = users[users < observed.n_rows], users[users >= observed.n_rows] - observed.n_rows
        values = None if dense is None else dense.index_select(0, fake)
        rows, g_q = whole_matrix_gradient(p.index_select(0, users), q, observed.take(real), self.weight, values)
        return torch.zeros_like(p).index_copy(0, users, rows), g_q

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The loss of all users, without ``regularization``; nothing is left to chance."""
        return _AllCells(self, Observed.of(data.seen, device))

    @property
    def optimizer(self) -> Optimizer:
        """The trainer's rule as a function."""
        if self.trainer.optimizer == "sgd":
            return SGD(self.trainer.learning_rate, weight_decay=self.regularization)
        return Adam(self.trainer.learning_rate, self.regularization, eps=self.trainer.eps)

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> BatchObjective:
        """What ``fit`` minimises on ``data``, with draws from the stream ``train``."""
        return _WholeMatrix(self, Observed.of(data.seen, device), seeds.child("train"))

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Train from ``init``; the division of users into batches comes from the stream ``train``.

        Raises:
            Diverged: If a number is no longer finite.
        """
        params = {name: tensor.to(device) for name, tensor in self.init(data, seeds).items()}
        return self.trainer.fit(self.objective(data, seeds, device), params, progress, monitor)

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Dot products ``(len(users), n_items)``."""
        return params["user"].index_select(0, users) @ params["item"].T


class _AllCells(DataLoss):
    def __init__(self, model: WRMF, observed: Observed) -> None:
        self.model, self.observed = model, observed

    def gradient(self, params: Params, draw: int = 0) -> tuple[float, Params]:
        tables = params["user"].detach(), params["item"].detach()
        loss = whole_matrix_loss(*tables, self.observed, self.model.weight)
        g_user, g_item = self.model.gradient(tables, self.observed, None)
        return float(loss), {"user": g_user, "item": g_item}


class UserBatches:
    """Which users each step of a fit looks at; the draws depend on the seed and the epoch only.

    Args:
        n_users: Users.
        trainer: Its ``batch_size`` and ``drop_last`` count users.
        seeds: Streams ``epoch/0``, ``epoch/1``, ...
        device: Where the numbers go.
    """

    def __init__(self, n_users: int, trainer: Trainer, seeds: Seeds, device: torch.device | str) -> None:
        self.n_users, self.trainer, self.seeds, self.device = n_users, trainer, seeds, device
        whole, rest = divmod(n_users, trainer.batch_size)
        self.per_epoch = max(1, whole + (rest > 0 and not trainer.drop_last))
        self._epoch = lru_cache(maxsize=1)(self._draw)

    def __call__(self, number: int) -> Tensor | None:
        """The users of step ``number`` (from 0), ascending; None for all."""
        if self.n_users <= self.trainer.batch_size:
            return None
        epoch, place = divmod(number, self.per_epoch)
        return self._epoch(epoch)[place]

    def _draw(self, epoch: int) -> list[Tensor]:
        order = self.seeds.numpy("epoch", epoch).permutation(self.n_users)
        size = self.trainer.batch_size
        parts = (np.sort(order[start : start + size]) for start in range(0, self.per_epoch * size, size))
        return [torch.from_numpy(part).to(self.device) for part in parts]


class _WholeMatrix(BatchObjective):
    """An epoch by the functional optimiser, so that an attack that differentiates through it sees the same numbers."""

    def __init__(self, model: WRMF, observed: Observed, seeds: Seeds) -> None:
        self.model, self.observed, self.seeds = model, observed, seeds
        self.weight_decay = model.regularization

    def inputs(self) -> object:
        """Model, data and stream."""
        return self.model, self.observed.indptr, self.observed.indices, self.seeds

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Users of each batch, where each begins in the third, and the items they have seen."""
        batches = UserBatches(self.observed.n_rows, trainer, self.seeds, device)
        for number in range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch):
            users = batches(number)
            users = torch.arange(self.observed.n_rows, device=device) if users is None else users
            observed = self.observed.take(users)
            yield users, observed.indptr, observed.indices

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One step a batch; returns the mean loss of a cell after the epoch."""
        optimizer, observed = self.model.optimizer, self.observed
        batches = UserBatches(observed.n_rows, trainer, self.seeds, observed.indptr.device)
        kinds = ("param", "first", "second") if trainer.optimizer == "adam" else ("param",)
        names = [f"{kind}.{table}" for kind in kinds for table in ("user", "item")]
        numbers = tuple(state[name] for name in names)
        if trainer.optimizer == "sgd":
            numbers = optimizer.start(numbers)
        for number in range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch):
            numbers = optimizer.step(number, numbers, self.model.gradient(numbers[:2], observed, batches(number)))
        for name, tensor in zip(names, numbers, strict=False):
            state[name] = tensor
        if "step" in state:
            state["step"] += batches.per_epoch
        users, items = numbers[:2]
        loss = whole_matrix_loss(users, items, observed, self.model.weight)
        return float(loss) / (observed.n_rows * observed.n_columns)
