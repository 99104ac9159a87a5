"""Noise as the adversary: what it shares with apr is tested there."""

from dataclasses import replace

import pytest
import torch

from recpoison.defenses.amf_random import AMFRandom
from recpoison.defenses.apr import APR
from recpoison.errors import ConfigError
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
BPR = BPRMF(8, trainer=Trainer(6, 64))


def fit(defense, data, seeds, model=BPR):
    return defense.fit(model, data, seeds, CPU, Progress()).params


def test_noise_is_drawn_from_the_seed_and_matters(planted):
    first, again, other = (fit(AMFRandom(), planted.train, Seeds(seed)) for seed in (0, 0, 1))
    assert torch.equal(first["user"], again["user"])
    assert not torch.equal(first["user"], other["user"])
    silent = fit(AMFRandom(epsilon=0.0), planted.train, Seeds(0))
    assert (first["user"] - silent["user"]).abs().max() > 1e-3


def test_without_length_noise_is_the_gradient_without_length(planted, seeds):
    want = fit(APR(epsilon=0.0), planted.train, seeds)
    for name, table in fit(AMFRandom(epsilon=0.0), planted.train, seeds).items():
        assert torch.equal(table, want[name])


def test_the_gradient_is_the_stronger_adversary(planted, seeds):
    """The same length along the gradient changes a fit more than along noise, and noise more than nothing."""
    settings = {"epsilon": 0.3, "from_epoch": 10, "restart_optimizer": False}
    model = replace(BPR, trainer=Trainer(20, 64))
    silent = fit(AMFRandom(**settings | {"epsilon": 0.0}), planted.train, seeds, model)
    moved = {
        kind.__name__: (fit(kind(**settings), planted.train, seeds, model)["item"] - silent["item"]).norm().item()
        for kind in (APR, AMFRandom)
    }
    assert moved["APR"] > 1.5 * moved["AMFRandom"] > 0, moved


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match=r"defense\.epsilon is -1"):
        AMFRandom(epsilon=-1.0)
