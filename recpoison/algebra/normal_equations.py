"""Ridge regressions for all rows of a sparse matrix at once: the half sweep of alternating least squares.

With weight w on a row's observed columns (target 1) and 1 on all others (target 0), row u solves
(Q'Q + (w - 1) Q_u'Q_u + regularization I) p_u = w Q_u'1,
where Q_u holds the factors of its observed columns (Hu, Koren and Volinsky 2008, equation 4). Rows of like length are
padded to one length and solved in one batched Cholesky: no loop over rows, never a dense matrix of rows x columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

GROUP_ROWS = 512
GROUP_ENTRIES = 65_536  # padded entries of a group: at 128 factors their gathered rows take 32 MB


@dataclass(frozen=True, eq=False)
class Group:
    """Rows of like length.

    Args:
        rows: ``(g,)`` row numbers.
        columns: ``(g, length)`` their observed columns; the number of columns, one past the last, where a row is
            shorter.
    """

    rows: Tensor
    columns: Tensor


def group_rows(matrix: sp.csr_matrix, device: torch.device) -> list[Group]:
    """The rows of ``matrix``, shortest first; a group holds at most ``GROUP_ENTRIES`` padded entries, or one row."""
    lengths = np.diff(matrix.indptr)
    order = np.argsort(lengths, kind="stable")
    groups, start = [], 0
    while start < len(order):
        sizes = np.arange(1, min(GROUP_ROWS, len(order) - start) + 1)
        fits = sizes * lengths[order[start : start + len(sizes)]] <= GROUP_ENTRIES
        stop = start + max(1, int(fits.sum()))
        rows = order[start:stop]
        place = np.arange(lengths[rows[-1]])
        inside = place < lengths[rows][:, None]
        columns = np.full(inside.shape, matrix.shape[1], dtype=np.int64)
        columns[inside] = matrix.indices[(matrix.indptr[rows][:, None] + place)[inside]]
        groups.append(Group(*(torch.from_numpy(x).to(device, non_blocking=True) for x in (rows, columns))))
        start = stop
    return groups


def solve_rows(
    factors: Tensor,
    groups: list[Group],
    n_rows: int,
    weight: float,
    regularization: float,
    right_sides: Tensor | None = None,
) -> Tensor:
    """The best rows ``(n_rows, size)`` for fixed column ``factors`` ``(n_columns, size)``.

    With L L' = Q'Q + regularization I and the columns' factors Z = Q L'^-1 all left sides are I + (weight - 1)
    Z_u'Z_u, and for a row of fewer entries than factors the smaller I + (weight - 1) Z_u Z_u' does (Woodbury).

    Args:
        factors: Of the columns.
        groups: Rows, as ``group_rows`` makes them.
        n_rows: Rows of the result; those in no group are 0.
        weight: Weight of an observed entry.
        regularization: Ridge.
        right_sides: ``(n_rows, size)``: solve the same left sides for these instead.

    Raises:
        torch.linalg.LinAlgError: If Q'Q with the ridge is not positive definite, on a CPU; see ``cholesky``.
    """
    exact, identity = factors.double(), torch.eye(factors.shape[1], dtype=torch.float64, device=factors.device)
    root = cholesky(exact.T @ exact + regularization * identity)
    white = torch.cat([_whitened(root, exact), exact.new_zeros(1, len(root))]).to(factors.dtype)
    right = None if right_sides is None else _whitened(root, right_sides.double()).to(factors.dtype)
    solved = factors.new_zeros(n_rows, len(root))
    for group in groups:
        observed = white.index_select(0, group.columns.flatten()).view(*group.columns.shape, len(root))
        wanted = None if right is None else right.index_select(0, group.rows)
        solve = _solve_short if group.columns.shape[1] < len(root) else _solve_long
        solved.index_copy_(0, group.rows, solve(observed, weight, wanted))
    return torch.linalg.solve_triangular(root.T, solved.double().T, upper=True).T.to(factors.dtype).contiguous()


def _whitened(root: Tensor, rows: Tensor) -> Tensor:
    return torch.linalg.solve_triangular(root, rows.T, upper=False).T


def _solve_long(observed: Tensor, weight: float, right: Tensor | None) -> Tensor:
    """Solutions ``(g, size)`` for white factors ``(g, length, size)``, zeros where a row is shorter."""
    right = weight * observed.sum(1) if right is None else right
    return _solve_shifted(observed.mT @ observed, weight - 1, right)


def _solve_short(observed: Tensor, weight: float, right: Tensor | None) -> Tensor:
    """The same by systems of a row's length."""
    # with c = weight - 1: (I + c Z'Z)^-1 b = b - c Z'(I + c ZZ')^-1 Z b, and for b = w Z'1 just w Z'(I + c ZZ')^-1 1
    inner = observed.new_ones(observed.shape[:2]) if right is None else (observed @ right.unsqueeze(2)).squeeze(2)
    part = _solve_shifted(observed @ observed.mT, weight - 1, inner).unsqueeze(1) @ observed
    return weight * part.squeeze(1) if right is None else right - (weight - 1) * part.squeeze(1)


def _solve_shifted(grams: Tensor, scale: float, right: Tensor) -> Tensor:
    """Solutions of (I + scale gram) x = right, ``(g, n, n)`` and ``(g, n)``."""
    lefts = grams.mul_(scale)
    lefts.diagonal(dim1=1, dim2=2).add_(1)
    return torch.cholesky_solve(right.unsqueeze(2), cholesky(lefts)).squeeze(2)


def cholesky(lefts: Tensor) -> Tensor:
    """Roots of positive definite matrices ``(..., n, n)``; of one that is not, an error on a CPU.

    Elsewhere the host would wait to hear of it: its root is no number there, and so is what comes of it.
    """
    if lefts.device.type == "cpu":
        root: Tensor = torch.linalg.cholesky(lefts)
        return root
    root, failed = torch.linalg.cholesky_ex(lefts)
    return root.masked_fill(failed.bool()[..., None, None], torch.nan)
