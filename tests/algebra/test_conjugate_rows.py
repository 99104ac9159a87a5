"""Steps of conjugate gradients against dense algebra: the exact solution, and the kernel against the batches."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.algebra.conjugate_rows import STEPS, ConjugateRows
from recpoison.algebra.normal_equations import group_rows, solve_rows

CPU = torch.device("cpu")
BOTH = pytest.mark.parametrize("in_batches", [False, True], ids=["kernel", "batches"])


def observed(n_rows: int, n_columns: int, seed: int = 0) -> sp.csr_matrix:
    """Rows of 0 to many entries; the first has none."""
    rng = np.random.default_rng(seed)
    dense = rng.random((n_rows, n_columns)) < np.linspace(0, 0.9, n_rows)[:, None]
    return sp.csr_matrix(dense.astype(np.float32))


def dense_steps(x: np.ndarray, left: np.ndarray, right: np.ndarray, steps: int) -> np.ndarray:
    """Hestenes and Stiefel (1952), in double precision."""
    residual = right - left @ x
    direction = residual.copy()
    for _ in range(steps):
        length = residual @ residual / (direction @ left @ direction)
        x = x + length * direction
        after = residual - length * left @ direction
        direction = after + (after @ after) / (residual @ residual) * direction
        residual = after
    return x


@BOTH
@pytest.mark.parametrize("size", [5, 16])
def test_three_steps_are_the_textbooks(in_batches, size):
    matrix, rng = observed(12, 30), np.random.default_rng(1)
    rows, factors = rng.normal(size=(12, size)), rng.normal(size=(30, size))
    found = ConjugateRows(matrix, CPU, in_batches).improved(
        torch.from_numpy(rows).float(), torch.from_numpy(factors).float(), 6.0, 0.5
    )
    for row in range(1, 12):
        of_row = factors[matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]]
        left = factors.T @ factors + 5 * of_row.T @ of_row + 0.5 * np.eye(size)
        want = dense_steps(rows[row], left, 6 * of_row.sum(0), STEPS)
        np.testing.assert_allclose(found[row].numpy(), want, rtol=2e-4, atol=2e-5)
    assert found[0].tolist() == [0] * size


@BOTH
def test_as_many_steps_as_factors_solve(in_batches):
    """In three dimensions three steps end at the solution; begun there they stay, and nothing given is changed."""
    matrix, rng = observed(9, 14, seed=2), np.random.default_rng(3)
    factors = torch.from_numpy(rng.normal(size=(14, 3))).float()
    exact = solve_rows(factors, group_rows(matrix, CPU), 9, 4.0, 1.0)
    rows = ConjugateRows(matrix, CPU, in_batches)
    begun = torch.zeros(9, 3)
    found = rows.improved(begun, factors, 4.0, 1.0)
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(rows.improved(exact, factors, 4.0, 1.0), exact, rtol=1e-3, atol=1e-4)
    assert not begun.any()


@BOTH
def test_a_row_that_is_solved_stays_a_number(in_batches):
    """With all factors 0 the residual is 0 at once, and a step would divide 0 by 0."""
    found = ConjugateRows(observed(4, 6), CPU, in_batches).improved(torch.zeros(4, 8), torch.zeros(6, 8), 2.0, 1.0)
    assert torch.equal(found, torch.zeros(4, 8))
