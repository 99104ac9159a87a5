"""The sum of log normalisers in blocks equals torch's over the whole matrix."""

import pytest
import torch

from recpoison.algebra.softmax import total_log_normalizer


@pytest.mark.parametrize("block", [1, 4, 100])
def test_value_and_gradient_equal_logsumexp(block):
    generator = torch.Generator().manual_seed(0)
    left, right = (3 * torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in (10, 13))
    left.requires_grad_()
    right.requires_grad_()
    ours = total_log_normalizer(left, right, block=block)
    theirs = torch.logsumexp(left @ right.T, dim=1).sum()
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours, [left, right]), torch.autograd.grad(theirs, [left, right]), strict=True):
        torch.testing.assert_close(a, b)


def test_large_scores_stay_finite_and_blocks_are_shown():
    seen = []
    left, right = torch.tensor([[1000.0], [2000.0], [-1000.0]]), torch.tensor([[1.0], [0.0]])
    total = total_log_normalizer(left, right, lambda users, scores: seen.append((users, scores.clone())), block=2)
    assert total.item() == 3000.0
    assert [(users.start, users.stop) for users, _ in seen] == [(0, 2), (2, 3)]
    assert seen[0][1].tolist() == [[1000.0, 0.0], [2000.0, 0.0]]
