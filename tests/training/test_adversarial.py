"""Adversarial epochs against autograd and torch.optim, in their limits, and by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.algebra.perturbation import direction
from recpoison.data.interactions import Interactions
from recpoison.models.base import Params
from recpoison.models.bprmf import BPRMF
from recpoison.models.gmf import GMF
from recpoison.models.lightgcn import LightGCN
from recpoison.models.mf import MF
from recpoison.models.wrmf import WRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training import adversarial
from recpoison.training.adversarial import AdversarialBPR, AdversarialLoss
from recpoison.training.apr_kernel import _climb
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.magnitudes import RULES, Magnitude
from recpoison.training.objectives import BPRObjective, LossObjective
from recpoison.training.trainer import Trainer

QUIET, CPU = Progress(), torch.device("cpu")
FGSM = InnerAttack(0.5)
BIM = InnerAttack(0.5, steps=6)
BOX = InnerAttack(0.2, steps=4, step_size=0.3, projection="box")
FREE = InnerAttack(0.2, steps=2, step_size=0.3, projection="none")
PGD = InnerAttack(0.4, steps=6, start="uniform")
NOISE = InnerAttack(0.5, steps=0, noise=True)
INSTANCE = InnerAttack(0.5, unit="instance")


@pytest.fixture
def data() -> Interactions:
    """11 users x 7 items: batches of 32 pairs repeat both."""
    users, items = np.nonzero(np.random.default_rng(0).random((11, 7)) < 0.6)
    return Interactions(users, items, np.ones(len(users)), 11, 7)


@pytest.fixture
def params() -> Params:
    rng = np.random.default_rng(1)
    return {name: torch.tensor(rng.normal(size=(n, 5)), dtype=torch.float32) for name, n in (("user", 11), ("item", 7))}


def shift_by_autograd(loss, tables: Params, attack: InnerAttack) -> Params:
    """The definition, on whole tables: steps along rows of length ``attack.length``, each bounded."""
    shift = {name: torch.zeros_like(table) for name, table in tables.items()}
    for _ in range(attack.steps):
        leaves = {name: (table.detach() + shift[name]).requires_grad_() for name, table in tables.items()}
        gradients = torch.autograd.grad(loss(leaves), list(leaves.values()))
        for name, g in zip(leaves, gradients, strict=True):
            rows = shift[name] + attack.length * torch.nan_to_num(g / g.norm(dim=1, keepdim=True))
            if attack.projection == "box":
                rows = rows.clamp(-attack.epsilon, attack.epsilon)
            if attack.projection == "row_l2":
                rows = rows * (attack.epsilon / rows.norm(dim=1, keepdim=True)).clamp(max=1)
            shift[name] = torch.nan_to_num(rows)
    return shift


def reference(objective: BPRObjective, trainer: Trainer, params: Params, attack: InnerAttack, weight: float) -> Params:
    tables = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    optimizer: torch.optim.Optimizer
    if trainer.optimizer == "adagrad":
        optimizer = torch.optim.Adagrad(
            tables.values(), trainer.learning_rate, initial_accumulator_value=trainer.initial_accumulator
        )
    elif trainer.optimizer == "adam":
        optimizer = torch.optim.Adam(tables.values(), trainer.learning_rate, eps=trainer.eps)
    else:
        optimizer = torch.optim.SGD(tables.values(), trainer.learning_rate)
    model = BPRMF(embedding_size=5, regularization=objective.regularization)
    for epoch in range(trainer.epochs):
        for batch in objective.batches(trainer, epoch, CPU):
            optimizer.zero_grad()
            shift = shift_by_autograd(lambda p, batch=batch: model.loss(p, batch), tables, attack)
            moved = {name: table + shift[name] for name, table in tables.items()}
            (model.loss(tables, batch) + weight * model.loss(moved, batch)).backward()
            optimizer.step()
    return {name: tensor.detach() for name, tensor in tables.items()}


def same(got: Params, want: Params, tolerance: float = 0.0) -> None:
    assert got.keys() == want.keys()
    for name in want:
        torch.testing.assert_close(got[name], want[name], atol=tolerance, rtol=0)


@pytest.mark.parametrize("attack", [FGSM, BIM, BOX, FREE], ids=["fgsm", "bim", "box", "free"])
@pytest.mark.parametrize(
    ("backend", "optimizer", "regularization"),
    [("numba", "adagrad", 0.0), ("numba", "sgd", 0.03), ("torch", "adagrad", 0.03), ("torch", "adam", 0.0)],
)
def test_an_epoch_is_autograd_and_torch_optim(data, params, backend, optimizer, regularization, attack):
    trainer = Trainer(2, 32, optimizer, 0.02, backend=backend)
    plain = BPRObjective(data, Seeds(0), regularization)
    got = trainer.fit(AdversarialBPR(plain, attack, 0.7), params, QUIET)
    same(got, reference(plain, trainer, params, attack, 0.7), 3e-6)
    for name, table in trainer.fit(plain, params, QUIET).items():
        assert (got[name] - table).abs().max() > 1e-3, "the adversary changed nothing"


def test_by_autograd_it_is_the_same_training(data, params):
    trainer = Trainer(2, 32, "adagrad", 0.05)
    plain = BPRObjective(data, Seeds(0), 0.03)
    model = BPRMF(embedding_size=5, regularization=0.03)
    for attack in (FGSM, BOX):
        got = trainer.fit(AdversarialLoss(plain, model, attack, 1.0), params, QUIET)
        same(got, trainer.fit(AdversarialBPR(plain, attack, 1.0), params, QUIET), 3e-6)


@pytest.mark.parametrize("attack", [PGD, NOISE], ids=["pgd", "noise"])
def test_backends_draw_the_same_starts(planted, seeds, attack, monkeypatch):
    """However many batches the kernel gets at a time, and with a smaller last one."""
    monkeypatch.setattr(adversarial, "CHUNK", 100)
    plain = BPRObjective(planted.train, seeds)
    assert len(plain.pairs) > 300
    assert len(plain.pairs) % 32
    params = BPRMF(16, initial_std=0.3).init(planted.train, seeds)
    fits = [
        Trainer(2, 32, "adagrad", 0.05, backend=backend).fit(AdversarialBPR(plain, attack, 1.0), params, QUIET)
        for backend in ("numba", "torch")
    ]
    same(fits[0], fits[1], 1e-5)


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
def test_weight_0_is_plain_training_bit_for_bit(planted, optimizer):
    """The kernel itself, not a way round it."""
    trainer = Trainer(3, 64, optimizer, 0.02, backend="numba")
    plain = BPRObjective(planted.train, Seeds(0), 0.01)
    params = BPRMF(16).init(planted.train, Seeds(0))
    same(trainer.fit(AdversarialBPR(plain, FGSM, 0.0), params, QUIET), trainer.fit(plain, params, QUIET))


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_epsilon_0_is_twice_the_loss_bit_for_bit(planted, backend):
    """With SGD twice the loss is twice the rate."""
    trainer = Trainer(3, 64, "sgd", 0.02, backend=backend)
    plain = BPRObjective(planted.train, Seeds(0))
    params = BPRMF(16).init(planted.train, Seeds(0))
    got = trainer.fit(AdversarialBPR(plain, InnerAttack(0.0), 1.0), params, QUIET)
    want = replace(trainer, learning_rate=0.04).fit(plain, params, QUIET)
    same(got, want, 0.0 if backend == "numba" else 1e-6)
    assert (got["user"] - params["user"]).abs().max() > 0.01


@pytest.mark.parametrize("attack", [InnerAttack(0.0), InnerAttack(0.0, 3), InnerAttack(0.0, 0, noise=True)])
def test_epsilon_0_is_one_and_weight_times_the_loss(data, params, attack):
    trainer = Trainer(2, 32, "adagrad", 0.05)
    plain = BPRObjective(data, Seeds(0))
    model = BPRMF(embedding_size=5)
    scaled = LossObjective(lambda p, b: 1.3 * model.loss(p, b), lambda t, e: plain.batches(t, e, CPU), len(data))
    same(trainer.fit(AdversarialBPR(plain, attack, 0.3), params, QUIET), trainer.fit(scaled, params, QUIET), 2e-6)


def shift_of(attack: InnerAttack, plain: BPRObjective, params: Params, batch) -> Params:
    """What is added to the tables: the difference of two points at which the model's loss is asked for."""
    points = []

    class Watched(BPRMF):
        def loss(self, params, batch):
            points.append({name: tensor.detach().clone() for name, tensor in params.items()})
            return super().loss(params, batch)

    objective = AdversarialLoss(plain, Watched(embedding_size=5), attack, 1.0)
    trainer = Trainer(1, len(batch[0]), "sgd", 1e-9)
    objective.epoch(trainer, trainer.start(params), 0)
    assert len(points) >= 2, "no second loss"
    for name in params:
        assert torch.equal(points[0][name], params[name]), "the first loss is taken at the tables themselves"
    return {name: points[attack.steps + (not attack.starts_at_zero)][name] - params[name] for name in params}


def test_rows_of_the_batch_move_by_epsilon_and_others_not_at_all(data, params):
    plain = BPRObjective(data, Seeds(0))
    batch = next(iter(plain.batches(Trainer(1, 4), 0, CPU)))
    used = {"user": batch[0], "item": torch.cat(batch[1:])}
    shift = shift_of(FGSM, plain, params, batch)
    for name, table in shift.items():
        inside = torch.isin(torch.arange(len(table)), used[name])
        assert 0 < inside.sum() < len(table), "the case needs rows of both kinds"
        assert table[inside].norm(dim=1).tolist() == pytest.approx([0.5] * int(inside.sum()), abs=1e-6)
        assert (table[~inside] == 0).all()


@pytest.mark.parametrize("attack", [BIM, PGD, BOX, NOISE], ids=["bim", "pgd", "box", "noise"])
def test_bounds_hold(data, params, attack):
    plain = BPRObjective(data, Seeds(0))
    batch = next(iter(plain.batches(Trainer(1, 32), 0, CPU)))
    for table in shift_of(attack, plain, params, batch).values():
        if attack.projection == "box":
            assert table.abs().max().item() == pytest.approx(0.2, abs=1e-6), "a step of 0.3 reaches the wall"
            assert table.norm(dim=1).max() > 0.25, "which lets a row be longer than epsilon"
        else:
            assert table.norm(dim=1).max().item() == pytest.approx(attack.epsilon, abs=1e-6)


def test_noise_is_cut_at_two_deviations_and_fresh_for_each_batch():
    first, second = (NOISE.starts((4000, 64), generator) for generator in [Seeds(0).numpy("a")] * 2)
    assert first.norm(dim=1).numpy() == pytest.approx(0.5, abs=1e-6)
    assert not torch.equal(first, second)
    assert first.mean().item() == pytest.approx(0, abs=1e-3)
    peak = (first.abs() / first.square().mean(1, keepdim=True).sqrt()).max()
    # The root of a cut normal's variance is 0.88; over 64 numbers it is seldom less than 0.65.
    assert 2 / 0.88 < peak < 2 / 0.6


def test_the_loss_rises_along_a_small_shift(data, params):
    plain = BPRObjective(data, Seeds(0))
    batch = next(iter(plain.batches(Trainer(1, 32), 0, CPU)))
    model = BPRMF(embedding_size=5)
    clean = model.loss(params, batch)
    for attack in (InnerAttack(0.01), InnerAttack(0.01, steps=3, step_size=0.01)):
        shift = shift_of(attack, plain, params, batch)
        shifted = {name: params[name] + shift[name] for name in params}
        slopes = torch.autograd.grad(
            model.loss(leaves := {n: p.clone().requires_grad_() for n, p in params.items()}, batch),
            list(leaves.values()),
        )
        rise = 0.01 * sum(slope.norm(dim=1).sum() for slope in slopes)  # to first order
        assert (model.loss(shifted, batch) - clean).item() == pytest.approx(rise.item(), rel=0.1)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("attack", [FGSM, NOISE, INSTANCE], ids=["fgsm", "noise", "instance"])
def test_the_loss_shown_is_the_clean_one(data, params, backend, attack):
    """Of the tables, not of tables shifted by the batch before (Elliot's branch is swapped)."""
    trainer = Trainer(1, 8, "sgd", 1e-12, backend=backend)
    plain = BPRObjective(data, Seeds(0))
    want = plain.epoch(trainer, trainer.start(params), 0)
    shown = AdversarialBPR(plain, attack, 1.0).epoch(trainer, trainer.start(params), 0)
    assert shown == pytest.approx(want, rel=1e-6)


def one_triple() -> tuple[Interactions, Params]:
    data = Interactions(np.array([0]), np.array([0]), np.ones(1), 1, 2)
    return data, {"user": torch.tensor([[2.0]]), "item": torch.tensor([[1.0], [0.5]])}


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("attack", [InnerAttack(0.25), InnerAttack(0.25, unit="instance")], ids=["batch", "instance"])
def test_one_adagrad_step_by_hand(backend, attack):
    """P=2, q=1, r=0.5: p and q fall by 0.25 and r rises by it, and the step is that of both gradients with 0.1 inside
    the root.
    """
    data, params = one_triple()
    trainer = Trainer(1, 4, "adagrad", 0.1, 0.1, 0.0, backend=backend)
    got = trainer.fit(AdversarialBPR(BPRObjective(data, Seeds(0)), attack, 0.5), params, QUIET)

    def gradients(p, q, r):
        pull = 1 / (1 + math.exp(p * (q - r)))
        return [-pull * (q - r), -pull * p, pull * p]

    clean, adverse = gradients(2, 1, 0.5), gradients(1.75, 0.75, 0.75)
    both = [c + 0.5 * a for c, a in zip(clean, adverse, strict=True)]
    want = [x - 0.1 * g / math.sqrt(0.1 + g * g) for x, g in zip((2, 1, 0.5), both, strict=True)]
    assert [got["user"].item(), *got["item"].flatten().tolist()] == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_an_instance_is_shifted_by_its_own_gradient(data, params, backend):
    """Against the definition: the loss of each triple alone, at its own shifted three rows."""
    trainer = Trainer(1, 16, "sgd", 0.02, backend=backend)
    plain = BPRObjective(data, Seeds(0))
    got = trainer.fit(AdversarialBPR(plain, INSTANCE, 1.0), params, QUIET)
    model, tables = BPRMF(embedding_size=5), {name: tensor.clone() for name, tensor in params.items()}
    for batch in plain.batches(trainer, 0, CPU):
        total = {name: torch.zeros_like(table) for name, table in tables.items()}
        for place in range(len(batch[0])):
            one = tuple(column[place : place + 1] for column in batch)
            shift = shift_by_autograd(lambda p, one=one: model.loss(p, one), tables, FGSM)
            for at in (tables, {name: table + shift[name] for name, table in tables.items()}):
                leaves = {name: table.clone().requires_grad_() for name, table in at.items()}
                for name, g in zip(
                    leaves, torch.autograd.grad(model.loss(leaves, one), list(leaves.values())), strict=True
                ):
                    total[name] += g
        for name in tables:
            tables[name] -= 0.02 * total[name]
    same(got, tables, 3e-6)
    by_row = trainer.fit(AdversarialBPR(plain, FGSM, 1.0), params, QUIET)
    assert (got["item"] - by_row["item"]).abs().max() > 1e-3, "the two units should differ"


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("regularization", [0.0, 0.05])
def test_the_kernel_weighs_users_as_torch_does(planted, seeds, rule, regularization):
    plain = BPRObjective(planted.train, seeds, regularization)
    params = BPRMF(16, initial_std=0.4).init(planted.train, seeds)
    attack = InnerAttack(0.4, unit="instance", magnitude=Magnitude(rule, 1.5))
    fits = [
        Trainer(2, 48, "adagrad", 0.05, backend=backend).fit(AdversarialBPR(plain, attack, 0.8), params, QUIET)
        for backend in ("numba", "torch")
    ]
    same(fits[0], fits[1], 2e-5)
    equal = Trainer(2, 48, "adagrad", 0.05).fit(AdversarialBPR(plain, INSTANCE, 0.8), params, QUIET)
    assert (equal["user"] - fits[0]["user"]).abs().max() > 1e-3, "the factors should matter"


def test_a_graph_without_layers_is_two_tables(planted, seeds):
    """Shifts of final rows by triple, with the regulariser of either place; Adam, on a mean instead of a sum."""
    attack = InnerAttack(0.4, unit="instance", magnitude=Magnitude("loss", 2.0))
    for place in ("layer_0", "final"):
        model = LightGCN(8, 0, 0.03, place, shifted="final", trainer=Trainer(2, 48, "sgd", 0.1, drop_last=True))
        plain = model.objective(planted.train, seeds, CPU)
        params = model.init(planted.train, seeds)
        got = model.trainer.fit(adversarial.adversarial(plain, model, attack, 0.7), params, QUIET)
        two = BPRObjective(planted.train, plain.seeds, 0.03)
        tables = {name: params[name] for name in ("user", "item")}
        trainer = replace(model.trainer, learning_rate=0.1 / 48, backend="torch")
        want = trainer.fit(AdversarialBPR(two, attack, 0.7), tables, QUIET)
        if place == "final":
            same({name: got[name] for name in want}, want, 1e-5)
        else:  # there the gradient that makes the shift knows no regulariser
            assert 0 < (got["user"] - want["user"]).abs().max() < 0.05


@pytest.mark.parametrize(
    "model",
    [
        MF(4, trainer=Trainer(3, 64, "adagrad", 0.5)),
        WRMF(4, regularization=0.2, trainer=Trainer(3, 16, "adam", 0.05, eps=1e-8)),
        WRMF(4, trainer=Trainer(3, 10_000, "sgd", 1e-4)),
    ],
    ids=["mf", "wrmf", "wrmf on all users"],
)
def test_other_models_without_an_adversary_train_as_ever(planted, seeds, model):
    params = model.init(planted.train, seeds)
    plain = model.objective(planted.train, seeds, CPU)
    want = model.trainer.fit(plain, params, QUIET)
    got = model.trainer.fit(AdversarialLoss(plain, model, FGSM, 0.0), params, QUIET)
    same(got, want, 1e-5)
    moved = model.trainer.fit(AdversarialLoss(plain, model, FGSM, 1.0), params, QUIET)
    assert (moved["user"] - want["user"]).abs().max() > 1e-3


def test_torch_epoch_asks_the_device_nothing(data, params, monkeypatch):
    reads = []
    for name in ("__float__", "item", "__bool__", "__int__", "__index__", "tolist", "unique", "nonzero"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, *args, real=real, name=name: reads.append(name) or real(self, *args)
        )
    trainer = Trainer(1, 4, "adagrad", backend="torch")
    for attack in (FGSM, BOX, PGD, NOISE, INSTANCE):
        AdversarialBPR(BPRObjective(data, Seeds(0)), attack, 1.0).epoch(trainer, trainer.start(params), 0)
    assert reads == ["__float__"] * 5


@pytest.mark.parametrize("scale", [1e-44, 1e-40, 1e-30, 1e-12, 1.0, 1e15])
def test_a_kernel_step_has_its_length_however_small_the_gradient(scale):
    """Where all pairs are learned, gradients near the least float32: dividing by their length once gave infinity."""
    rng = np.random.default_rng(0)
    gradient = (rng.choice([-3.0, 2.0, 5.0], (4, 8)) * scale).astype(np.float32)
    gradient[2] = 0
    shift = np.zeros_like(gradient)
    _climb(shift, gradient, 4, 0.5, np.float32(0.5), False, True)
    want = direction({"x": torch.from_numpy(gradient)}, "row_l2")["x"].numpy() * 0.5
    np.testing.assert_allclose(shift, want, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(shift, axis=1), [0.5, 0.5, 0, 0.5], rtol=1e-5)


@pytest.mark.parametrize("rows_only", [True, False])
@pytest.mark.parametrize("optimizer", ["adam", "adagrad"])
def test_rows_outside_a_batch_stay_where_the_models_own_fit_leaves_them(seeds, rows_only, optimizer):
    """Epsilon 0 and a weight that is nothing: Adam's moments move other rows only without ``rows_only``."""
    wide = Interactions(np.arange(12), np.arange(12), np.ones(12), 12, 300)
    model = GMF(4, negatives=2, rows_only=rows_only, trainer=Trainer(3, 2, optimizer, 0.01, backend="torch"))
    plain = model.fit(wide, seeds, CPU, QUIET)
    objective = AdversarialLoss(model.objective(wide, seeds, CPU), model, InnerAttack(0.0), 0.0)
    found = model.trainer.fit(objective, model.init(wide, seeds), QUIET)
    for name in plain:
        torch.testing.assert_close(found[name], plain[name], rtol=1e-4, atol=1e-6)
    moved = (found["item"] != model.init(wide, seeds)["item"]).any(1).sum()
    never_drawn = 300 - len(np.unique(np.concatenate(drawn(model, wide, seeds))))
    assert never_drawn > 100
    assert moved <= 300 - never_drawn


def drawn(model, data, seeds) -> list[np.ndarray]:
    """Items of each batch of a fit."""
    objective = model.objective(data, seeds, CPU)
    return [
        torch.cat([positives, negatives.flatten()]).numpy()
        for epoch in range(model.trainer.epochs)
        for _, positives, negatives in objective.batches(model.trainer, epoch, CPU)
    ]
