"""Generalised matrix factorisation (He, Liao, Zhang, Nie, Hu and Chua 2017): NeuMF's linear half, alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import DataLoss, Params
from recpoison.models.trained import TrainedModel
from recpoison.seeds import Seeds
from recpoison.training.initial_values import factor_tables, uniform
from recpoison.training.row_objective import RowObjective, only_for_adam
from recpoison.training.sampling import DevicePairs, Pairs
from recpoison.training.trainer import Trainer
from recpoison.training.whole_data import ChunkedLoss

CHUNK = 1 << 13  # positives


@dataclass(frozen=True)
class GMF(TrainedModel):
    """A user's score of an item is w·(p_u * q_i) + b, the log odds that the user has the item (equations 8 and 9).

    The loss of a batch is the sum of the binary cross-entropy of each positive and of its ``negatives`` unseen items,
    drawn afresh every epoch, and of the regulariser; ratings are not looked at. Params: ``user``
    ``(n_users, embedding_size)``, ``item`` ``(n_items, embedding_size)``, ``output`` ``(embedding_size,)`` and ``bias``
    ``(1,)``.

    Args:
        embedding_size: Length of an embedding.
        negatives: Unseen items a positive.
        regularization: Weight of half the squared length of a positive's user row and of its item rows, negatives
            included.
        initial_std: Standard deviation of the normal initial embeddings; 0.01 in the authors' code, which makes the
            first epochs slow.
        rows_only: Whether Adam leaves rows outside a batch where they are (``torch.optim.SparseAdam``); without
            meaning for SGD and Adagrad, which always do.
        trainer: How the loss is minimised.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = GMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    tables: ClassVar[tuple[str, ...]] = ("user", "item")
    reads_values: ClassVar[bool] = False

    embedding_size: int = 64
    negatives: int = 4
    regularization: float = 0.02
    initial_std: float = 0.1
    rows_only: bool = True
    trainer: Trainer = field(default_factory=lambda: Trainer(epochs=10))

    def __post_init__(self) -> None:
        for name in ("embedding_size", "negatives"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name} is {getattr(self, name)}: give 1 or more")
        if not 0 <= self.regularization < math.inf:
            raise ConfigError(f"model.regularization is {self.regularization:g}: give a finite number, 0 or more")
        if not 0 < self.initial_std < math.inf:
            raise ConfigError(f"model.initial_std is {self.initial_std:g}: give a finite number above 0")
        if self.trainer.backend == "numba":
            raise ConfigError(f"model.trainer.backend=numba has no {type(self).__name__}: set backend=auto or torch")

    def idle(self, parts: Together) -> dict[str, str]:
        """There is one way to train it, and Adam alone moves rows without a gradient."""
        return (
            super().idle(parts)
            | {"trainer.backend": f"{type(self).__name__} has no numba kernel"}
            | only_for_adam(self.trainer)
        )

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Normal embeddings, an output uniform within ±sqrt(3 / fan-in), bias 0; each from its stream of ``init``."""
        tables = factor_tables("normal", data, self._row_size, self.initial_std, seeds)
        output = uniform(seeds.child("init").numpy("output"), (self._fan_in,), math.sqrt(3 / self._fan_in))
        return tables | {"output": output, "bias": torch.zeros(1)}

    @property
    def _row_size(self) -> int:
        return self.embedding_size

    @property
    def _fan_in(self) -> int:
        return self.embedding_size

    def logits(self, params: Params, users: Tensor, items: Tensor) -> Tensor:
        """Scores ``(n, m)`` of ``users`` ``(n,)`` for their ``items`` ``(n, m)``."""
        size = self.embedding_size
        p = params["user"][:, :size].index_select(0, users) * params["output"][:size]
        q = params["item"][:, :size].index_select(0, items.flatten()).view(*items.shape, size)
        # w·(p * q) as (p * w)·q: one product for a user's items together
        return torch.bmm(q, p.unsqueeze(2)).squeeze(2) + params["bias"]

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Sum over the batch of the cross-entropy, with the regulariser.

        Args:
            params: As of ``init``.
            batch: Users and positives ``(n,)``, and negatives ``(n, negatives)``.
        """
        users, positives, negatives = batch
        items = torch.cat([positives.unsqueeze(1), negatives], dim=1)
        logits = self.logits(params, users, items)
        loss = F.softplus(-logits[:, 0]).sum() + F.softplus(logits[:, 1:]).sum()
        if not self.regularization:
            return loss
        squares = [
            params[name].square().sum(1).index_select(0, rows).sum()
            for name, rows in (("user", users), ("item", items.flatten()))
        ]
        return loss + self.regularization / 2 * (squares[0] + squares[1])

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The loss of every training pair with its negatives."""
        pairs = DevicePairs.of(Pairs.of(data), device)

        def chunks(draw: int) -> Iterator[tuple[Tensor, ...]]:
            columns = pairs.epoch_with(seeds, draw, self.negatives)
            yield from zip(*(column.split(CHUNK) for column in columns), strict=True)

        return ChunkedLoss(self.loss, chunks)

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> RowObjective:
        """What ``fit`` minimises on ``data``, with draws from the stream ``train``."""
        return RowObjective(data, seeds.child("train"), self.loss, self, self.negatives, self.rows_only)

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Log odds ``(len(users), n_items)``."""
        size = self.embedding_size
        p = params["user"][:, :size].index_select(0, users) * params["output"][:size]
        return p @ params["item"][:, :size].T + params["bias"]

    def user_embeddings(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Rows of the user table, ``(len(users), size of a row)``."""
        return params["user"].index_select(0, users)
