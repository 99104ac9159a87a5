"""Factors of users against hand arithmetic, in their bounds and orders."""

import math

import pytest
import torch

from recpoison.errors import ConfigError
from recpoison.training.magnitudes import RULES, Magnitude

USERS = torch.tensor([0, 1, 1, 2])
VALUES = torch.zeros(3, 4, 2)
VALUES[0] = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 2.0], [3.0, 4.0]])  # lengths 1, 2, 2, 5
VALUES[1] = torch.tensor([[2.0, 0.0], [0.0, 0.5], [0.0, -0.5], [0.0, 0.0]])  # margins 2, 1, -1, 0


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_hand(rule: str) -> list[float]:
    a, b, c, d = (math.log1p(math.exp(-margin)) for margin in (2, 1, -1, 0))
    if rule == "loss":
        own = [a, b + c, b + c, d]
        ratios = [(a + b + c + d) / 3 / loss for loss in own]
    elif rule == "mean_loss":
        own = [a, (b + c) / 2, (b + c) / 2, d]
        ratios = [(a + (b + c) / 2 + d) / 3 / loss for loss in own]
    else:
        own = [1, 4, 4, 25] if rule == "square" else [1, 2, 2, 5]
        ratios = [x / (sum(own) / 4) for x in own]
    return [1.5 * sigmoid(ratio - 1) for ratio in ratios]


@pytest.mark.parametrize("rule", RULES)
def test_by_hand(rule):
    assert Magnitude(rule, 1.5).factors(USERS, VALUES, 5).tolist() == pytest.approx(by_hand(rule), rel=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_users_who_are_alike_have_half_and_others_stay_between(rule):
    alike = torch.ones(3, 6, 4)
    factors = Magnitude(rule).factors(torch.tensor([0, 0, 1, 1, 2, 2]), alike, 3)
    assert factors.tolist() == pytest.approx([1.0] * 6, abs=1e-6)
    drawn = Magnitude(rule).factors(torch.arange(400), torch.randn(3, 400, 4, generator=torch.manual_seed(0)), 400)
    assert 2 * sigmoid(-1) < drawn.min() < 0.7
    assert 1.5 < drawn.max() <= 2


def test_orders_are_those_of_the_papers():
    """VAT's follows minus the loss, PamaCF's the length."""
    values = torch.randn(3, 50, 4, generator=torch.manual_seed(1)) / 2  # far from where factors saturate
    margins = (values[0] * (values[1] - values[2])).sum(1)
    users = torch.arange(50)
    assert torch.equal(Magnitude("mean_loss").factors(users, values, 50).argsort(), margins.argsort())
    assert torch.equal(Magnitude("square").factors(users, values, 50).argsort(), values[0].norm(dim=1).argsort())


def test_ranges_are_checked():
    with pytest.raises(ConfigError, match=r"magnitude\.ceiling is 0: give a finite number above 0"):
        Magnitude("loss", 0.0)
    with pytest.raises(ConfigError, match=r"magnitude\.rule is 'luck': choose one of loss, mean_loss"):
        Magnitude("luck")
