"""Conjugate gradient and LiSSA against the exact inverse."""

import numpy as np
import pytest
import torch
from small_curvature import KINDS, direction, matrix, problem

from recpoison.algebra.inverse_products import NotSolved, conjugate_gradient, lissa


def damped(curvature, blocks):
    """A damping of 0.05 above minus the smallest eigenvalue, and the exact inverse at it, times a vector."""
    lowest = torch.linalg.eigvalsh(matrix(problem(curvature, blocks)))[0].item()
    here = problem(curvature, blocks, max(0.0, -lowest) + 0.05)
    b = direction(2)
    return here, b, torch.linalg.solve(matrix(here), b.flatten()).view_as(b)


@pytest.mark.parametrize(("curvature", "blocks"), KINDS)
def test_conjugate_gradient_is_the_inverse(curvature, blocks):
    here, b, exact = damped(curvature, blocks)
    found = conjugate_gradient(here.product, b, 1e-10, 1000)
    assert (found.x - exact).norm() < 1e-8 * exact.norm()
    assert found.residual <= 1e-10
    assert found.iterations <= b.numel() + 20


@pytest.mark.parametrize(("curvature", "blocks"), KINDS)
def test_full_batch_lissa_is_the_inverse(curvature, blocks):
    here, b, exact = damped(curvature, blocks)
    scale = torch.linalg.eigvalsh(matrix(here))[-1].item()
    found = lissa(lambda v, _: here.product(v), b, scale, 2000)
    assert (found - exact).norm() < 1e-3 * exact.norm()


@pytest.mark.slow
def test_lissa_of_batches_comes_near_the_inverse():
    here, b, exact = damped("gauss_newton", "full")
    rng = np.random.default_rng(0)

    def product(v, number):
        return here.product(v, torch.from_numpy(rng.choice(len(here), 20, replace=False)))

    # a step shrinks the noise of batches by the scale: with 50 times the largest eigenvalue little is left
    scale = 50 * torch.linalg.eigvalsh(matrix(here))[-1].item()
    assert (lissa(product, b, scale, 40_000) - exact).norm() < 0.05 * exact.norm()


def test_lissa_by_hand():
    """A = 1/2, scale 1: x goes 1, 3/2, 7/4."""
    assert lissa(lambda v, _: v / 2, torch.ones(1), 1.0, 2).item() == 1.75
    assert lissa(lambda v, _: v / 2, torch.ones(1), 2.0, 1).item() == (1 + 1 - 1 / 4) / 2


def test_no_iterations_and_nothing_to_solve():
    assert lissa(lambda v, _: v, torch.ones(2), 4.0, 0).tolist() == [0.25, 0.25]
    assert conjugate_gradient(lambda v: v, torch.zeros(2), 1e-3, 10) == (pytest.approx(torch.zeros(2)), 0.0, 0)


def test_what_is_left_is_told():
    here, b, _ = damped("hessian", "full")
    found = conjugate_gradient(here.product, b, 1e-10, 3)
    assert found.iterations == 3
    assert found.residual == pytest.approx(((b - here.product(found.x)).norm() / b.norm()).item(), rel=1e-6)


def test_negative_curvature_is_refused_and_names_the_damping():
    with pytest.raises(NotSolved, match=r"negative .*: raise attack\.damping by more") as caught:
        conjugate_gradient(problem().product, direction(2), 1e-10, 1000, "attack.damping")
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(("slope", "scale"), [(3.0, 1.0), (-0.1, 1.0)])
def test_divergence_is_refused_and_names_scale_and_damping(slope, scale):
    """An eigenvalue above twice the scale, and a negative one."""
    with pytest.raises(NotSolved, match=r"LiSSA diverges .*: raise s\.scale, now 1, .* or s\.damping"):
        lissa(lambda v, _: slope * v, torch.ones(3), scale, 1000, ("s.scale", "s.damping"))


def test_numbers_that_are_none_are_no_solution():
    with pytest.raises(NotSolved, match="LiSSA diverges"):
        lissa(lambda v, _: v * float("nan"), torch.ones(3), 1.0, 5)
    with pytest.raises(NotSolved):
        conjugate_gradient(lambda v: v * float("nan"), torch.ones(3), 1e-3, 5)
