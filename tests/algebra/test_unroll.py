"""Functional optimisers against torch's, and gradients through their steps against autograd's and differences."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.algebra.gram import whole_matrix_gradient
from recpoison.algebra.observed import Observed
from recpoison.algebra.unroll import SGD, Adam, adam_backward_in_bulk, unroll

WEIGHT, N, M, FAKES = 20.0, 8, 11, 3


def problem():
    rng = np.random.default_rng(0)
    seen = rng.random((N, M)) < 0.3
    x = torch.from_numpy((rng.random((FAKES, M)) < 0.4).astype(float))
    params = tuple(torch.from_numpy(0.3 * rng.standard_normal(shape)) for shape in ((N + FAKES, 4), (M, 4)))
    return params, x, seen


def sparse_gradient(seen):
    observed = Observed.of(sp.csr_matrix(seen))
    return lambda number, params, x: whole_matrix_gradient(*params, observed, WEIGHT, x)


def outer_loss(params):
    return torch.log_softmax(params[0][:N] @ params[1].T, dim=1)[:, 0].neg().sum()


def dense_reference(seen, params, x, steps, differentiable, rule):
    """The same training with the matrix and plain autograd: ``rule`` maps (number, tensors, gradients, memory)."""
    weights = torch.where(torch.cat([torch.from_numpy(seen).double(), x.detach()]) > 0, WEIGHT, 1.0)
    tensors, memory = tuple(p.clone().requires_grad_() for p in params), {}
    for number in range(steps):
        data = torch.cat([torch.from_numpy(seen).double(), x if number >= steps - differentiable else x.detach()])
        loss = (weights * (data - tensors[0] @ tensors[1].T).square()).sum()
        gradients = torch.autograd.grad(loss, tensors, create_graph=True)
        tensors = rule(number, tensors, gradients, memory)
        if number < steps - differentiable:
            tensors = tuple(t.detach().requires_grad_() for t in tensors)
            memory.update({key: value.detach() for key, value in memory.items()})
    return tensors


def plain_adam(rate, decay):
    def rule(number, tensors, gradients, memory):
        stepped = []
        for k, (p, g) in enumerate(zip(tensors, gradients, strict=True)):
            g = g + decay * p
            memory["m", k] = m = 0.9 * memory.get(("m", k), 0) + 0.1 * g
            memory["v", k] = v = 0.999 * memory.get(("v", k), 0) + 0.001 * g * g
            m, v = m / (1 - 0.9 ** (number + 1)), v / (1 - 0.999 ** (number + 1))
            stepped.append(p - rate * m / (v.sqrt() + 1e-8))
        return tuple(stepped)

    return rule


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Adam(0.05, weight_decay=0.1), lambda p: torch.optim.Adam(p, lr=0.05, weight_decay=0.1)),
        (SGD(0.001, 0.9, 0.1), lambda p: torch.optim.SGD(p, lr=0.001, momentum=0.9, weight_decay=0.1)),
        (SGD(0.001), lambda p: torch.optim.SGD(p, lr=0.001)),
    ],
)
def test_steps_equal_those_of_torch(ours, theirs):
    params, x, seen = problem()
    gradient = sparse_gradient(seen)
    stepped = unroll(ours, gradient, params, x, 6, 0)
    tensors = [p.clone().requires_grad_() for p in params]
    optimizer = theirs(tensors)
    for number in range(6):
        for tensor, part in zip(tensors, gradient(number, tuple(tensors), x), strict=True):
            tensor.grad = part.detach()
        optimizer.step()
    for a, b in zip(stepped, tensors, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("steps", "differentiable"), [(4, 4), (6, 3)])
def test_gradient_through_adam_equals_dense_autograd(steps, differentiable):
    params, x, seen = problem()
    x.requires_grad_()
    stepped = unroll(Adam(0.05, 0.1), sparse_gradient(seen), params, x, steps, differentiable)
    (ours,) = torch.autograd.grad(outer_loss(stepped), x)
    (theirs,) = torch.autograd.grad(
        outer_loss(dense_reference(seen, params, x, steps, differentiable, plain_adam(0.05, 0.1))), x
    )
    assert (ours - theirs).norm() < 1e-10 * theirs.norm()


def test_gradient_equals_finite_differences():
    # Only the value inside the square may move: the weight mask is held, as it is where x is differentiated.
    params, x, seen = problem()
    x = x.clamp(min=0.3)
    inner = sparse_gradient(seen)
    for optimizer in (Adam(0.05), SGD(0.002, 0.5)):
        x.requires_grad_()
        (ours,) = torch.autograd.grad(outer_loss(unroll(optimizer, inner, params, x, 5, 5)), x)
        x = x.detach()
        for cell in ((0, 0), (1, 7), (2, 10)):
            shifted = [x.clone(), x.clone()]
            shifted[0][cell] += 1e-5
            shifted[1][cell] -= 1e-5
            high, low = (outer_loss(unroll(optimizer, inner, params, y, 5, 0)) for y in shifted)
            assert ours[cell].item() == pytest.approx(((high - low) / 2e-5).item(), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("segment", [1, 2, 4, 100])
def test_running_again_gives_the_stored_gradient(segment):
    params, x, seen = problem()
    x.requires_grad_()
    gradients = []
    for length in (None, segment):
        stepped = unroll(Adam(0.05, 0.1), sparse_gradient(seen), params, x, 7, 5, length)
        gradients.append(torch.autograd.grad(outer_loss(stepped), x)[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-12)


def test_no_differentiable_step_leaves_no_path():
    params, x, seen = problem()
    stepped = unroll(Adam(0.05), sparse_gradient(seen), params, x.requires_grad_(), 3, 0)
    assert not any(p.requires_grad for p in stepped)


def test_an_entry_without_gradient_stays_finite_on_the_way_back():
    x = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (stepped,) = unroll(Adam(0.1), lambda number, params, y: (params[0] * y,), (torch.ones_like(x).detach(),), x, 2, 2)
    (gradient,) = torch.autograd.grad(stepped.sum(), x)
    assert gradient.isfinite().all()


def test_the_form_for_other_devices_agrees_with_the_kernel():
    generator = torch.Generator().manual_seed(0)
    p, m, g, d_p, d_m, d_v = torch.randn(6, 50, generator=generator, dtype=torch.float64)
    v, rule = m.square(), Adam(0.05, 0.1)
    inputs = [tensor.clone().requires_grad_() for tensor in (p, m, v, g)]
    p_out, m_out, v_out = rule.step(3, tuple(inputs[:3]), tuple(inputs[3:]))
    ours = torch.autograd.grad((p_out, m_out, v_out), inputs, (d_p, d_m, d_v))
    bulk = adam_backward_in_bulk(p, g, m_out, v_out, d_p, d_m, d_v, rule.constants(3))
    for a, b in zip(ours, bulk, strict=True):
        torch.testing.assert_close(a, b.detach())
