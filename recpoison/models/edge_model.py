"""What models share that are a network on pairs: they learn to rank, or learn edges and zeros in full batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import DataLoss, Monitor, Params
from recpoison.models.edge_learner import EdgeLearner, refuse_zeros
from recpoison.models.pair_network import every, initial_values, several
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.edges.network import ACTIVATIONS, Network, logits
from recpoison.training.edges.trainer import EdgeTrainer
from recpoison.training.row_objective import RowObjective, only_for_adam
from recpoison.training.sampling import DevicePairs, Pairs
from recpoison.training.trainer import Trainer
from recpoison.training.whole_data import ChunkedLoss

CHUNK = 1 << 13  # positives


@dataclass(frozen=True)
class EdgeModel(EdgeLearner):
    """A user's score of an item is the log odds that the user has the item, by a network on the pair.

    As a ranking model it learns from mini-batches: the loss of a batch is the sum of the binary cross-entropy of each
    positive and of its ``negatives`` unseen items, drawn afresh every epoch, and of the regulariser. Where an
    evaluation has drawn zeros once it learns edges and zeros instead (``EdgeLearner``). Ratings are not looked at.
    Dropout takes its masks from the fit's seeds; scores have none.

    A concrete model says what its ``network`` is; params are the network's.

    Args:
        embedding_size: Length of an embedding.
        negatives: Unseen items a positive.
        regularization: Weight of half the squared length of a positive's user row and of its item rows, negatives
            included.
        initial_std: Standard deviation of the normal initial embeddings; 0.01 in the authors' code of NeuMF, which
            makes the first epochs slow.
        rows_only: Whether Adam leaves rows outside a batch where they are (``torch.optim.SparseAdam``); without
            meaning for SGD and Adagrad, which always do.
        trainer: How the loss is minimised in ranking.
        hidden: Widths of the hidden layers.
        activation: After each of them: ``relu``, ``tanh`` or ``sigmoid``.
        dropout: Share of hidden units that a training step leaves out.
        edge_trainer: How the log loss of edges and zeros is minimised.

    Raises:
        ConfigError: If a value is out of range.
    """

    tables: ClassVar[tuple[str, ...]] = ("user", "item")
    ranking_only: ClassVar[tuple[str, ...]] = ("trainer", "negatives", "regularization", "rows_only")
    reads_values: ClassVar[bool] = False

    embedding_size: int = ranged(64, low=1)
    negatives: int = ranged(4, low=1)
    regularization: float = ranged(0.0, low=0.0)
    initial_std: float = ranged(0.1, low=0.0, open_low=True)
    rows_only: bool = True
    trainer: Trainer = field(default_factory=lambda: Trainer(epochs=10))
    hidden: tuple[int, ...] = ranged((), low=1, many=True)
    activation: str = ranged("relu", words=ACTIVATIONS)
    dropout: float = ranged(0.0, low=0.0, high=1, open_high=True)
    edge_trainer: EdgeTrainer = field(default_factory=lambda: EdgeTrainer(steps=50, learning_rate=0.01), kw_only=True)

    def __post_init__(self) -> None:
        check_ranges(self, "model")
        if self.trainer.backend == "numba":
            raise ConfigError(f"model.trainer.backend=numba has no {type(self).__name__}: set backend=auto or torch")
        self.network  # noqa: B018  checks its own settings

    @property
    @abstractmethod
    def network(self) -> Network:
        """The network on a pair."""

    def idle(self, parts: Together) -> dict[str, str]:
        """Beside what ranking or edges alone need: Adam alone moves rows without a gradient, and layers activate."""
        found = super().idle(parts)
        if not self.hidden:
            found |= dict.fromkeys(("activation", "dropout"), "hidden is empty, so there is no hidden layer")
        if parts.evaluation.divides_edges:
            return found
        return found | {"trainer.backend": f"{type(self).__name__} has no numba kernel"} | only_for_adam(self.trainer)

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Normal embeddings, an output uniform within ±sqrt(3 / fan-in), Glorot's layers, biases 0; each a stream."""
        return initial_values(self.network, data, self.initial_std, seeds)

    def fit_edges(
        self, params: Params, data: Interactions, seeds: Seeds, progress: Progress, monitor: Monitor | None
    ) -> Params:
        """By the network's passes over all pairs."""
        return self.edge_trainer.fit(self.network, params, data.labelled(), seeds, progress, monitor)

    def logits(self, params: Params, users: Tensor, items: Tensor, words: Tensor | None = None) -> Tensor:
        """Scores ``(n, m)`` of ``users`` ``(n,)`` for their ``items`` ``(n, m)``; ``words`` as in ``several``."""
        return several(self.network, params, users, items, words)

    def edge_logits(self, params: Params, data: Interactions, users: Tensor, items: Tensor) -> Tensor:
        """The network's, which reads no data."""
        return logits(self.network, params, users, items)

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Sum over the batch of the cross-entropy, with the regulariser.

        Args:
            params: As of ``init``.
            batch: Users and positives ``(n,)``, negatives ``(n, negatives)``, and where units are left out a random
                number for each of these pairs ``(n, 1 + negatives)``, as ``several`` takes it.
        """
        users, positives, negatives, *words = batch
        items = torch.cat([positives.unsqueeze(1), negatives], dim=1)
        found = self.logits(params, users, items, *words)
        loss = F.softplus(-found[:, 0]).sum() + F.softplus(found[:, 1:]).sum()
        if not self.regularization:
            return loss
        squares = [
            params[name].square().sum(1).index_select(0, rows).sum()
            for name, rows in (("user", users), ("item", items.flatten()))
        ]
        return loss + self.regularization / 2 * (squares[0] + squares[1])

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The loss of every training pair with its negatives, without dropout."""
        pairs = DevicePairs.of(Pairs.of(data), device)

        def chunks(draw: int) -> Iterator[tuple[Tensor, ...]]:
            columns = pairs.epoch_with(seeds, draw, self.negatives)
            yield from zip(*(column.split(CHUNK) for column in columns), strict=True)

        return ChunkedLoss(self.loss, chunks)

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> RowObjective:
        """What ``fit`` minimises on ``data`` in ranking, with draws from the stream ``train``.

        Raises:
            IncompatibleParts: If ``data`` has zeros, which are learned in full batches.
        """
        refuse_zeros(data)
        words = self.dropout > 0 and len(self.hidden) > 0
        return RowObjective(data, seeds.child("train"), self.loss, self, self.negatives, self.rows_only, words=words)

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Log odds ``(len(users), n_items)``."""
        return every(self.network, params, users)

    def user_embeddings(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Rows of the user table, ``(len(users), size of a row)``."""
        return params["user"].index_select(0, users)
