"""Which cells of a users x items matrix hold a one, as tensors: by row, and by column where a device wants that too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.algebra.gram_kernels import observed_products
from recpoison.algebra.propagation_products import csr_tensor

_CELLS = 1 << 20  # cells handled at once where there is no kernel


@dataclass(frozen=True, eq=False)
class Observed:
    """The ones of a sparse matrix.

    Args:
        indptr: ``(n_rows + 1,)`` int64, where each row's cells begin.
        indices: ``(n_cells,)`` int64, the column of each cell.
        n_columns: Number of columns.
    """

    indptr: Tensor
    indices: Tensor
    n_columns: int

    @staticmethod
    def of(matrix: sp.csr_matrix, device: torch.device | str = "cpu") -> Observed:
        """The stored cells of ``matrix`` (such as ``Interactions.seen``), whatever their values."""
        indptr, indices = (torch.from_numpy(a.astype(np.int64)) for a in (matrix.indptr, matrix.indices))
        return Observed(indptr.to(device), indices.to(device), int(matrix.shape[1]))

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.indptr) - 1

    @cached_property
    def counts(self) -> Tensor:
        """``(n_rows,)`` cells of each row."""
        return self.indptr.diff()

    @cached_property
    def begins(self) -> np.ndarray:
        """``indptr`` on the host, which asks the device for it once."""
        return self.indptr.cpu().numpy()

    @cached_property
    def rows(self) -> Tensor:
        """``(n_cells,)`` the row of each cell."""
        numbers = torch.arange(self.n_rows, device=self.indptr.device)
        return torch.repeat_interleave(numbers, self.counts, output_size=len(self.indices))

    def take(self, rows: Tensor, on_host: np.ndarray | None = None) -> Observed:
        """Only ``rows``, in that order.

        Args:
            rows: Which, ``(n,)``.
            on_host: The same on the host, which then knows how many cells there are without asking the device.
        """
        numbers = rows.cpu().numpy() if on_host is None else on_host
        n_cells = int((self.begins[numbers + 1] - self.begins[numbers]).sum())
        counts = self.counts[rows]
        indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        start = torch.repeat_interleave(self.indptr[rows] - indptr[:-1], counts, output_size=n_cells)
        cells = start + torch.arange(n_cells, device=start.device)
        return Observed(indptr, self.indices.index_select(0, cells), self.n_columns)

    @cached_property
    def transposed(self) -> tuple[Observed, Tensor]:
        """The same cells by column, rows ascending, and ``(n_cells,)`` the place of each here."""
        columns, order = torch.sort(self.indices, stable=True)
        indptr = torch.searchsorted(columns, torch.arange(self.n_columns + 1, device=columns.device))
        return Observed(indptr, self.rows.index_select(0, order), self.n_rows), order

    def times(self, values: Tensor, right: Tensor) -> Tensor:
        """``(n_rows, size)`` the product of the matrix with these ``values`` in its cells and ``right``."""
        return csr_tensor(self.indptr, self.indices, values, (self.n_rows, self.n_columns)) @ right

    def products(self, left: Tensor, right: Tensor) -> Tensor:
        """``(n_cells,)`` the product of ``left`` and the transpose of ``right``, in these cells only; no gradient."""
        if left.device.type == "cpu":
            found = torch.empty(len(self.indices), dtype=left.dtype)
            tensors = (left.detach(), right.detach(), self.indptr, self.indices, found)
            arrays = [tensor.contiguous().numpy() for tensor in tensors]
            observed_products(*arrays)
            return found
        return products_in_bulk(left, right, self)


def products_in_bulk(left: Tensor, right: Tensor, observed: Observed) -> Tensor:
    """What ``Observed.products`` does on a CPU, for any device."""
    cells = zip(observed.rows.split(_CELLS), observed.indices.split(_CELLS), strict=True)
    parts = [torch.einsum("ck,ck->c", left.index_select(0, u), right.index_select(0, i)) for u, i in cells]
    return torch.cat(parts) if parts else left.new_zeros(0)
