"""How the loss of a linear two-layer GCN after training moves with each edge: the meta-gradient through all steps.

Logits are Z = S S X W1 W2, S the normalised adjacency (Zügner and Günnemann 2019). On the way back through a step, what
reaches S is a sum of products of thin factors; those of all steps stand side by side, so that the dense matrix is
formed once, by one product, and no step holds more than nodes times the hidden width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.algebra.propagation_products import Sparse, normalised


class Weights(NamedTuple):
    """The two layers: ``first`` ``(n_features, hidden)``, ``second`` ``(hidden, n_classes)``."""

    first: Tensor
    second: Tensor


class Judged(NamedTuple):
    """Nodes ``(n,)`` whose mean cross-entropy counts, and their classes ``(n,)``."""

    nodes: Tensor
    classes: Tensor


class Momentum(NamedTuple):
    """v <- momentum v + gradient, w <- w - learning_rate v, ``steps`` times from v = 0."""

    steps: int
    learning_rate: float
    momentum: float


class _Passed(NamedTuple):
    """What a forward pass computes: X W1, S X W1, S X W1 W2 and the logits."""

    xw: Tensor
    sxw: Tensor
    thin: Tensor
    logits: Tensor


class LinearGCN:
    """A graph's linear GCN: its training loss, its gradient, and the meta-gradient in the adjacency.

    Args:
        adjacency: ``(n_nodes, n_nodes)`` symmetric, ones, no self-loops.
        features: ``(n_nodes, n_features)``.
        device: Where tensors live.
        dtype: float32, or float64 for who compares.
    """

    def __init__(
        self,
        adjacency: sp.csr_matrix,
        features: sp.csr_matrix,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.adjacency, self.dtype, self.device = adjacency, dtype, device
        self.spread = Sparse.of(normalised(adjacency), device, dtype)
        self.features = Sparse.of(features, device, dtype)

    def logits(self, weights: Weights) -> Tensor:
        """``(n_nodes, n_classes)``."""
        return self._passed(weights).logits

    def _passed(self, weights: Weights) -> _Passed:
        xw = self.features.matrix @ weights.first
        sxw = self.spread.matrix @ xw
        thin = sxw @ weights.second
        return _Passed(xw, sxw, thin, self.spread.matrix @ thin)

    def gradient(self, weights: Weights, judged: Judged) -> tuple[float, Weights]:
        """The mean cross-entropy of ``judged`` and its gradient."""
        passed = self._passed(weights)
        return float(_loss(passed, judged)), self._backward(weights, passed, _errors(passed.logits, judged))[0]

    def _backward(self, weights: Weights, passed: _Passed, errors: Tensor) -> tuple[Weights, Tensor]:
        """Gradient of the weights, and of S X W1."""
        of_thin = self.spread.matrix @ errors
        of_sxw = of_thin @ weights.second.T
        first = self.features.transposed @ (self.spread.matrix @ of_sxw)
        return Weights(first, passed.sxw.T @ of_thin), of_sxw

    def training(self, weights: Weights, judged: Judged, rule: Momentum) -> list[Weights]:
        """``weights`` and what they are after each step of training on ``judged``."""
        kept, velocity = [weights], Weights(*map(torch.zeros_like, weights))
        for _ in range(rule.steps):
            passed = self._passed(kept[-1])
            slopes = self._backward(kept[-1], passed, _errors(passed.logits, judged))[0]
            velocity = Weights(*(rule.momentum * v + g for v, g in zip(velocity, slopes, strict=True)))
            kept.append(Weights(*(w - rule.learning_rate * v for w, v in zip(kept[-1], velocity, strict=True))))
        return kept

    def meta_gradient(
        self,
        weights: Weights,
        trained_on: Judged,
        outer: Judged,
        rule: Momentum,
    ) -> tuple[Tensor, Tensor]:
        """How the cross-entropy of ``outer`` after training moves with each pair of nodes, both directions at once.

        Args:
            weights: Initial ones.
            trained_on: Nodes that training sees.
            outer: Nodes of the loss that is differentiated.
            rule: How is trained.

        Returns:
            ``(n_nodes, n_nodes)`` symmetric, its diagonal without meaning, and the loss.
        """
        kept = self.training(weights, trained_on, rule)
        passed = self._passed(kept[-1])
        errors = _errors(passed.logits, outer)
        of_weights, of_sxw = self._backward(kept[-1], passed, errors)
        factors = _Factors(self.features)
        factors.add_logits(outer.nodes, errors[outer.nodes], passed.thin)
        factors.add_features(of_sxw, kept[-1].first)
        of_velocity = Weights(*map(torch.zeros_like, weights))
        for number in range(rule.steps - 1, -1, -1):
            # of the velocity of this step: what the weights after it say, and what the next velocity says
            along = Weights(
                *(rule.momentum * v - rule.learning_rate * w for v, w in zip(of_velocity, of_weights, strict=True))
            )
            of_velocity = along
            curved = self._looked_back(kept[number], along, trained_on, factors)
            of_weights = Weights(*(a + b for a, b in zip(of_weights, curved, strict=True)))
        return self._of_edges(factors.dense()), _loss(passed, outer)

    def _looked_back(self, weights: Weights, along: Weights, judged: Judged, factors: _Factors) -> Weights:
        """The Hessian of the training loss times ``along``; what S gets of the product goes into ``factors``."""
        spread = self.spread.matrix
        passed = self._passed(weights)
        errors = _errors(passed.logits, judged)
        t_xw = self.features.matrix @ along.first
        t_sxw = spread @ t_xw
        t_thin = t_sxw @ weights.second + passed.sxw @ along.second
        t_errors = _curved(passed.logits, spread @ t_thin, judged)
        of_t_thin, of_thin = spread @ errors, spread @ t_errors
        of_t_sxw = of_t_thin @ weights.second.T
        of_sxw = of_t_thin @ along.second.T + of_thin @ weights.second.T
        nodes = judged.nodes
        factors.add_logits(nodes, errors[nodes], t_thin)
        factors.add_logits(nodes, t_errors[nodes], passed.thin)
        factors.add_features(of_t_sxw, along.first)
        factors.add_features(of_sxw, weights.first)
        second = t_sxw.T @ of_t_thin + passed.sxw.T @ of_thin
        return Weights(self.features.transposed @ (spread @ of_sxw), second)

    def _of_edges(self, of_spread: Tensor) -> Tensor:
        """Through S_ij = a_ij (d_i d_j)^-1/2, a = A + I and d its row sums: of a pair, both of its entries changing."""
        both = of_spread + of_spread.T
        looped = (self.adjacency + sp.identity(self.adjacency.shape[0], format="csr")).tocoo()
        counts = np.bincount(looped.row, minlength=len(both))
        places = (torch.from_numpy(x.astype(np.int64)) for x in (looped.row, looped.col, counts))
        rows, columns, degrees = (x.to(both.device, non_blocking=True) for x in places)
        degrees = degrees.to(both.dtype)
        scale = degrees.rsqrt()
        sums = torch.zeros_like(degrees).index_add_(0, rows, both[rows, columns] * scale[columns])
        of_degrees = sums * scale**3 / -2
        return both * scale * scale.unsqueeze(1) + of_degrees + of_degrees.unsqueeze(1)


class _Factors:
    """Thin factors whose products add up to the gradient in S."""

    def __init__(self, features: Sparse) -> None:
        self.features = features
        self.rows: list[tuple[Tensor, Tensor, Tensor]] = []
        self.left: list[Tensor] = []
        self.right: list[Tensor] = []

    def add_logits(self, nodes: Tensor, left: Tensor, right: Tensor) -> None:
        """``left`` of ``nodes`` alone times the transposed ``right``."""
        self.rows.append((nodes, left, right))

    def add_features(self, left: Tensor, weights: Tensor) -> None:
        """``left`` times the transposed X ``weights``."""
        self.left.append(left)
        self.right.append(weights)

    def dense(self) -> Tensor:
        """Their sum ``(n_nodes, n_nodes)``: X is multiplied last, since it is sparse."""
        inner = torch.cat(self.right, dim=1) @ torch.cat(self.left, dim=1).T
        dense = (self.features.matrix @ inner).T.contiguous()
        grouped: dict[int, tuple[Tensor, list[Tensor], list[Tensor]]] = {}
        for nodes, left, right in self.rows:
            group = grouped.setdefault(id(nodes), (nodes, [], []))
            group[1].append(left)
            group[2].append(right)
        for nodes, lefts, rights in grouped.values():
            dense[nodes] += torch.cat(lefts, dim=1) @ torch.cat(rights, dim=1).T
        return dense


def _loss(passed: _Passed, judged: Judged) -> Tensor:
    return F.cross_entropy(passed.logits[judged.nodes], judged.classes)


def _errors(logits: Tensor, judged: Judged) -> Tensor:
    """Gradient of the mean cross-entropy in all logits."""
    nodes, classes = judged
    found = torch.zeros_like(logits)
    chosen = logits[nodes].softmax(dim=1)
    chosen[torch.arange(len(nodes), device=nodes.device), classes] -= 1
    found[nodes] = chosen / len(nodes)
    return found


def _curved(logits: Tensor, tangents: Tensor, judged: Judged) -> Tensor:
    """How ``_errors`` moves along ``tangents``."""
    found = torch.zeros_like(logits)
    shares, along = logits[judged.nodes].softmax(dim=1), tangents[judged.nodes]
    found[judged.nodes] = shares * (along - (shares * along).sum(dim=1, keepdim=True)) / len(judged.nodes)
    return found
