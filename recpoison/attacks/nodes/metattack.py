"""Metattack (Zügner and Günnemann 2019): edges of a graph as hyperparameters of node classification."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.linear_gcn import Judged, LinearGCN, Momentum, Weights
from recpoison.attacks.flipping import EdgeAttack, Flipping
from recpoison.data.graph import NodeGraph
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import UserError
from recpoison.ranges import ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import glorot

VARIANTS = ("meta_train", "meta_self")


@dataclass(frozen=True, kw_only=True)
class Metattack(EdgeAttack):
    """Flips the pairs of nodes whose meta-gradient says that they hurt most, a few at a time (algorithm 1).

    The surrogate is a linear GCN of two layers without biases, trained by momentum SGD on the mean cross-entropy of the
    labelled nodes; the meta-gradient goes back through all its steps and through the normalisation of the adjacency.
    A pair's score is that gradient, both directions together, times 1 - 2 A: what inserting or deleting it does. No
    pair is flipped twice. As in the report there are no constraints of unnoticeability, but for one on request.

    Args:
        variant: ``meta_train``: the loss that is raised is that of the labelled nodes; ``meta_self``: of all others,
            with the classes that the surrogate predicts on the graph as it was.
        edges_per_step: Pairs flipped for each meta-gradient; 1 as published.
        initialisation: ``fixed``: every training starts from the same weights, as the authors' exact code does;
            ``redrawn``: from new ones, as the paper's algorithm does.
        keep_connected: Whether a node's last edge is left alone.
        hidden: Width of the surrogate.
        steps: Of its training.
        learning_rate: Of its training.
        momentum: Of its training.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> edges = sp.csr_matrix(np.kron(np.eye(2), np.ones((3, 3))) - np.eye(6))  # two triangles
        >>> graph = NodeGraph(edges, sp.identity(6, format="csr"), np.repeat([0, 1], 3), labelled=np.array([0, 3]))
        >>> attack = Metattack(n_flips=1, steps=20)
        >>> flips = attack.poison(graph, np.array([]), Seeds(0), torch.device("cpu"), Progress())
        >>> flips.rows.tolist(), flips.columns.tolist(), flips.values.tolist()  # it joins the two
        ([0], [3], [1])
    """

    works_on: ClassVar[str | None] = "graph"

    budget: float = 0.05
    variant: str = ranged("meta_train", words=VARIANTS)
    edges_per_step: int = ranged(5, low=1)
    initialisation: str = ranged("fixed", words=("fixed", "redrawn"))
    keep_connected: bool = False
    hidden: int = ranged(16, low=1)
    steps: int = ranged(100, low=1)
    learning_rate: float = ranged(0.1, low=0.0, open_low=True)
    momentum: float = ranged(0.9, low=0.0, high=1, open_high=True)

    def _flip(self, flipping: Flipping) -> EdgeFlips:
        graph = flipping.data
        assert isinstance(graph, NodeGraph), "works_on has seen to that"
        outer = self._outer(graph, flipping.seeds, flipping.device)
        first = {"pairs": torch.zeros(0, 2, dtype=torch.int64), "trace": torch.zeros(0, dtype=torch.float64)}
        work = (self, graph.fingerprint, flipping.seeds, flipping.n_flips)
        loop = flipping.progress.loop(work, lambda kept: all(kept[name].dtype == first[name].dtype for name in first))
        state = first if loop.state is None else loop.state
        while len(state["pairs"]) < flipping.n_flips:
            state = self._round(flipping, graph, outer, state)
            flipping.progress.step(len(state["pairs"]), flipping.n_flips, surrogate_loss=float(state["trace"][-1]))
            loop.keep(partial(dict, state))
        rows, columns = state["pairs"].T.numpy()
        trace = {"LogLoss": state["trace"].numpy()}
        values = _opposite(graph, rows, columns)
        return EdgeFlips(rows, columns, values, 0, per_step=self.edges_per_step, trace=trace)

    def _round(
        self, flipping: Flipping, graph: NodeGraph, outer: Judged, state: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """One meta-gradient, and the pairs it says to flip."""
        rows, columns = state["pairs"].T.numpy()
        now, number = graph.with_flips(rows, columns, _opposite(graph, rows, columns)), len(state["trace"])
        start = self._weights(graph, flipping.seeds, number, flipping.device)
        surrogate = LinearGCN(now.adjacency, now.features, flipping.device)
        slopes, after = surrogate.meta_gradient(start, _labelled(graph, flipping.device), outer, self._rule)
        count = min(self.edges_per_step, flipping.n_flips - len(state["pairs"]))
        best = self._best(slopes, now, state["pairs"].to(flipping.device, non_blocking=True), count)
        # one wait for all; numbers of nodes are exact
        *places, loss, finite = torch.cat([best.flatten(), torch.stack([after, slopes.isfinite().all()])]).tolist()
        if not (math.isfinite(loss) and finite):
            raise UserError(
                f"the meta-gradient of step {number + 1} is not finite: lower attack.learning_rate "
                f"(now {self.learning_rate:g})"
            )
        pairs = torch.tensor(places, dtype=torch.int64).view(-1, 2)
        trace = torch.cat([state["trace"], torch.tensor([loss], dtype=torch.float64)])
        return {"pairs": torch.cat([state["pairs"], pairs]), "trace": trace}

    @property
    def _rule(self) -> Momentum:
        return Momentum(self.steps, self.learning_rate, self.momentum)

    def _weights(self, graph: NodeGraph, seeds: Seeds, number: int, device: torch.device) -> Weights:
        """Initial values by Glorot and Bengio's uniform rule, for flip step ``number``."""
        drawn = number if self.initialisation == "redrawn" else 0
        sizes = (graph.features.shape[1], self.hidden, graph.n_classes)
        layers = (
            glorot(seeds.numpy("weights", drawn, layer), shape).to(device, non_blocking=True)
            for layer, shape in enumerate(pairwise(sizes))
        )
        return Weights(*layers)

    def _outer(self, graph: NodeGraph, seeds: Seeds, device: torch.device) -> Judged:
        """The nodes whose loss is raised, with their classes as the attacker has them."""
        known = _labelled(graph, device)
        if self.variant == "meta_train":
            return known
        surrogate = LinearGCN(graph.adjacency, graph.features, device)
        weights = surrogate.training(self._weights(graph, seeds, 0, device), known, self._rule)[-1]
        others = torch.ones(graph.n_nodes, dtype=torch.bool, device=device)
        others[known.nodes] = False
        nodes = others.nonzero().flatten()
        return Judged(nodes, surrogate.logits(weights)[nodes].argmax(dim=1))

    def _best(self, slopes: Tensor, graph: NodeGraph, flipped: Tensor, count: int) -> Tensor:
        """``(count, 2)`` pairs of the highest score, the lower node first; equal ones by their number."""
        n, adjacency = graph.n_nodes, graph.adjacency.tocoo()
        keys = adjacency.row.astype(np.int64) * n + adjacency.col
        scores = slopes.flatten().clone()
        edges = torch.from_numpy(keys).to(slopes.device, non_blocking=True)
        scores[edges] *= -1
        if self.keep_connected:
            degrees = np.bincount(adjacency.row, minlength=n)
            last = keys[(degrees[adjacency.row] < 2) | (degrees[adjacency.col] < 2)]
            scores.index_fill_(0, torch.from_numpy(last).to(slopes.device, non_blocking=True), -math.inf)
        scores.index_fill_(0, flipped[:, 0] * n + flipped[:, 1], -math.inf)
        lower = torch.ones(n, n, dtype=torch.bool, device=slopes.device).tril()
        chosen = highest(scores.masked_fill_(lower.flatten(), -math.inf), count)
        return torch.stack([chosen // n, chosen % n], dim=1)


def highest(scores: Tensor, count: int) -> Tensor:
    """``(count,)`` places of the highest of ``scores``, in their order; equal ones by their place."""
    least = scores.topk(count).values[-1]
    above, ties = scores > least, scores == least
    chosen = above | (ties & (ties.cumsum(0) <= count - above.sum()))
    rank = torch.where(chosen, chosen.cumsum(0) - 1, count)  # the others share a place that is left out
    places = rank.new_zeros(count + 1).scatter_(0, rank, torch.arange(len(scores), device=scores.device))[:count]
    return places[scores[places].argsort(descending=True, stable=True)]


def _labelled(graph: NodeGraph, device: torch.device) -> Judged:
    if graph.labelled is None:
        raise UserError("the graph has no labelled nodes: let the evaluation divide it first")
    columns = (torch.from_numpy(x) for x in (graph.labelled, graph.labels[graph.labelled]))
    return Judged(*(column.to(device, non_blocking=True) for column in columns))


def _opposite(graph: NodeGraph, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What flipped pairs become."""
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    return 1 - np.asarray(graph.adjacency[rows, columns]).ravel().astype(np.int64)
