"""Graph convolutional network for node classification (Kipf and Welling 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.algebra.propagation_products import Sparse, normalised
from recpoison.data.graph import NodeGraph
from recpoison.errors import UserError
from recpoison.models.base import Model, Monitor, Params
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import glorot
from recpoison.training.optimizers import initial_state, slots, step


class _Graph(NamedTuple):
    spread: Sparse
    features: Sparse


@dataclass(frozen=True)
class GCN(Model):
    """Two layers: a node's class logits are S relu(S X W1 + b1) W2 + b2, S the normalised adjacency (equation 9).

    Trained in full batches by Adam on the mean cross-entropy of the labelled nodes, with dropout on features and hidden
    units and half the squared length of W1 times ``weight_decay``. Zügner and Günnemann's code adds the decay to each
    node's loss and sums; Adam does not mind the factor, so that the two are one training. Params: ``weight_0``
    ``(n_features, hidden)``, ``bias_0`` ``(hidden,)``, ``weight_1`` ``(hidden, n_classes)`` and ``bias_1``.

    Args:
        hidden: Width of the hidden layer.
        dropout: Share of features and of hidden units that a step leaves out.
        steps: Full-batch steps.
        learning_rate: Of Adam.
        weight_decay: Of the first layer's weights.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> edges = sp.csr_matrix(np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6))  # two triangles
        >>> graph = NodeGraph(edges, sp.identity(6, format="csr"), np.repeat([0, 1], 3), labelled=np.array([0, 3]))
        >>> model = GCN(dropout=0.0, steps=50)
        >>> params = model.fit(graph, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, graph, torch.arange(6)).argmax(1).tolist()
        [0, 0, 0, 1, 1, 1]
    """

    works_on: ClassVar[str | None] = "graph"
    reads_values: ClassVar[bool] = False
    has_epochs: ClassVar[bool] = False

    hidden: int = ranged(16, low=1)
    dropout: float = ranged(0.5, low=0.0, high=1, open_high=True)
    steps: int = ranged(200, low=1)
    learning_rate: float = ranged(0.01, low=0.0, open_low=True)
    weight_decay: float = ranged(5e-4, low=0.0)

    def __post_init__(self) -> None:
        check_ranges(self, "model")

    def init(self, data: NodeGraph, seeds: Seeds) -> Params:
        """Weights by Glorot and Bengio's uniform rule, biases 0; each from its stream of ``init``."""
        streams, sizes = seeds.child("init"), (data.features.shape[1], self.hidden, data.n_classes)
        params: Params = {}
        for layer, (inputs, width) in enumerate(pairwise(sizes)):
            params[f"weight_{layer}"] = glorot(streams.numpy("weight", layer), (inputs, width))
            params[f"bias_{layer}"] = torch.zeros(width)
        return params

    def fit(  # type: ignore[override]  # a graph in place of interactions, as works_on says
        self, data: NodeGraph, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Train on the labelled nodes.

        Raises:
            UserError: If no nodes are labelled.
        """
        if data.labelled is None or not len(data.labelled):
            raise UserError("the graph has no labelled nodes to learn from: let the evaluation divide it first")
        graph = _tensors(data, device)
        columns = (torch.from_numpy(x) for x in (data.labelled, data.labels[data.labelled]))
        nodes, classes = (column.to(device, non_blocking=True) for column in columns)
        first = {name: tensor.to(device, non_blocking=True) for name, tensor in self.init(data, seeds).items()}
        state = initial_state("adam", 0.0, first)
        chance = seeds.child("train").torch("dropout", device=device)
        for number in range(1, self.steps + 1):
            params = {name: tensor.detach().requires_grad_() for name, tensor in slots(state, "param").items()}
            loss = F.cross_entropy(self._logits(params, graph, chance)[nodes], classes)
            decayed = loss + self.weight_decay / 2 * params["weight_0"].square().sum()
            gradients = torch.autograd.grad(decayed, list(params.values()))
            step("adam", state, dict(zip(params, gradients, strict=True)), self.learning_rate, 1e-8)
            if number in (1, self.steps) or number % 50 == 0:
                progress.step(number, self.steps, loss=float(loss.detach()))
        return slots(state, "param")

    def scores(self, params: Params, data: Any, users: Tensor) -> Tensor:
        """Class logits ``(len(users), n_classes)`` of nodes, without dropout."""
        with torch.no_grad():
            return self._logits(params, _tensors(data, users.device), None)[users]

    def _logits(self, params: Params, graph: _Graph, chance: torch.Generator | None) -> Tensor:
        features = graph.features
        if chance is not None and self.dropout:
            features = features.with_values(_dropped(features.matrix.values(), self.dropout, chance))
        hidden = torch.relu(graph.spread @ (features @ params["weight_0"]) + params["bias_0"])
        if chance is not None and self.dropout:
            hidden = _dropped(hidden, self.dropout, chance)
        return graph.spread @ (hidden @ params["weight_1"]) + params["bias_1"]


def _tensors(graph: NodeGraph, device: torch.device) -> _Graph:
    return _Graph(Sparse.of(normalised(graph.adjacency), device), Sparse.of(graph.features, device))


def _dropped(values: Tensor, share: float, chance: torch.Generator) -> Tensor:
    kept = torch.rand(values.shape, generator=chance, device=values.device) >= share
    return values * kept / (1 - share)
