"""Full-batch training on labelled edges against torch's optimisers, and what it tells others."""

import numpy as np
import pytest
import torch

from recpoison.data.interactions import LabelledEdges
from recpoison.errors import ConfigError
from recpoison.models.base import Monitor, Watch
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.checkpoint import Checkpoint
from recpoison.training.edges.network import Network, logits
from recpoison.training.edges.passes import mean_log_loss
from recpoison.training.edges.trainer import EdgeTrainer
from recpoison.training.trainer import Diverged

NETWORK = Network(product_size=2, sum_size=2, sum_hidden=(3,), activation="tanh", dropout=0.25)
RNG = np.random.default_rng(0)
EDGES = LabelledEdges(RNG.integers(4, size=12), RNG.integers(5, size=12), RNG.integers(2, size=12).astype(np.float32))
PARAMS = {name: torch.from_numpy(RNG.normal(size=shape)) for name, shape in NETWORK.shapes(4, 5).items()}
SEEDS = Seeds(1).child("train")


class Heard(Progress):
    def __init__(self):
        self.steps = []

    def step(self, done, total, **figures):
        self.steps.append((done, total, figures["loss"]))


@pytest.mark.parametrize(
    ("trainer", "theirs"),
    [
        (EdgeTrainer(5, "adam", 0.1), lambda p: torch.optim.Adam(p, lr=0.1)),
        (EdgeTrainer(5, "sgd", 0.7), lambda p: torch.optim.SGD(p, lr=0.7)),
        (EdgeTrainer(5, "momentum", 0.7, 0.8), lambda p: torch.optim.SGD(p, lr=0.7, momentum=0.8)),
    ],
)
def test_steps_are_those_of_torch(trainer, theirs):
    heard = Heard()
    ours = trainer.fit(NETWORK, PARAMS, EDGES, SEEDS, heard)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in PARAMS.items()}
    optimizer, losses = theirs(list(leaves.values())), []
    users, items, labels = map(torch.from_numpy, EDGES)
    for step in range(5):
        optimizer.zero_grad()
        found = logits(NETWORK, leaves, users, items, SEEDS.integer("dropout", step))
        loss = mean_log_loss(found, labels.double())
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    for name, tensor in leaves.items():
        torch.testing.assert_close(ours[name], tensor.detach(), rtol=1e-9, atol=1e-12)
    assert [step[:2] for step in heard.steps] == [(step, 5) for step in range(1, 6)]
    assert [step[2] for step in heard.steps] == pytest.approx(losses)


def test_a_monitor_keeps_the_best_step_and_a_watch_sees_all():
    watch = Watch(2, lambda step, params: [step])
    found = EdgeTrainer(5).fit(
        NETWORK, PARAMS, EDGES, SEEDS, Progress(), Monitor(1, lambda step, params: -abs(step - 3), watch)
    )
    three = EdgeTrainer(3).fit(NETWORK, PARAMS, EDGES, SEEDS, Progress())
    assert all(torch.equal(found[name], three[name]) for name in three)
    assert watch.seen == {2: [2], 4: [4], 5: [5]}


def test_a_killed_fit_goes_on_bit_for_bit(tmp_path):
    class Killed(Progress):
        def step(self, done, total, **figures):
            if done == 4:
                raise KeyboardInterrupt

    heard = Heard()
    with pytest.raises(KeyboardInterrupt), Checkpoint(Killed(), tmp_path, 0) as checkpoint:
        EdgeTrainer(6).fit(NETWORK, PARAMS, EDGES, SEEDS, checkpoint)
    with Checkpoint(heard, tmp_path, 0) as checkpoint:
        found = EdgeTrainer(6).fit(NETWORK, PARAMS, EDGES, SEEDS, checkpoint)
    whole = EdgeTrainer(6).fit(NETWORK, PARAMS, EDGES, SEEDS, Progress())
    assert [step[0] for step in heard.steps] == [4, 5, 6]
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_what_leaves_the_finite_numbers_is_said():
    edges = EDGES._replace(labels=np.full(12, -1e30, dtype=np.float32))
    params = {name: tensor.float() for name, tensor in PARAMS.items()}
    with pytest.raises(Diverged, match=r"diverged in step \d of 9: lower model.edge_trainer.learning_rate \(now 0.5\)"):
        EdgeTrainer(9, "sgd", 0.5).fit(NETWORK, params, edges, SEEDS, Progress())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"steps": -1}, "model.edge_trainer.steps is -1"),
        ({"optimizer": "adagrad"}, "model.edge_trainer.optimizer is 'adagrad': choose one of sgd, momentum, adam"),
        ({"learning_rate": 0}, "model.edge_trainer.learning_rate is 0"),
        ({"momentum": 1}, "model.edge_trainer.momentum is 1"),
        ({"backend": "cuda"}, "model.edge_trainer.backend is 'cuda'"),
    ],
)
def test_settings_are_checked(settings, said):
    with pytest.raises(ConfigError, match=said.replace(".", r"\.")):
        EdgeTrainer(**settings)


def test_only_momentum_has_a_momentum():
    assert "momentum" in EdgeTrainer(optimizer="adam").idle(None)
    assert not EdgeTrainer(optimizer="momentum").idle(None)
