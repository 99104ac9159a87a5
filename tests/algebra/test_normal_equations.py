"""Batched ridge solves against one dense solve for each row."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.algebra import normal_equations
from recpoison.algebra.normal_equations import group_rows, solve_rows

CPU = torch.device("cpu")


def rows_with_gaps(n_rows: int = 30, n_columns: int = 17) -> sp.csr_matrix:
    rng = np.random.default_rng(0)
    matrix = (rng.random((n_rows, n_columns)) < rng.random((n_rows, 1))).astype(np.float32)
    matrix[4] = 0
    matrix[9] = 1
    return sp.csr_matrix(matrix)


@pytest.mark.parametrize(("entries", "rows"), [(65_536, 512), (40, 512), (1, 512), (65_536, 4)])
def test_batched_equals_looped(monkeypatch, entries, rows):
    monkeypatch.setattr(normal_equations, "GROUP_ENTRIES", entries)
    monkeypatch.setattr(normal_equations, "GROUP_ROWS", rows)
    matrix, weight, ridge = rows_with_gaps(), 20.0, 0.3
    factors = torch.randn(17, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    others = torch.randn(30, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    groups = group_rows(matrix, CPU)
    got, got_others = (solve_rows(factors, groups, 30, weight, ridge, right) for right in (None, others))
    q = factors.numpy()
    for row, observed in enumerate(matrix.toarray()):
        confidence = np.diag(1 + (weight - 1) * observed)
        left = q.T @ confidence @ q + ridge * np.eye(6)
        np.testing.assert_allclose(got[row], np.linalg.solve(left, q.T @ confidence @ observed), atol=1e-12)
        np.testing.assert_allclose(got_others[row], np.linalg.solve(left, others[row]), atol=1e-12)


def test_groups_hold_every_row_once_within_the_limit():
    matrix = rows_with_gaps()
    groups = group_rows(matrix, CPU)
    assert torch.equal(torch.cat([g.rows for g in groups]).sort().values, torch.arange(30).to(groups[0].rows.dtype))
    entries = sum(int((g.columns < 17).sum()) for g in groups)
    assert entries == matrix.nnz


def test_one_number_by_hand():
    """One factor q = (1, 2), item 1 seen, weight 3, ridge 1: (1 + 3·4 + 1) p = 3·2, so p = 6/14."""
    factors = torch.tensor([[1.0], [2.0]])
    got = solve_rows(factors, group_rows(sp.csr_matrix([[0.0, 1.0]]), CPU), 1, 3.0, 1.0)
    assert got.item() == pytest.approx(6 / 14, rel=1e-6)


@pytest.mark.parametrize("length", [2, 40])
def test_float32_is_exact_although_factors_span_three_decades(length):
    """Short and long rows."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=generator))[0]
    factors = torch.randn(60, 16, generator=generator) @ torch.diag(torch.logspace(0, -3, 16)) @ turn
    matrix = sp.csr_matrix(np.arange(60) < np.full((3, 1), length), dtype=np.float32)
    groups = group_rows(matrix, CPU)
    exact = solve_rows(factors.double(), groups, 3, 20.0, 0.05)
    assert (solve_rows(factors, groups, 3, 20.0, 0.05) - exact).norm() < 2e-6 * exact.norm()
