"""Propagation over a bipartite graph, and the mean of its layers: a symmetric operator, so its own derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.algebra.current import current, on_triton

NEIGHBOURS, WARPS = 16, 1  # that a Triton program adds at once, and by how many warps: quickest or nearly on an H200
BLOCK = 1 << 11  # nodes whose rows stay in a processor's cache


@dataclass(frozen=True, eq=False)
class Propagation:
    """The mean of E, ÂE, ..., Â^K E, where Â is the normalised adjacency of users and items, users first.

    A cell of Â is 1 / sqrt(d_u d_i), with d the number of neighbours; there are no loops, and who has no neighbours
    receives nothing. The roots are taken out of the sums, so that the graph is indices alone. Layers are nested, E +
    Â(E + Â(E + ...)), so that no layer is kept beside the one being computed.

    Args:
        indptr: ``(n_nodes + 1,)`` int32, where each node's neighbours begin.
        indices: ``(2 * n_pairs,)`` int32, neighbours.
        layers: K.

    Example:
        >>> seen = sp.csr_matrix(np.array([[1.0, 1.0]]))  # one user, two items
        >>> Propagation.of(seen, 1, "cpu").mean(torch.tensor([[4.0], [2.0], [0.0]])).flatten().tolist()
        [2.7071068286895752, 2.4142136573791504, 1.4142135381698608]
    """

    indptr: Tensor
    indices: Tensor
    layers: int

    @staticmethod
    def of(seen: sp.csr_matrix, layers: int, device: torch.device | str) -> Propagation:
        """Over the stored cells of ``seen`` ``(n_users, n_items)``, whatever their values."""
        both = sp.block_array([[None, seen], [seen.T, None]], format="csr")
        both.sort_indices()
        indptr, indices = (torch.from_numpy(a.astype(np.int32)).to(device) for a in (both.indptr, both.indices))
        return Propagation(indptr, indices, layers)

    def mean(self, table: Tensor) -> Tensor:
        """The mean of the layers above ``table`` ``(n_nodes, size)``; may be differentiated any number of times."""
        if not self.layers:
            return table
        return symmetric(self.nested, table)

    @cached_property
    def roots(self) -> Tensor:
        """``(n_nodes, 1)`` float64: 1 / sqrt(number of neighbours), 0 for none."""
        degrees = self.indptr.diff().double().unsqueeze(1)
        return torch.where(degrees > 0, degrees.clamp_min(1).rsqrt(), 0.0)

    @cached_property
    def blocks(self) -> list[tuple[slice, Tensor, Tensor]]:
        """Nodes of a block, their neighbours, and where in these each node's begin; one block but on a CPU."""
        n_nodes = len(self.indptr) - 1
        size = BLOCK if self.indptr.device.type == "cpu" else max(1, n_nodes)
        found = []
        for start in range(0, n_nodes, size):
            here = slice(start, min(start + size, n_nodes))
            first, last = int(self.indptr[here.start]), int(self.indptr[here.stop])
            found.append((here, self.indices[first:last], self.indptr[here.start : here.stop + 1] - first))
        return found

    @cached_property
    def on_triton(self) -> bool:
        """Whether a Triton kernel adds neighbours."""
        return on_triton(self.indptr.device)

    @cached_property
    def order(self) -> Tensor:
        """Nodes, those with most neighbours first, ``(n_nodes,)`` int32."""
        return self.indptr.diff().argsort(descending=True, stable=True).int()

    def sums(self, table: Tensor) -> Tensor:
        """Each node's sum of its neighbours' rows of ``table``, neither weighted nor normalised; no gradient."""
        found, table = torch.empty_like(table), table.contiguous()
        for here, neighbours, starts in self.blocks:
            found[here] = F.embedding_bag(neighbours, table, starts, mode="sum", include_last_offset=True)
        return found

    def nested(self, table: Tensor) -> Tensor:
        """What ``mean`` gives, without a gradient and with one table beside the result."""
        above, below, table = torch.empty_like(table), torch.empty_like(table), table.contiguous()
        roots = self.roots.to(table.dtype)
        torch.mul(table, roots, out=below)
        spread = self.spread_by_triton if self.on_triton else self._spread
        for layer in range(1, self.layers + 1):
            spread(below, table, above, roots, layer == self.layers)
            above, below = below, above
        return below

    def _spread(self, below: Tensor, table: Tensor, above: Tensor, roots: Tensor, last: bool) -> None:
        """Write the layer ``above``: each node's row of ``table`` and the sum of its neighbours' rows ``below``."""
        for here, neighbours, starts in self.blocks:
            # a quarter of the time of torch's sparse product on a CPU
            sums = F.embedding_bag(neighbours, below, starts, mode="sum", include_last_offset=True)
            root = roots[here]
            torch.addcmul(table[here], sums, root, out=above[here])
            above[here].mul_(1 / (self.layers + 1) if last else root)

    def spread_by_triton(self, below: Tensor, table: Tensor, above: Tensor, roots: Tensor, last: bool) -> None:
        """The same by one kernel."""
        from triton import next_power_of_2

        from recpoison.algebra.propagation_kernel import spread

        nodes, size = table.shape
        tiles = {"LAST": last, "TILE": NEIGHBOURS, "WIDTH": next_power_of_2(size), "num_warps": WARPS}
        graph = (self.order, self.indptr, self.indices)
        with current(table.device):
            spread[(nodes,)](below, table, above, roots, *graph, size, self.layers, **tiles)


def symmetric(operator: Callable[[Tensor], Tensor], table: Tensor) -> Tensor:
    """``operator(table)`` of a symmetric linear operator, its own derivative; saves no tensor.

    Example:
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> torch.autograd.grad(symmetric(lambda rows: 2 * rows, x), x)
        (tensor([2.]),)
    """
    found: Tensor = _Symmetric.apply(table, operator)
    return found


class _Symmetric(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, operator: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.operator = operator
        return operator(table)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return symmetric(ctx.operator, grad), None
