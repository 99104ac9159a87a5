"""Initial tables: the distribution, and rows that stay when more follow."""

import math

import numpy as np
import pytest
import torch

from recpoison.training.initial_values import normal, truncated_normal, xavier


def test_truncated_normal_is_cut_at_two_deviations():
    """The standard deviation of N(0, 1) cut at ±2 is sqrt(1 - 2·2φ(2)/(2Φ(2)-1)) = 0.8796."""
    table = truncated_normal(np.random.default_rng(0), 4000, 64, 0.01)
    assert table.abs().max() <= 0.02
    assert table.abs().max() > 0.0199
    assert table.std().item() == pytest.approx(0.008796, rel=0.01)
    assert abs(table.mean().item()) < 5e-5


def test_normal_and_xavier_have_their_spread():
    assert normal(np.random.default_rng(0), 4000, 64, 0.1).std().item() == pytest.approx(0.1, rel=0.01)
    table = xavier(np.random.default_rng(0), 4000, 64, 32)
    assert table.abs().max().item() == pytest.approx(0.25, rel=1e-3)
    assert table.std().item() == pytest.approx(0.25 / math.sqrt(3), rel=0.01)


@pytest.mark.parametrize(
    "draw",
    [lambda g, n: truncated_normal(g, n, 8, 0.01), lambda g, n: normal(g, n, 8, 0.1), lambda g, n: xavier(g, n, 8, 30)],
)
def test_more_rows_leave_the_first_as_they_are(draw):
    few, many = draw(np.random.default_rng(5), 20), draw(np.random.default_rng(5), 27)
    assert torch.equal(few, many[:20])
    assert many.dtype == torch.float32
