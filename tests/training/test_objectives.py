"""The epoch's arithmetic against torch.optim, against hand arithmetic, and between backends."""

import math

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.models.base import Params
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.objectives import BPRObjective, LossObjective, bpr_loss
from recpoison.training.optimizers import State
from recpoison.training.trainer import Trainer

QUIET = Progress()
FEW = 11  # users; batches of 32 pairs repeat them, and the 7 items more so


@pytest.fixture
def data() -> Interactions:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((FEW, 7)) < 0.6)
    return Interactions(users, items, np.ones(len(users)), FEW, 7)


@pytest.fixture
def params() -> Params:
    rng = np.random.default_rng(1)
    return {
        name: torch.tensor(rng.normal(size=(n, 5)), dtype=torch.float32) for name, n in (("user", FEW), ("item", 7))
    }


def reference(objective: BPRObjective, trainer: Trainer, params: Params) -> Params:
    """The same batches through autograd and torch.optim."""
    tables = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    optimizer: torch.optim.Optimizer
    if trainer.optimizer == "adagrad":
        optimizer = torch.optim.Adagrad(
            tables.values(),
            trainer.learning_rate,
            initial_accumulator_value=trainer.initial_accumulator,
            eps=trainer.eps,
        )
    elif trainer.optimizer == "adam":
        optimizer = torch.optim.Adam(tables.values(), trainer.learning_rate, eps=trainer.eps)
    else:
        optimizer = torch.optim.SGD(tables.values(), trainer.learning_rate)
    model = BPRMF(embedding_size=5, regularization=objective.regularization)
    for epoch in range(trainer.epochs):
        for batch in objective.batches(trainer, epoch, torch.device("cpu")):
            optimizer.zero_grad()
            model.loss(tables, batch).backward()
            optimizer.step()
    return {name: tensor.detach() for name, tensor in tables.items()}


@pytest.mark.parametrize("regularization", [0.0, 0.03])
@pytest.mark.parametrize("initial_accumulator", [0.0, 0.1])
@pytest.mark.parametrize(
    ("backend", "optimizer"),
    [("numba", "adagrad"), ("numba", "sgd"), ("torch", "adagrad"), ("torch", "sgd"), ("torch", "adam")],
)
def test_an_epoch_is_torch_optim_on_dense_tables(data, params, backend, optimizer, initial_accumulator, regularization):
    trainer = Trainer(2, 32, optimizer, 0.05, initial_accumulator, 1e-8, backend=backend)
    objective = BPRObjective(data, Seeds(0), regularization)
    (users, positives, negatives), *_ = objective.batches(trainer, 0, torch.device("cpu"))
    assert len(users.unique()) < len(users), "the case must repeat users in a batch"
    assert len(torch.cat([positives, negatives]).unique()) < 2 * len(users), "and items"
    got = trainer.fit(objective, params, QUIET)
    want = reference(objective, trainer, params)
    for name in want:
        torch.testing.assert_close(got[name], want[name], atol=1e-6, rtol=1e-6)
        assert not torch.allclose(got[name], params[name], atol=1e-3), "nothing was learned"


def test_autograd_objective_is_the_same_training(data, params):
    trainer = Trainer(2, 32, "adagrad", 0.05)
    by_hand = BPRObjective(data, Seeds(0), 0.03)
    model = BPRMF(embedding_size=5, regularization=0.03)
    by_autograd = LossObjective(model.loss, lambda t, e: by_hand.batches(t, e, torch.device("cpu")), len(by_hand.pairs))
    got, want = trainer.fit(by_autograd, params, QUIET), trainer.fit(by_hand, params, QUIET)
    for name in want:
        torch.testing.assert_close(got[name], want[name], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_one_adagrad_step_by_hand(backend):
    """The only triple is (0, 0, 1), with p=2, q=1, r=0.5: the margin is 1, so pull = 1/(1+e)."""
    data = Interactions(np.array([0]), np.array([0]), np.ones(1), 1, 2)
    params = {"user": torch.tensor([[2.0]]), "item": torch.tensor([[1.0], [0.5]])}
    trainer = Trainer(1, 4, "adagrad", 0.1, 0.1, 0.0, backend=backend)
    got = trainer.fit(BPRObjective(data, Seeds(0)), params, QUIET)
    pull = 1 / (1 + math.e)
    gradients = {"p": -pull * 0.5, "q": -pull * 2, "r": pull * 2}
    want = {
        name: start - 0.1 * gradients[name] / math.sqrt(0.1 + gradients[name] ** 2)
        for name, start in (("p", 2.0), ("q", 1.0), ("r", 0.5))
    }
    assert got["user"].item() == pytest.approx(want["p"], abs=1e-6)
    assert got["item"].flatten().tolist() == pytest.approx([want["q"], want["r"]], abs=1e-6)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("margin", [0.0, 3.0, -3.0, -60.0, 40.0, -400.0, 800.0])
def test_loss_shown_is_softplus_of_the_margin(backend, margin):
    data = Interactions(np.array([0]), np.array([0]), np.ones(1), 1, 2)
    params = {"user": torch.tensor([[1.0]]), "item": torch.tensor([[margin], [0.0]])}
    trainer = Trainer(1, 4, "sgd", 1e-6, backend=backend)
    shown = BPRObjective(data, Seeds(0)).epoch(trainer, trainer.start(params), 0)
    assert shown == pytest.approx(math.log1p(math.exp(-margin)), rel=1e-6, abs=1e-9)
    assert bpr_loss(torch.tensor([margin]), torch.tensor([0.0])).item() == pytest.approx(shown, rel=1e-5, abs=1e-7)


def test_loss_of_many_hopeless_pairs_does_not_underflow():
    """600 users, each with margin -60: the product of their likelihoods is e^-36000."""
    users = np.arange(600)
    data = Interactions(users, np.zeros(600), np.ones(600), 600, 2)
    params = {"user": torch.ones(600, 1), "item": torch.tensor([[-60.0], [0.0]])}
    trainer = Trainer(1, 600, "sgd", 1e-9, backend="numba")
    assert BPRObjective(data, Seeds(0)).epoch(trainer, trainer.start(params), 0) == pytest.approx(60, rel=1e-6)


def test_backends_agree_over_three_epochs(planted, seeds):
    fits = []
    for backend in ("numba", "torch"):
        model = BPRMF(16, 0.01, trainer=Trainer(3, 64, "adagrad", 0.05, backend=backend))
        fits.append(model.fit(planted.train, seeds, torch.device("cpu"), QUIET))
    for name in ("user", "item"):
        torch.testing.assert_close(fits[0][name], fits[1][name], atol=1e-5, rtol=0)
        assert fits[0][name].abs().max() > 0.05


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_drop_last_leaves_out_the_rest(data, params, backend):
    whole = len(BPRObjective(data, Seeds(0)).pairs)
    trainer = Trainer(1, whole - 1, "sgd", 0.1, drop_last=True, backend=backend)
    objective = BPRObjective(data, Seeds(0))
    assert objective.n_rows(trainer) == whole - 1
    torch.testing.assert_close(
        trainer.fit(objective, params, QUIET)["user"], reference(objective, trainer, params)["user"]
    )
    assert sum(len(b[0]) for b in objective.batches(trainer, 0, torch.device("cpu"))) == whole - 1


def test_torch_epoch_asks_the_device_nothing(data, params, monkeypatch):
    """The host reads a tensor once an epoch, for the loss shown, however many batches there are."""
    reads = []
    real_float, real_item = torch.Tensor.__float__, torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "__float__", lambda self: reads.append("float") or real_float(self))
    monkeypatch.setattr(torch.Tensor, "item", lambda self: reads.append("item") or real_item(self))
    for name in ("__bool__", "__int__", "__index__", "tolist", "unique", "nonzero", "__getitem__"):
        real = getattr(torch.Tensor, name)

        def watched(self, *args, real=real, name=name):
            if name != "__getitem__" or isinstance(args[0], torch.Tensor):
                reads.append(name)
            return real(self, *args)

        monkeypatch.setattr(torch.Tensor, name, watched)
    trainer = Trainer(1, 4, "adagrad", backend="torch")
    state: State = trainer.start(params)
    BPRObjective(data, Seeds(0)).epoch(trainer, state, 0)
    assert reads == ["float"]
