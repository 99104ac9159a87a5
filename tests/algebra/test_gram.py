"""The whole-matrix loss without the matrix equals the loss with it, in value, gradient and curvature."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.algebra.gram import (
    add_curvature_in_bulk,
    add_gradient_in_bulk,
    whole_matrix_gradient,
    whole_matrix_loss,
)
from recpoison.algebra.gram_kernels import add_observed_curvature, add_observed_gradient
from recpoison.algebra.observed import Observed, products_in_bulk

WEIGHT = 20.0


def problem(n=7, m=9, fakes=3, size=4, dtype=torch.float64, seed=0):
    rng = np.random.default_rng(seed)
    seen = rng.random((n, m)) < 0.3
    dense = torch.from_numpy(np.where(rng.random((fakes, m)) < 0.4, rng.random((fakes, m)), 0)).to(dtype)
    left, right = (torch.from_numpy(rng.standard_normal(s)).to(dtype) for s in ((n + fakes, size), (m, size)))
    return left, right, dense, seen, Observed.of(sp.csr_matrix(seen))


def reference(left, right, dense, seen, weight=WEIGHT):
    values = torch.cat([torch.from_numpy(seen).to(dense.dtype), dense])
    weights = torch.where(values > 0, weight, 1.0).detach()
    return (weights * (values - left @ right.T).square()).sum()


def test_hand_arithmetic():
    # One user who has the first of two items; scores 0.5 and 2: 20 (1 - 0.5)^2 + (0 - 2)^2 = 9.
    observed = Observed.of(sp.csr_matrix(np.array([[1.0, 0.0]])))
    left, right = torch.tensor([[1.0]]), torch.tensor([[0.5], [2.0]])
    assert whole_matrix_loss(left, right, observed, 20.0).item() == pytest.approx(9.0)
    g_left, g_right = whole_matrix_gradient(left, right, observed, 20.0)
    assert g_left.tolist() == [[pytest.approx(-40 * 0.5 * 0.5 + 2 * 2 * 2)]]
    assert g_right.tolist() == [[pytest.approx(-20.0)], [pytest.approx(4.0)]]


@pytest.mark.parametrize("fakes", [0, 3])
def test_equals_the_dense_form_in_value_gradient_and_curvature(fakes):
    left, right, dense, seen, observed = problem(fakes=fakes)
    inputs = [tensor.requires_grad_() for tensor in (left, right, dense)]
    ours = whole_matrix_loss(left, right, observed, WEIGHT, dense)
    theirs = reference(left, right, dense, seen)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(loss, inputs, create_graph=True) for loss in (ours, theirs)]
    generator = torch.Generator().manual_seed(1)
    directions = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in inputs]
    curvatures = [torch.autograd.grad(parts, inputs, directions) for parts in gradients]
    for sparse, whole in (gradients, curvatures):
        for a, b in zip(sparse, whole, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-11)


def test_pytorch_finds_no_fault():
    left, right, dense, _, observed = problem(4, 5, 2, 3)
    dense = dense + 0.1  # away from 0, where the weight jumps
    inputs = [tensor.requires_grad_() for tensor in (left, right, dense)]
    assert torch.autograd.gradcheck(lambda p, q, x: whole_matrix_loss(p, q, observed, WEIGHT, x), inputs)
    assert torch.autograd.gradgradcheck(lambda p, q, x: whole_matrix_loss(p, q, observed, WEIGHT, x), inputs)


def test_single_precision_stays_single():
    left, right, dense, seen, observed = problem(dtype=torch.float32)
    g_left, g_right = whole_matrix_gradient(left, right, observed, WEIGHT, dense)
    assert g_left.dtype == g_right.dtype == torch.float32
    wanted = torch.autograd.grad(
        reference(left.double().requires_grad_(), (q := right.double().requires_grad_()), dense.double(), seen), [q]
    )
    torch.testing.assert_close(g_right.double(), wanted[0], rtol=1e-5, atol=1e-4)


def test_all_cells_alike_when_the_weight_is_one():
    left, right, _, seen, observed = problem(fakes=0)
    plain = (torch.from_numpy(seen).double() - left @ right.T).square().sum()
    torch.testing.assert_close(whole_matrix_loss(left, right, observed, 1.0), plain)


def test_the_form_for_other_devices_agrees_with_the_kernels():
    left, right, _, _, observed = problem(30, 20, 0, 5)
    v_left, v_right = left.flip(0), right.flip(0)
    ours, kernels = ([torch.zeros_like(x) for x in (left, right, left, right)] for _ in range(2))
    add_gradient_in_bulk(left, right, observed, WEIGHT, *ours[:2])
    add_curvature_in_bulk(left, right, v_left, v_right, observed, WEIGHT, *ours[2:])
    pattern, numbers = (observed.indptr.numpy(), observed.indices.numpy()), (2 * (WEIGHT - 1), 2 * WEIGHT)
    arrays = [x.numpy() for x in (left, right, v_left, v_right)]
    add_observed_gradient(*arrays[:2], *pattern, *numbers, *(x.numpy() for x in kernels[:2]))
    add_observed_curvature(*arrays, *pattern, *numbers, *(x.numpy() for x in kernels[2:]))
    for a, b in zip(ours, kernels, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-11)


def test_taking_rows_keeps_their_cells():
    seen = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1]])
    taken = Observed.of(sp.csr_matrix(seen)).take(torch.tensor([2, 1, 0]))
    assert taken.indptr.tolist() == [0, 2, 2, 4]
    assert taken.indices.tolist() == [1, 2, 0, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_in_the_observed_cells_are_those_of_the_whole_matrix(dtype):
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, 3, generator=generator, dtype=dtype) for n in (5, 4))
    cells = torch.rand(5, 4, generator=generator) < 0.5
    rows, columns = cells.nonzero(as_tuple=True)
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), cells.sum(1).cumsum(0)])
    observed, expected = Observed(indptr, columns, 4), (left @ right.T)[rows, columns]
    for found in (observed.products(left, right), products_in_bulk(left, right, observed)):
        assert found.dtype == dtype
        torch.testing.assert_close(found, expected)
