"""BPR-MF: settings, initial values and the loss by hand."""

import math

import pytest
import torch

from recpoison.errors import ConfigError
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"embedding_size": 0}, "model.embedding_size is 0"),
        ({"regularization": -0.1}, "model.regularization is -0.1"),
        ({"regularization": float("nan")}, "model.regularization is nan"),
        ({"initial": "normal"}, "model.initial is 'normal': choose one of truncated_normal, xavier"),
        ({"initial_std": 0.0}, "model.initial_std is 0"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        BPRMF(**setting)


def test_loss_by_hand():
    """Margins (1·2 + 0·1) - (1·0 + 0·3) = 2 and (2·0 + 1·3) - (2·2 + 1·1) = -2; squared lengths 1+5+9 and 5+9+5."""
    params = {"user": torch.tensor([[1.0, 0], [2, 1]]), "item": torch.tensor([[2.0, 1], [0, 3]])}
    batch = (torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([1, 0]))
    want = math.log1p(math.exp(-2)) + math.log1p(math.exp(2))
    assert BPRMF(2).loss(params, batch).item() == pytest.approx(want, rel=1e-6)
    assert BPRMF(2, regularization=0.1).loss(params, batch).item() == pytest.approx(want + 0.05 * 34, rel=1e-6)


@pytest.mark.parametrize("initial", ["truncated_normal", "xavier"])
def test_initial_tables_are_two_streams(planted, seeds, initial):
    params = BPRMF(8, initial=initial).init(planted.train, seeds)
    assert params["user"].shape == (40, 8)
    assert params["item"].shape == (41, 8)
    assert not torch.equal(params["user"], params["item"][:40])


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_every_optimizer_lowers_the_loss(planted, seeds, optimizer):
    losses = []

    class Listener(Progress):
        def step(self, done, total, **figures):
            losses.append(figures["loss"])

    BPRMF(8, trainer=Trainer(20, 32, optimizer, 0.05)).fit(planted.train, seeds, torch.device("cpu"), Listener())
    assert losses[0] < math.log(2) + 0.01
    assert losses[-1] < 0.5 * losses[0]


def test_other_seeds_train_otherwise(planted):
    fits = [BPRMF(8, trainer=Trainer(2)).fit(planted.train, Seeds(s), torch.device("cpu"), Progress()) for s in (0, 1)]
    assert not torch.equal(fits[0]["user"], fits[1]["user"])
