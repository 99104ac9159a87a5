"""Ridge regressions with weighted cells: their solution by hand and a plain solve, their gradients by differences."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.algebra import ridge
from recpoison.algebra.ridge import rated_rows, weighted_rows

ROWS, COLUMNS, SIZE = 7, 5, 3


def tensors(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.random(shape)) for shape in shapes]


@pytest.fixture
def problem():
    lefts, rights, factors, weights, values = tensors(
        (ROWS, SIZE, SIZE), (ROWS, SIZE), (COLUMNS, SIZE), (ROWS, COLUMNS), (ROWS, COLUMNS)
    )
    return lefts @ lefts.mT + torch.eye(SIZE), rights, factors, weights, values


@pytest.mark.parametrize("unrated", [0.0, 0.3])
def test_a_row_is_the_solution_of_its_own_equation(problem, unrated):
    lefts, rights, factors, weights, values = problem
    solved = weighted_rows(lefts, rights, factors, weights, values, unrated)
    for row in range(ROWS):
        shares = unrated + (1 - unrated) * weights[row]
        left = lefts[row] + factors.T @ torch.diag(shares) @ factors
        right = rights[row] + factors.T @ (weights[row] * values[row])
        torch.testing.assert_close(solved[row], torch.linalg.solve(left, right))


@pytest.mark.parametrize("unrated", [0.0, 0.3])
@pytest.mark.parametrize("common", [False, True])
def test_gradients_equal_finite_differences(problem, unrated, common):
    lefts, rights, *moving = problem
    if common:
        lefts, rights = lefts[:1], rights[:1]
    moving = [x.requires_grad_() for x in moving]
    assert torch.autograd.gradcheck(lambda *x: weighted_rows(lefts, rights, *x, unrated), moving)


def test_blocks_of_rows_change_nothing(problem, monkeypatch):
    whole = weighted_rows(*problem)
    monkeypatch.setattr(ridge, "_CELLS", 1)
    torch.testing.assert_close(weighted_rows(*problem), whole)


def test_by_hand():
    """One factor of 2, ridge 1: a rating of 3 gives 2 * 3 / (1 + 4), half of it 3 / (1 + 2), and none gives 0."""
    lefts, rights, factors = torch.ones(1, 1, 1), torch.zeros(1, 1), torch.full((1, 1), 2.0)
    weights = torch.tensor([[1.0], [0.5], [0.0]])
    solved = weighted_rows(lefts, rights, factors, weights, torch.full((3, 1), 3.0))
    torch.testing.assert_close(solved, torch.tensor([[6 / 5], [1.0], [0.0]]))


@pytest.mark.parametrize("unrated", [0.0, 0.3])
def test_full_cells_of_a_sparse_matrix_are_cells_of_weight_1(unrated):
    factors, values = tensors((COLUMNS, SIZE), (ROWS, COLUMNS))
    cells = values > 0.4
    cells[2] = False  # a row without cells
    matrix = sp.csr_matrix((values * cells).numpy())
    lefts, rights = rated_rows(matrix, factors, unrated, ridge=0.7)
    found = torch.linalg.solve(lefts, rights)
    own = 0.7 * torch.eye(SIZE, dtype=torch.float64).unsqueeze(0)
    torch.testing.assert_close(
        found, weighted_rows(own, own.new_zeros(1, SIZE), factors, cells.double(), values, unrated)
    )
    torch.testing.assert_close(found[2], torch.zeros(SIZE, dtype=torch.float64))


def test_an_equation_without_a_solution_is_told():
    with pytest.raises(torch.linalg.LinAlgError):
        weighted_rows(-torch.ones(1, 1, 1), torch.zeros(1, 1), torch.ones(1, 1), torch.zeros(1, 1), torch.ones(1, 1))
