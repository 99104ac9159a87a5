"""Noise: every row has the asked length, in a direction that chance draws."""

import numpy as np
import pytest
import torch

from recpoison.attacks.embeddings.noise import Noise
from recpoison.errors import ConfigError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

NOBODY = np.zeros(0, dtype=np.int64)


def tables(attack, victim, seed=0):
    return attack.perturb(victim, NOBODY, Seeds(seed), Progress()).tables


@pytest.mark.parametrize("distribution", ["gaussian", "uniform"])
@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_every_row_is_epsilon_long(victim, distribution, epsilon):
    for table in tables(Noise(epsilon=epsilon, distribution=distribution), victim).values():
        assert table.double().norm(dim=1).tolist() == pytest.approx([epsilon] * len(table), rel=1e-6)


def test_directions_favour_no_axis_and_no_sign(victim):
    """Of 400 seeds x 81 rows of 8 numbers, a number's mean is 0 and its mean square 1/8 (standard error 0.0007)."""
    rows = torch.cat([torch.cat(list(tables(Noise(epsilon=1.0), victim, seed).values())) for seed in range(400)])
    assert rows.mean(0).abs().max() < 5 * (1 / 8 / len(rows)) ** 0.5
    assert (rows.square().mean(0) - 1 / 8).abs().max() < 0.005


def test_uniform_noise_prefers_corners(victim):
    """Mean fourth power of a number of a row of length 1: larger where directions are equally likely."""
    fourth = {}
    for kind in ("gaussian", "uniform"):
        attack = Noise(epsilon=1.0, distribution=kind)
        rows = torch.cat([tables(attack, victim, seed)["item"] for seed in range(100)])
        fourth[kind] = float(rows.pow(4).mean())
    assert fourth["gaussian"] == pytest.approx(3 / (8 * 10), rel=0.05)  # 3 / (n (n + 2)) on the sphere
    assert fourth["uniform"] < 0.85 * fourth["gaussian"]


def test_an_unknown_distribution_is_refused():
    with pytest.raises(ConfigError, match=r"attack\.distribution is 'cauchy': choose one of gaussian, uniform"):
        Noise(distribution="cauchy")
