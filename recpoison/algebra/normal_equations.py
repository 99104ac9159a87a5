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
        groups.append(Group(torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)))
        start = stop
    return groups


def normal_matrices(factors: Tensor, observed: Tensor, weight: float, regularization: float) -> Tensor:
    """Left sides ``(g, size, size)``.

    Args:
        factors: ``(n_columns, size)``.
        observed: ``(g, length, size)`` the factors of each row's observed columns, zeros where a row is shorter.
        weight: Weight of an observed entry.
        regularization: Ridge.
    """
    gram = factors.T @ factors + regularization * torch.eye(
        factors.shape[1], dtype=factors.dtype, device=factors.device
    )
    return torch.baddbmm(gram.expand(len(observed), -1, -1), observed.mT, observed, alpha=weight - 1)


def solve_rows(factors: Tensor, groups: list[Group], n_rows: int, weight: float, regularization: float) -> Tensor:
    """The best rows ``(n_rows, size)`` for fixed column ``factors`` ``(n_columns, size)``.

    Raises:
        torch.linalg.LinAlgError: If a left side is not positive definite, as without regularization it may be.
    """
    padded = torch.cat([factors, factors.new_zeros(1, factors.shape[1])])
    solved = factors.new_zeros(n_rows, factors.shape[1])
    for group in groups:
        observed = padded.index_select(0, group.columns.flatten()).view(*group.columns.shape, factors.shape[1])
        lower = torch.linalg.cholesky(normal_matrices(factors, observed, weight, regularization))
        right = weight * observed.sum(1, keepdim=True).mT
        solved.index_copy_(0, group.rows, torch.cholesky_solve(right, lower).squeeze(2))
    return solved
