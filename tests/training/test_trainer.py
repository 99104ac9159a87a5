"""The epoch loop: settings, continuing, the best epoch, divergence."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from recpoison.errors import ConfigError, UserError
from recpoison.models.base import Monitor
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.objectives import BPRObjective
from recpoison.training.trainer import Objective, Trainer, result

QUIET = Progress()


class Steps(Objective):
    """Adds 1 to its only number each epoch; the loss is given."""

    def __init__(self, losses=None):
        self.losses = losses or {}

    def epoch(self, trainer, state, epoch):
        state["param.x"] += 1
        return self.losses.get(epoch, 0.5)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"epochs": -1}, "model.trainer.epochs is -1"),
        ({"batch_size": 0}, "model.trainer.batch_size is 0"),
        ({"optimizer": "adagrd"}, "model.trainer.optimizer is 'adagrd': choose one of sgd, adagrad, adam"),
        ({"backend": "jax"}, "model.trainer.backend"),
        ({"learning_rate": 0.0}, "model.trainer.learning_rate is 0"),
        ({"learning_rate": float("nan")}, "model.trainer.learning_rate is nan"),
        ({"initial_accumulator": -0.1}, "model.trainer.initial_accumulator"),
        ({"initial_accumulator": 0.0, "eps": 0.0}, "both 0, but Adagrad divides"),
        ({"optimizer": "adam", "backend": "numba"}, "backend=numba has no Adam"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        Trainer(**setting)


@pytest.mark.parametrize(
    ("optimizer", "backend"), [("sgd", "numba"), ("adagrad", "numba"), ("adagrad", "torch"), ("adam", "torch")]
)
def test_a_saved_state_goes_on_bit_for_bit(planted, seeds, optimizer, backend):
    trainer = Trainer(5, 64, optimizer, 0.01, backend=backend)
    model = BPRMF(8, 0.01, trainer=trainer)
    start = trainer.start(model.init(planted.train, seeds))
    monitor = Monitor(1, lambda epoch, params: -abs(epoch - 2))
    whole = trainer.run(BPRObjective(planted.train, seeds), start, QUIET, monitor)
    half = replace(trainer, epochs=3).run(BPRObjective(planted.train, seeds), start, QUIET, monitor)
    going_on = trainer.run(BPRObjective(planted.train, seeds), load(save(half)), QUIET, monitor)
    assert whole.keys() == going_on.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, going_on[name]), name
    assert int(start["epoch"]) == 0, "the state given stays as it is"


def test_the_best_epoch_is_kept_and_the_first_of_equals():
    looked = []

    def score(epoch, params):
        looked.append((epoch, params["x"].item()))
        return {2: 0.3, 4: 0.9, 6: 0.9, 7: 0.1}[epoch]

    trainer = Trainer(epochs=7, optimizer="sgd")
    params = {"x": torch.zeros(1)}
    best = trainer.fit(Steps(), params, QUIET, Monitor(2, score))
    assert looked == [(2, 2.0), (4, 4.0), (6, 6.0), (7, 7.0)]
    assert best["x"].item() == 4
    assert params["x"].item() == 0, "the parameters given stay as they are"
    assert trainer.fit(Steps(), params, QUIET)["x"].item() == 7


def test_no_epoch_returns_the_initial_values():
    trainer = Trainer(epochs=0)
    assert result(trainer.run(Steps(), trainer.start({"x": torch.ones(1)}), QUIET))["x"].item() == 1


def test_progress_hears_each_epoch():
    heard = []

    class Listener(Progress):
        def step(self, done, total, **figures):
            heard.append((done, total, figures))

    Trainer(epochs=2).fit(Steps({1: 0.25}), {"x": torch.zeros(1)}, Listener())
    assert heard == [(1, 2, {"loss": 0.5}), (2, 2, {"loss": 0.25})]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops(loss):
    with pytest.raises(
        UserError, match=r"training diverged in epoch 3 of 9: lower model.trainer.learning_rate \(now 0.05\)"
    ):
        Trainer(epochs=9).fit(Steps({2: loss}), {"x": torch.zeros(1)}, QUIET)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_real_divergence_is_noticed(planted, backend):
    model = BPRMF(8, 1.0, trainer=Trainer(30, 512, "sgd", 1e6, backend=backend))
    with pytest.raises(UserError, match=r"training diverged in epoch \d+ of 30: lower model.trainer.learning_rate"):
        model.fit(planted.train, Seeds(0), torch.device("cpu"), QUIET)
