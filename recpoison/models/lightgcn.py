"""LightGCN (He, Deng, Wang, Li, Zhang and Wang, SIGIR 2020): matrix factorisation of propagated embeddings."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from recpoison.algebra.propagation import Propagation
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import DataLoss, Monitor, Params
from recpoison.models.edge_learner import EdgeLearner, refuse_zeros
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.edges.graph_pass import GraphPass
from recpoison.training.edges.trainer import EdgeTrainer
from recpoison.training.graph_inner import GraphInner
from recpoison.training.graph_objective import (
    OFFSETS,
    SAMPLERS,
    TABLES,
    GraphBPR,
    GraphDataLoss,
    GraphObjective,
    final_tables,
)
from recpoison.training.initial_values import factor_tables
from recpoison.training.inner_problem import first_tables
from recpoison.training.trainer import Trainer

INITIALS = ("normal", "xavier_own")
PLACES = ("layer_0", "final")
PREPARED = ("final_user", "final_item")


def _adam() -> Trainer:
    return Trainer(epochs=200, batch_size=2048, optimizer="adam", learning_rate=0.005, eps=1e-8)


@dataclass(frozen=True)
class LightGCN(EdgeLearner):
    """A user's score of an item is the product of their final embeddings, the mean of ``layers`` + 1 layers.

    Layer 0 are the parameters, ``user`` ``(n_users, embedding_size)`` and ``item`` ``(n_items, embedding_size)``; layer
    k + 1 is the normalised adjacency of the training pairs times layer k, without weights, activations or loops. A pair
    weighs 1 / sqrt(d_u d_i), d the number of training pairs, repeats left out; who has none is only in layer 0. The
    loss is BPR's, a mean over the batch, one negative for each positive. Ratings are not looked at. Fake users are
    nodes as others: they change the graph, and with it the scores that the same numbers give.

    Gradients are exact, by hand: the adjacency is symmetric, so a step is one propagation forth and one back, and no
    layer is kept. Each step moves all rows, whatever the optimiser. A batch of Gowalla (1.6 million cells, 3 layers of
    64) takes about a third of a second on one core, an epoch two minutes.

    What attacks and defenses on embeddings shift is a choice. ``shifted=layer_0``: the parameters, before propagation;
    a shift of one row moves the final rows of all within ``layers`` steps, and a row far from a batch has a gradient
    too, so that adversarial training shifts nearly all rows. ``shifted=final``: the propagated rows, as VAT and PamaCF
    do, so that it shifts those of the batch alone. Then the params have two more tables, ``user_offset`` and
    ``item_offset``, which are added after propagation: 0 but under attack, and never trained.

    Where an evaluation has drawn zeros once, the same products of final rows learn edges and zeros (``EdgeLearner``):
    the graph is of the edges alone, and neither regulariser nor sampler has a part.

    Departures: the authors' torch code draws users, not pairs (``sampler=users``), and reports the loss with its
    regulariser. Other code changes this method by these settings: N(0, 0.01²) in the authors' TensorFlow code, Xavier's
    values in RecBole and ARLib, the regulariser of final rows in GPA, FEO and ARLib. Edges are not dropped.

    Args:
        embedding_size: Length of an embedding.
        layers: Propagations; 0 is BPR-MF.
        regularization: Weight of half the squared length of the three rows of a triple, a mean over the batch.
        regularized: Of which rows: ``layer_0`` or ``final``.
        sampler: ``pairs``: an epoch is each training pair once, in random order; ``users``: as many draws of a user,
            uniformly with replacement, and of one of the user's items.
        initial: ``normal``, or ``xavier_own``: uniform, within each table's own bound.
        initial_std: Standard deviation of the normal.
        shifted: ``layer_0`` or ``final``, as above.
        trainer: How the loss is minimised.
        edge_trainer: How the log loss of edges and zeros is.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = LightGCN(embedding_size=4, layers=2)
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    reads_values: ClassVar[bool] = False
    ranking_only: ClassVar[tuple[str, ...]] = ("trainer", "regularization", "regularized", "sampler")

    embedding_size: int = ranged(64, low=1)
    layers: int = ranged(3, low=0, note=" (0: no propagation)")
    regularization: float = ranged(1e-4, low=0.0)
    regularized: str = ranged("layer_0", words=PLACES)
    sampler: str = ranged("pairs", words=SAMPLERS)
    initial: str = ranged("normal", words=INITIALS)
    initial_std: float = ranged(0.1, low=0.0, open_low=True)
    shifted: str = ranged("layer_0", words=PLACES)
    trainer: Trainer = field(default_factory=_adam)
    edge_trainer: EdgeTrainer = field(default_factory=lambda: EdgeTrainer(steps=50, learning_rate=0.03), kw_only=True)

    def __post_init__(self) -> None:
        check_ranges(self, "model")
        for name in ("trainer", "edge_trainer"):
            if getattr(self, name).backend == "numba":
                raise ConfigError(f"model.{name}.backend=numba has no {type(self).__name__}: set backend=auto or torch")

    @property
    def tables(self) -> tuple[str, ...]:  # type: ignore[override]
        """The parameters, or what is added to the final rows, as ``shifted`` says."""
        return TABLES if self.shifted == "layer_0" else OFFSETS

    def idle(self, parts: Together) -> dict[str, str]:
        """There is one way to train it; and what nobody shifts, regularises or propagates is nowhere."""
        why = f"{type(self).__name__} has no numba kernel"
        found = {"trainer.backend": why, "edge_trainer.backend": why} | super().idle(parts)
        if self.initial != "normal":
            found["initial_std"] = f"initial is {self.initial}, which has its own"
        shifts = parts.attack.perturbs or parts.defense.perturbs
        if not self.regularization:
            found["regularized"] = "regularization is 0"
        elif not self.layers and not (shifts and self.shifted == "final"):
            found["regularized"] = "layers is 0, so the final rows are those of layer 0"
        if not shifts:
            found["shifted"] = "neither attack nor defense shifts embeddings"
        return found

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Both tables, each from its own stream of ``init``, and the offsets where they are shifted."""
        tables = factor_tables(self.initial, data, self.embedding_size, self.initial_std, seeds)
        if self.shifted == "layer_0":
            return tables
        offsets = {name: torch.zeros_like(tables[table]) for name, table in zip(OFFSETS, TABLES, strict=True)}
        return tables | offsets

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean over the batch of -ln sigmoid(s_ui - s_uj), with the regulariser.

        Args:
            params: As of ``init``.
            batch: Of ``objective``: users, positives and negatives, which know the graph.
        """
        return self._loss.mean(params, batch)

    @property
    def _loss(self) -> GraphBPR:
        return GraphBPR(self.layers, self.regularization, self.regularized == "final")

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The loss of every training pair with one negative each, a sum."""
        return GraphDataLoss(data, seeds, device, self._loss)

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> GraphObjective:
        """What ``fit`` minimises on ``data`` in ranking, with draws from the stream ``train``.

        Raises:
            IncompatibleParts: If ``data`` has zeros, which are learned in full batches.
        """
        refuse_zeros(data)
        return GraphObjective(data, seeds.child("train"), self, self._loss, self.sampler)

    def fit_edges(
        self, params: Params, data: Interactions, seeds: Seeds, progress: Progress, monitor: Monitor | None
    ) -> Params:
        """By products of final rows; nothing is left to chance."""
        first = {name: params[name] for name in TABLES}
        made, inputs = GraphPass(data, self.layers, params["user"].device), (self, data)
        labels = made.labels.to(params["user"].dtype)
        fitted = self.edge_trainer.minimise(
            lambda tables, number: made.gradient(tables, labels), labels, first, inputs, progress, monitor
        )
        return params | fitted

    def edge_logits(self, params: Params, data: Interactions, users: Tensor, items: Tensor) -> Tensor:
        """Products of final rows."""
        user, item = self._final(params, data)
        return (user.index_select(0, users) * item.index_select(0, items)).sum(1)

    @property
    def latent_size(self) -> int:
        """Length of an embedding."""
        return self.embedding_size

    def inner_problem(self, data: Interactions, n_fakes: int, seeds: Seeds, device: torch.device) -> GraphInner:
        """Training in which fake users' values weigh their pairs, in the graph and its degrees and in the loss.

        Raises:
            IncompatibleParts: If ``data`` has zeros: only ranking is differentiated.
        """
        refuse_zeros(data)
        first = first_tables(self, TABLES, data, n_fakes, seeds, device)
        return GraphInner(data, first, n_fakes, self._loss, self.sampler, self.trainer, seeds.child("train"))

    def prepared(self, params: Params, data: Interactions) -> Params:
        """With the final tables, ``final_user`` and ``final_item``."""
        final = final_tables(params, _graph_of(data, self.layers, params["user"].device))
        return params | {name: final[table] for name, table in zip(PREPARED, TABLES, strict=True)}

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Dot products of final embeddings ``(len(users), n_items)``."""
        user, item = self._final(params, data)
        return user.index_select(0, users) @ item.T

    def user_embeddings(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Final embeddings ``(len(users), embedding_size)``."""
        return self._final(params, data)[0].index_select(0, users)

    def _final(self, params: Params, data: Interactions) -> tuple[Tensor, Tensor]:
        known = params if PREPARED[0] in params else self.prepared(params, data)
        return known[PREPARED[0]], known[PREPARED[1]]


class _Kept(threading.local):
    """The last graph of each thread, as seeds at once have one each, on a stream of its own."""

    def __init__(self) -> None:
        self.graph_of = lru_cache(maxsize=1)(_built)


def _built(data: Interactions, layers: int, device: torch.device) -> Propagation:
    return Propagation.of(data.seen, layers, device)


_KEPT = _Kept()


def _graph_of(data: Interactions, layers: int, device: torch.device) -> Propagation:
    """Built once where scores with a gradient are asked again and again: it takes longer than they do."""
    return _KEPT.graph_of(data, layers, device)
