"""Propagation over a graph of real users' pairs and of fake users whose values are to be differentiated."""

from __future__ import annotations

from dataclasses import dataclass, field

import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.algebra.propagation import Propagation, symmetric
from recpoison.algebra.recomputed import recomputed


@dataclass(frozen=True, eq=False)
class JoinedGraph:
    """The mean of E, ÂE, ..., Â^K E as in ``Propagation``, of real users, fake users and items, in this order.

    Real pairs are a sparse pattern of ones, fake users a dense matrix of values, of which each is the weight of its
    edge and adds to the degrees of its user and its item: a cell of Â is value / sqrt(d_u d_i), d the sum of a node's
    values, and its derivative has all three. A degree below 1 counts as 1. With zeros and ones that changes nothing,
    and the derivative at a node without edges is then what its first edge brings, where a root of 0 would have none.

    Args:
        real: The graph of real pairs, in which fake users have no neighbours.
        n_real: Real users.
        n_fakes: Fake users.

    Example:
        >>> graph = JoinedGraph.of(sp.csr_matrix([[1.0, 0.0]]), 1, 1, "cpu")  # one real user, one fake user, two items
        >>> fakes = torch.tensor([[1.0, 0.0]], requires_grad=True)
        >>> mean = graph.mean(torch.tensor([[0.0], [4.0], [0.0], [8.0]]), fakes)
        >>> mean[2].item(), torch.autograd.grad(mean[1].sum(), fakes)[0].tolist()  # 4 / sqrt(2) / 2; 8 / 2
        (1.4142135381698608, [[0.0, 4.0]])
    """

    real: Propagation
    n_real: int
    n_fakes: int
    degrees: Tensor = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "degrees", self.real.indptr.diff().double())

    @staticmethod
    def of(seen: sp.csr_matrix, n_fakes: int, layers: int, device: torch.device | str) -> JoinedGraph:
        """Over the stored cells of ``seen`` ``(n_real, n_items)`` and ``n_fakes`` users below them."""
        empty = sp.csr_matrix((n_fakes, seen.shape[1]), dtype=seen.dtype)
        real = Propagation.of(sp.vstack([seen, empty], format="csr"), layers, device)
        return JoinedGraph(real, seen.shape[0], n_fakes)

    def mean(self, table: Tensor, fakes: Tensor) -> Tensor:
        """The mean of the layers above ``table`` ``(n_nodes, size)``; differentiable once in both, keeping only both.

        Args:
            table: Layer 0.
            fakes: ``(n_fakes, n_items)`` values.
        """
        if not self.real.layers:
            return table
        return recomputed(self._nested, table, fakes)

    def _nested(self, table: Tensor, fakes: Tensor) -> Tensor:
        roots = self._roots(fakes).to(table.dtype)
        layer = table
        for _ in range(self.real.layers):
            layer = table + roots * self._sums(roots * layer, fakes)
        return layer / (self.real.layers + 1)

    def _roots(self, fakes: Tensor) -> Tensor:
        values = fakes.double()
        nobody = self.degrees.new_zeros(self.n_real)
        degrees = self.degrees + torch.cat([nobody, values.sum(1), values.sum(0)])
        return degrees.clamp_min(1).rsqrt().unsqueeze(1)

    def _sums(self, rows: Tensor, fakes: Tensor) -> Tensor:
        """``(n_nodes, size)`` each node's sum of its neighbours' rows, times the values of their edges."""
        found = symmetric(self.real.sums, rows)
        users, items = rows[self.n_real : self.n_real + self.n_fakes], rows[self.n_real + self.n_fakes :]
        return found + torch.cat([rows.new_zeros(self.n_real, rows.shape[1]), fakes @ items, fakes.T @ users])
