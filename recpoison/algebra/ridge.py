"""Ridge regressions whose cells have weights, with exact gradients in the weights, the values and the factors.

Row r has cells with weights c_rk in [0, 1], values v_rk and factors x_k; what is not a cell has weight ``unrated`` and
value 0. With k_rk = unrated + (1 - unrated) c_rk its solution y_r is that of

    (G_r + sum over k of k_rk x_k x_k') y_r = g_r + sum over k of c_rk v_rk x_k,

where G_r and g_r hold a ridge and whatever else the row rests on. A weight of 1 is a rating that exists, 0 one that
does not, so the derivative in a weight says what a rating to come would do.
"""

from __future__ import annotations

from typing import Any

import scipy.sparse as sp
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recpoison.algebra.normal_equations import cholesky, group_rows

_CELLS = 1 << 22  # numbers gathered at once: 16 MiB


def rated_rows(matrix: sp.csr_matrix, factors: Tensor, unrated: float, ridge: float) -> tuple[Tensor, Tensor]:
    """The equations of rows with only full cells: left sides ``(n_rows, size, size)`` and right ``(n_rows, size)``.

    Args:
        matrix: ``(n_rows, n_columns)`` values; what it stores is a cell.
        factors: ``(n_columns, size)`` of the columns.
        unrated: Weight of what is not stored, whose value is 0.
        ridge: Added to the diagonal.
    """
    size = factors.shape[1]
    identity = torch.eye(size, dtype=factors.dtype, device=factors.device)
    lefts = (ridge * identity + unrated * (factors.T @ factors)).repeat(matrix.shape[0], 1, 1)
    padded = torch.cat([factors, factors.new_zeros(1, size)])
    for group in group_rows(matrix, factors.device):
        cells = padded.index_select(0, group.columns.flatten()).view(*group.columns.shape, size)
        lefts.index_add_(0, group.rows, cells.mT @ cells, alpha=1 - unrated)
    rights = torch.from_numpy(matrix @ factors.cpu().double().numpy()).to(factors)
    return lefts, rights


def weighted_rows(
    lefts: Tensor, rights: Tensor, factors: Tensor, weights: Tensor, values: Tensor, unrated: float = 0.0
) -> Tensor:
    """Solutions ``(n_rows, size)``; may be differentiated once, in ``factors``, ``weights`` and ``values``.

    Backwards, z_r solves the row's equations for the gradient in y_r; then the gradient in a weight is (x.z) (v -
    (1 - unrated) x.y), that in a value c x.z, and that in x the sum over rows of (c v - k x.y) z - k (x.z) y.

    Args:
        lefts: ``(n_rows, size, size)`` or, the same for all, ``(1, size, size)``: G, positive definite.
        rights: ``(n_rows, size)`` or ``(1, size)``: g.
        factors: ``(n_columns, size)``.
        weights: ``(n_rows, n_columns)``.
        values: ``(n_rows, n_columns)``.
        unrated: Weight of what is not a cell.

    Raises:
        torch.linalg.LinAlgError: If an equation has no solution, on a CPU; see ``cholesky``.
    """
    solved: Tensor = _WeightedRows.apply(lefts, rights, factors, weights, values, unrated)
    return solved


class _WeightedRows(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, lefts: Tensor, rights: Tensor, factors: Tensor, weights: Tensor, values: Tensor, unrated: float
    ) -> Tensor:
        roots = _roots(lefts, factors, unrated + (1 - unrated) * weights)
        solved = _solve(roots, rights + (weights * values) @ factors)
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(roots, factors, weights, values, solved)
            ctx.unrated = unrated
        return solved

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        roots, factors, weights, values, solved = ctx.saved_tensors
        carried = _solve(roots, grad)
        pull, scores = carried @ factors.T, solved @ factors.T
        in_weights = pull * (values - (1 - ctx.unrated) * scores)
        shares = ctx.unrated + (1 - ctx.unrated) * weights
        in_factors = (weights * values - shares * scores).T @ carried - (shares * pull).T @ solved
        return None, None, in_factors, in_weights, weights * pull, None


def _roots(lefts: Tensor, factors: Tensor, shares: Tensor) -> Tensor:
    """Cholesky roots ``(n_rows, size, size)`` of the left sides, a block of rows at a time."""
    roots = factors.new_empty(len(shares), factors.shape[1], factors.shape[1])
    block = max(1, _CELLS // max(1, factors.numel(), lefts[0].numel()))
    for start in range(0, len(shares), block):
        rows = slice(start, start + block)
        own = (shares[rows].unsqueeze(1) * factors.T) @ factors  # (block, size, columns) times (columns, size)
        own += lefts if len(lefts) == 1 else lefts[rows]
        roots[rows] = cholesky(own)
    return roots


def _solve(roots: Tensor, rights: Tensor) -> Tensor:
    return torch.cholesky_solve(rights.unsqueeze(2), roots).squeeze(2)
