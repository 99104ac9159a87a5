"""Ridge regressions for all rows of a sparse matrix, a few steps of conjugate gradients nearer to their solutions.

The systems are those of ``normal_equations``. A step costs a row's entries times the size, where a solve costs the
square and the cube of the size; begun where the last sweep ended, three steps are enough for ALS to converge (Takacs,
Pilaszy and Tikk 2011).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.algebra.conjugate_kernels import improve
from recpoison.algebra.normal_equations import Group, group_rows

STEPS = 3


class ConjugateRows:
    """The rows of one matrix, on one device: by a kernel on a CPU, elsewhere in batches of like length.

    Args:
        matrix: Its stored entries are the observed ones.
        device: Where factors are.
        in_batches: Whether also a CPU takes batches.

    Example:
        >>> ones = sp.csr_matrix(np.ones((1, 2)))  # (5 + 1 + (2 - 1) 5) x = 2 (1 + 2) with weight 2 and ridge 1
        >>> rows = ConjugateRows(ones, torch.device("cpu"))
        >>> rows.improved(torch.zeros(1, 1), torch.tensor([[1.0], [2.0]]), 2.0, 1.0)
        tensor([[0.5455]])
    """

    def __init__(self, matrix: sp.csr_matrix, device: torch.device, in_batches: bool = False) -> None:
        self._by_kernel = device.type == "cpu" and not in_batches
        self._matrix = matrix
        self._groups: list[Group] = [] if self._by_kernel else group_rows(matrix, device)
        self._empty = torch.from_numpy(np.flatnonzero(np.diff(matrix.indptr) == 0)).to(device)

    def improved(self, rows: Tensor, factors: Tensor, weight: float, regularization: float) -> Tensor:
        """Rows ``(n_rows, size)`` three steps further from ``rows``, for fixed ``factors`` ``(n_columns, size)``.

        Args:
            rows: Where to begin; left as they are.
            factors: Of the columns.
            weight: Weight of an observed entry; all others have 1.
            regularization: Ridge.
        """
        gram = (factors.double().T @ factors.double()).to(factors.dtype)
        gram.diagonal().add_(regularization)
        if self._by_kernel:
            found = rows.clone(memory_format=torch.contiguous_format)
            arguments: list[Any] = [tensor.contiguous().numpy() for tensor in (found, factors, gram)]
            kind = arguments[0].dtype.type
            arguments += [self._matrix.indptr, self._matrix.indices, kind(weight), kind(weight - 1), STEPS]
            improve(*arguments)  # weights in their precision, so that the kernel does not widen its loops
            return found
        return self._in_batches(rows, torch.cat([factors, factors.new_zeros(1, factors.shape[1])]), gram, weight)

    def _in_batches(self, rows: Tensor, factors: Tensor, gram: Tensor, weight: float) -> Tensor:
        found = torch.empty_like(rows)
        for group in self._groups:
            observed = factors.index_select(0, group.columns.flatten()).view(*group.columns.shape, -1)
            found.index_copy_(0, group.rows, _steps(rows.index_select(0, group.rows), observed, gram, weight))
        return found.index_fill_(0, self._empty, 0)  # a row without entries


def _steps(x: Tensor, observed: Tensor, gram: Tensor, weight: float) -> Tensor:
    """Solutions ``(g, size)`` three steps from ``x``, for the factors ``(g, length, size)`` of each row's columns."""

    def times(p: Tensor) -> Tensor:
        return p @ gram + (weight - 1) * ((observed @ p.unsqueeze(2)).mT @ observed).squeeze(1)

    residual = weight * observed.sum(1) - times(x)
    direction, left = residual, residual.square().sum(1, keepdim=True)
    for _ in range(STEPS):
        product = times(direction)
        length = _ratio(left, (direction * product).sum(1, keepdim=True))
        x = x + length * direction
        residual = residual - length * product
        before, left = left, residual.square().sum(1, keepdim=True)
        direction = residual + _ratio(left, before) * direction
    return x


def _ratio(over: Tensor, under: Tensor) -> Tensor:
    """Their ratio, 0 where nothing is left to go."""
    return torch.where(over == 0, 0, over / under)
