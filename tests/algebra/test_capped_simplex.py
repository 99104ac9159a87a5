"""The projection onto entries between 0 and 1 with a given sum: by hand, and against scipy's quadratic programme."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from recpoison.algebra.capped_simplex import onto_capped_simplex


def test_by_hand():
    rows = torch.tensor([[1.1, 0.7, 0.3, -0.1], [5.0, 0.5, 0.5, -9.0], [0.0, 0.0, 0.0, 0.0]])
    # less 0.2, cut at 0; one is full, and the rest is shared by equals; equals share all
    expected = torch.tensor([[0.9, 0.5, 0.1, 0.0], [1.0, 0.25, 0.25, 0.0], [0.375] * 4])
    torch.testing.assert_close(onto_capped_simplex(rows, 1.5), expected)


@pytest.mark.parametrize("total", [0, 1, 3, 6])
def test_the_nearest_point(total):
    rows = np.random.default_rng(1).normal(0, 2, (4, 6))
    found = onto_capped_simplex(torch.from_numpy(rows), total).numpy()
    for row, point in zip(rows, found, strict=True):
        nearest = minimize(
            lambda x, row=row: ((x - row) ** 2).sum(), np.full(6, total / 6), bounds=[(0, 1)] * 6, method="SLSQP",
            constraints={"type": "eq", "fun": lambda x: x.sum() - total}, options={"ftol": 1e-14, "maxiter": 1000},
        )  # fmt: skip
        np.testing.assert_allclose(point, nearest.x, atol=1e-6)


def test_what_is_minus_infinity_stays_out_even_when_all_else_is_full():
    rows = torch.tensor([[0.3, -torch.inf, -4.0]])
    assert onto_capped_simplex(rows, 2).tolist() == [[1.0, 0.0, 1.0]]
