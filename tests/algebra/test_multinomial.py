"""The softmax layer with gradients by hand against autograd on the whole matrix of scores."""

import pytest
import scipy.sparse as sp
import torch

from recpoison.algebra import multinomial
from recpoison.algebra.multinomial import multinomial_loss
from recpoison.algebra.observed import Observed


@pytest.mark.parametrize(("block", "cached"), [(100, 64), (7, 3), (1, 1), (5, 64)])
def test_loss_and_gradients_whatever_the_blocks(monkeypatch, block, cached):
    monkeypatch.setattr(multinomial, "CACHED_ROWS", cached)
    generator = torch.Generator().manual_seed(0)
    shapes = ((17, 4), (9, 4), (9,))
    leaves = [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]
    seen = (torch.rand(17, 9, generator=generator) < 0.4) & (torch.arange(17) != 6)[:, None]
    user_weights = torch.rand(17, generator=generator, dtype=torch.float64)
    observed = Observed.of(sp.csr_matrix(seen.numpy()))
    hidden, weight, bias = leaves
    ours = multinomial_loss(*leaves, observed, user_weights, block=block)
    dense = -(user_weights[:, None] * seen * torch.log_softmax(hidden @ weight.T + bias, 1)).sum()
    assert ours.item() == pytest.approx(dense.item(), rel=1e-13)
    for got, wanted in zip(*(torch.autograd.grad(3 * loss, leaves) for loss in (ours, dense)), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-11, atol=1e-12)


def test_bfloat16_over_several_blocks_rounds_and_no_more():
    generator = torch.Generator().manual_seed(0)
    leaves = [torch.randn(s, generator=generator).requires_grad_() for s in ((40, 8), (30, 8), (30,))]
    observed = Observed.of(sp.csr_matrix((torch.rand(40, 30, generator=generator) < 0.2).numpy()))
    losses = [multinomial_loss(*leaves, observed, torch.ones(40), p, 16) for p in ("float32", "bfloat16")]
    exact, rounded = (torch.autograd.grad(loss, leaves) for loss in losses)
    for got, wanted in zip(rounded, exact, strict=True):
        assert 0 < (got - wanted).norm() < 0.01 * wanted.norm()
