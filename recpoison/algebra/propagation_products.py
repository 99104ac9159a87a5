"""Products with a constant sparse matrix, differentiable in the dense factor, and a graph's normalised adjacency."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Sparse(NamedTuple):
    """A sparse matrix that does not learn, in both orders of its entries.

    Args:
        matrix: ``(n, m)`` CSR.
        transposed: ``(m, n)`` CSR.
        order: Numbers of the matrix's entries in the order of the transposed ones.
    """

    matrix: Tensor
    transposed: Tensor
    order: Tensor

    @staticmethod
    def of(matrix: sp.csr_matrix, device: torch.device, dtype: torch.dtype = torch.float32) -> Sparse:
        """``matrix`` on ``device``."""
        tidy = matrix.sorted_indices()
        numbers = sp.csr_matrix((np.arange(1, tidy.nnz + 1), tidy.indices, tidy.indptr), shape=tidy.shape)
        turned = numbers.T.tocsr()
        turned.sort_indices()
        order = torch.from_numpy(turned.data.astype(np.int64) - 1).to(device, non_blocking=True)
        values = torch.from_numpy(tidy.data).to(device, dtype, non_blocking=True)
        return Sparse(_csr(tidy, values), _csr(turned, values[order]), order)

    def with_values(self, values: Tensor) -> Sparse:
        """Other values in the same places."""
        return Sparse(_valued(self.matrix, values), _valued(self.transposed, values[self.order]), self.order)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """``(n, k)`` product with ``dense`` ``(m, k)``; its backward pass is the transposed product."""
        product: Tensor = _Product.apply(self, dense)
        return product


def _csr(pattern: sp.csr_matrix, values: Tensor) -> Tensor:
    places = (torch.from_numpy(x.astype(np.int64)) for x in (pattern.indptr, pattern.indices))
    rows, columns = (x.to(values.device, non_blocking=True) for x in places)
    return csr_tensor(rows, columns, values, pattern.shape)


def _valued(matrix: Tensor, values: Tensor) -> Tensor:
    return csr_tensor(matrix.crow_indices(), matrix.col_indices(), values, matrix.shape)


def csr_tensor(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Torch's CSR matrix of these row starts, columns and values, unchecked and without its warnings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse (CSR tensor support is in beta|invariant checks)")
        return torch.sparse_csr_tensor(rows, columns, values, shape, check_invariants=False)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sparse: Sparse, dense: Tensor) -> Tensor:
        ctx.sparse = sparse
        return sparse.matrix @ dense

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slopes: Tensor) -> tuple[None, Tensor]:
        return None, ctx.sparse.transposed @ slopes


def normalised(adjacency: sp.csr_matrix) -> sp.csr_matrix:
    """D^-1/2 (A + I) D^-1/2, D the row sums of A + I (Kipf and Welling 2017, section 2).

    Example:
        >>> normalised(sp.csr_matrix([[0.0, 1.0], [1.0, 0.0]])).toarray().tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    looped = (adjacency + sp.identity(adjacency.shape[0], format="csr")).astype(np.float64)
    scale = sp.diags(1 / np.sqrt(np.asarray(looped.sum(axis=1)).ravel()))
    return (scale @ looped @ scale).tocsr()
