"""Weights of users in the loss: by hand, against autograd, and where they are all 1 or some are 0."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import IncompatibleParts
from recpoison.models.bprmf import BPRMF
from recpoison.models.item_ae import ItemAE
from recpoison.models.lightgcn import LightGCN
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.objectives import BPRObjective, bpr_slopes
from recpoison.training.ratings import RatingObjective
from recpoison.training.trainer import Trainer
from recpoison.training.weighted import weighted

CPU, QUIET = torch.device("cpu"), Progress()
FEW = 11
NAMES = {"user": FEW, "item": 7}
MODELS = {
    f"{name} {backend} {optimizer}": model(
        embedding_size=5, regularization=0.03, trainer=Trainer(2, 16, optimizer, 0.05, 0.1, 1e-8, backend=backend)
    )
    for name, model, backends in (
        ("bprmf", BPRMF, ("numba", "torch")),
        ("mf", MF, ("numba", "torch")),
        ("lightgcn", LightGCN, ("torch",)),
    )
    for backend in backends
    for optimizer in ("sgd", "adagrad", *(["adam"] if backend == "torch" else []))
}

FINAL = replace(MODELS["lightgcn torch sgd"], regularized="final")


@pytest.fixture
def data() -> Interactions:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((FEW, 7)) < 0.6)
    return Interactions(users, items, rng.integers(1, 6, len(users)).astype(float), FEW, 7, Scale(1, 5))


@pytest.fixture
def params():
    rng = np.random.default_rng(1)
    return {name: torch.tensor(rng.normal(size=(n, 5)), dtype=torch.float32) for name, n in NAMES.items()}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_weights_of_one_are_the_plain_fit(model, data, params):
    """Bit for bit by torch; numba compiles the two loops apart, so that these may round differently."""
    plain = model.objective(data, Seeds(0), CPU)
    got = model.trainer.fit(weighted(plain, np.ones(FEW)), params, QUIET)
    want = model.trainer.fit(plain, params, QUIET)
    for name in NAMES:
        if model.trainer.backend == "torch":
            assert torch.equal(got[name], want[name])
        torch.testing.assert_close(got[name], want[name], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("model", [*MODELS.values(), FINAL], ids=[*MODELS, "lightgcn, regularised in its final rows"])
def test_a_weight_of_half_or_none_is_that_share_of_the_loss_without_the_others(model, data, params):
    """Against autograd of the model's own loss of parts of each batch: users of weight 1, and of weight one half."""
    weights = np.ones(FEW)
    weights[[0, 4]], weights[[2, 5]] = 0, 0.5
    plain = model.objective(data, Seeds(0), CPU)
    got = model.trainer.fit(weighted(plain, weights), params, QUIET)
    want = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    trainer = model.trainer
    made = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}[trainer.optimizer]
    more = {"initial_accumulator_value": 0.1} if trainer.optimizer == "adagrad" else {}
    more |= {} if trainer.optimizer == "sgd" else {"eps": trainer.eps}
    optimizer = made(want.values(), trainer.learning_rate, **more)
    for epoch in range(trainer.epochs):
        for batch in plain.batches(trainer, epoch, CPU):
            optimizer.zero_grad()
            for weight in (1, 0.5):
                share(model, want, batch, torch.from_numpy(weights)[batch[0]] == weight).mul(weight).backward()
            optimizer.step()
    for name in NAMES:
        torch.testing.assert_close(got[name], want[name].detach(), atol=1e-5, rtol=1e-5)
    if trainer.optimizer != "adam" and not isinstance(model, LightGCN):
        assert torch.equal(got["user"][[0, 4]], params["user"][[0, 4]]), "nothing pulls at who weighs nothing"


def share(model, params, batch, chosen):
    """What the ``chosen`` rows of a batch add to its loss."""
    part = tuple(column[chosen] for column in batch)
    if isinstance(model, BPRMF):  # a sum
        return model.loss(params, part)
    if isinstance(model, LightGCN):
        part = type(batch).of(part, batch.graph)
    return model.loss(params, part) * (chosen.sum() / len(chosen))


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_one_step_of_a_triple_by_hand(backend):
    """The only triple is (0, 0, 1), with p=2, q=1, r=0.5: the margin is 1, so pull = 1/(1+e), of which a quarter."""
    data = Interactions(np.array([0]), np.array([0]), np.ones(1), 1, 2)
    params = {"user": torch.tensor([[2.0]]), "item": torch.tensor([[1.0], [0.5]])}
    trainer = Trainer(1, 4, "sgd", 0.1, backend=backend)
    objective, state = weighted(BPRObjective(data, Seeds(0), 0.2), np.array([0.25])), trainer.start(params)
    assert objective.epoch(trainer, state, 0) == pytest.approx(0.25 * math.log1p(math.exp(-1)), abs=1e-6)
    pull = 0.25 / (1 + math.e)
    assert state["param.user"].item() == pytest.approx(2 - 0.1 * (0.25 * 0.2 * 2 - pull * 0.5), abs=1e-6)
    want = [1 - 0.1 * (0.25 * 0.2 * 1 - pull * 2), 0.5 - 0.1 * (0.25 * 0.2 * 0.5 + pull * 2)]
    assert state["param.item"].flatten().tolist() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_one_step_of_ratings_by_hand(backend):
    """Ratings 4 and 5 of 5 by two users, p=1 and 2, q=0.5: errors -0.3 and 0, and the first weighs a quarter."""
    data = Interactions(np.array([0, 1]), np.array([0, 0]), np.array([4.0, 5.0]), 2, 1, Scale(1, 5))
    params = {"user": torch.tensor([[1.0], [2.0]]), "item": torch.tensor([[0.5]])}
    trainer = Trainer(1, 4, "sgd", 0.1, backend=backend)
    objective, state = weighted(RatingObjective(data, Seeds(0)), np.array([0.25, 1.0])), trainer.start(params)
    assert objective.epoch(trainer, state, 0) == pytest.approx(0.25 * 0.09 / 2, abs=1e-6)
    slope = 0.25 * 2 * -0.3 / 2
    assert state["param.user"].flatten().tolist() == pytest.approx([1 - 0.1 * slope * 0.5, 2], abs=1e-6)
    assert state["param.item"].item() == pytest.approx(0.5 - 0.1 * slope, abs=1e-6)


def test_slopes_of_triples_are_finite_differences():
    rng = np.random.default_rng(3)
    values, weights = torch.tensor(rng.normal(size=(3, 4, 5))), torch.tensor([0.0, 0.3, 1.0, 0.7])

    def loss(at: torch.Tensor) -> float:
        each = torch.nn.functional.softplus((at[0] * (at[2] - at[1])).sum(1)) + 0.1 * at.square().sum((0, 2))
        return float((weights * each).sum())

    slopes = bpr_slopes(values, 0.2, weights)[1].view(3, 4, 5)
    for place in np.ndindex(3, 4, 5):
        step = torch.zeros(3, 4, 5, dtype=torch.float64)
        step[place] = 1e-6
        assert float(slopes[place]) == pytest.approx((loss(values + step) - loss(values - step)) / 2e-6, abs=1e-8)


def test_a_stopped_fit_with_other_weights_is_another(data):
    plain = BPRObjective(data, Seeds(0))
    one, other = (weighted(plain, weights).inputs() for weights in (np.ones(FEW), np.zeros(FEW)))
    assert one[0] == plain.inputs()
    assert one[1].tolist() == [1] * FEW
    assert other[1].tolist() == [0] * FEW


def test_what_has_no_weights_is_refused(data):
    with pytest.raises(IncompatibleParts, match="choose model=bprmf, mf or lightgcn"):
        weighted(ItemAE().objective(data, Seeds(0), CPU), np.ones(FEW))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
@pytest.mark.parametrize("model", [each for each in MODELS.values() if each.trainer.backend == "torch"], ids=str)
def test_cuda_trains_with_weights_as_plain_operations_do(model, data, params):
    """By what a GPU takes of its own accord, graphs for triples, against ``backend=torch`` there."""
    cuda, ends = torch.device("cuda"), []
    for backend in ("auto", "torch"):
        trainer = replace(model.trainer, backend=backend)
        objective = weighted(model.objective(data, Seeds(0), cuda), np.linspace(0, 1, FEW))
        ends.append(trainer.fit(objective, {name: table.to(cuda) for name, table in params.items()}, QUIET))
    for name in NAMES:
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=1e-3, atol=1e-4)
