"""LightGCN against dense matrices and autograd, its limit case BPR-MF, and what a shift reaches."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.algebra.propagation import Propagation
from recpoison.attacks.embeddings.fgsm import FGSM
from recpoison.changes import EmbeddingShift
from recpoison.data.interactions import Interactions
from recpoison.defenses.apr import APR
from recpoison.defenses.none import NoDefense
from recpoison.errors import ConfigError
from recpoison.models.base import Fitted, Params
from recpoison.models.bprmf import BPRMF
from recpoison.models.lightgcn import LightGCN
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.graph_objective import final_tables
from recpoison.training.optimizers import slots
from recpoison.training.trainer import Trainer
from recpoison.training.whole_data import BPRDataLoss

CPU, QUIET = torch.device("cpu"), Progress()
USERS, ITEMS = 13, 9  # the last user and the last item have no row
PLACES = [(regularized, shifted) for regularized in ("layer_0", "final") for shifted in ("layer_0", "final")]


@pytest.fixture
def data() -> Interactions:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((USERS - 1, ITEMS - 1)) < 0.4)
    return Interactions(users, items, np.ones(len(users)), USERS, ITEMS)


def start(model: LightGCN, data: Interactions) -> Params:
    """Initial values in double precision, with offsets that are not 0."""
    params = {name: tensor.double() for name, tensor in model.init(data, Seeds(0)).items()}
    rng = np.random.default_rng(1)
    return {name: x + torch.from_numpy(rng.normal(0, 0.1, tuple(x.shape))) for name, x in params.items()}


def dense_final(params: Params, data: Interactions, layers: int) -> Params:
    """All layers of users and items from the whole adjacency, as the paper has it (equations 7 and 8)."""
    ones = torch.zeros(USERS + ITEMS, USERS + ITEMS, dtype=torch.float64)
    users, items = torch.tensor(data.users), torch.tensor(data.items) + USERS
    ones[users, items] = ones[items, users] = 1
    degrees = ones.sum(1)
    weights = ones / (degrees[:, None] * degrees).sqrt().clamp_min(1)
    kept = [torch.cat([params["user"], params["item"]])]
    for _ in range(layers):
        kept.append(weights @ kept[-1])
    final = torch.stack(kept).mean(0)
    user, item = final[:USERS], final[USERS:]
    if "user_offset" in params:
        user, item = user + params["user_offset"], item + params["item_offset"]
    return {"user": user, "item": item}


def dense_loss(model: LightGCN, params: Params, data: Interactions, batch, total: bool = False) -> torch.Tensor:
    """The mean over a batch, or its sum."""
    final = dense_final(params, data, model.layers)
    p, q, r = final["user"][batch[0]], final["item"][batch[1]], final["item"][batch[2]]
    loss = torch.log1p(torch.exp((p * r).sum(1) - (p * q).sum(1))).sum()
    lengths = final if model.regularized == "final" else params
    for name, rows in zip(("user", "item", "item"), batch, strict=True):
        loss = loss + model.regularization / 2 * (lengths[name][rows] ** 2).sum()
    return loss if total else loss / len(batch[0])


def gradient_of(loss, params: Params) -> Params:
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    found = torch.autograd.grad(loss(leaves), list(leaves.values()), materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


def same(got: Params, want: Params) -> None:
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        torch.testing.assert_close(got[name], tensor, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"embedding_size": 0}, "model.embedding_size is 0"),
        ({"layers": -1}, "model.layers is -1"),
        ({"regularization": math.inf}, "model.regularization is inf"),
        ({"regularized": "all"}, "model.regularized is 'all': choose one of layer_0, final"),
        ({"sampler": "triples"}, "model.sampler is 'triples': choose one of pairs, users"),
        ({"shifted": "item"}, "model.shifted is 'item'"),
        ({"initial": "xavier"}, "model.initial is 'xavier': choose one of normal, xavier_own"),
        ({"trainer": Trainer(backend="numba")}, "model.trainer.backend=numba has no LightGCN"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        LightGCN(**setting)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize(("regularized", "shifted"), PLACES)
def test_every_gradient_is_that_of_dense_autograd(data, layers, regularized, shifted):
    """Of a batch by ``loss`` and by a step of the objective, and of all data."""
    model = LightGCN(5, layers, 0.3, regularized, shifted=shifted, trainer=Trainer(1, 16, "sgd", 1.0))
    params, objective = start(model, data), model.objective(data, Seeds(0), CPU)
    batch = next(iter(objective.batches(model.trainer, 0, CPU)))
    assert len(batch[0].unique()) < len(batch[0]), "the case must repeat users in a batch"
    want = gradient_of(lambda leaves: dense_loss(model, leaves, data, batch), params)
    assert model.loss(params, batch).item() == pytest.approx(dense_loss(model, params, data, batch).item(), abs=1e-12)
    same(gradient_of(lambda leaves: model.loss(leaves, batch), params), want)

    whole = replace(model.trainer, batch_size=1000)
    (everything,) = objective.batches(whole, 0, CPU)
    after = slots(whole.run(objective, whole.start(params), QUIET), "param")
    want = gradient_of(lambda leaves: dense_loss(model, leaves, data, everything), params)
    still = {name: torch.zeros_like(tensor) for name, tensor in params.items() if name.endswith("offset")}
    same({name: params[name] - tensor for name, tensor in after.items()}, want | still)

    triples = [torch.cat(column) for column in zip(*BPRDataLoss(data, Seeds(3), CPU, None).chunks(2), strict=True)]
    value, found = model.data_loss(data, Seeds(3), CPU).gradient(params, 2)
    assert value == pytest.approx(dense_loss(model, params, data, triples, total=True).item(), rel=1e-10)
    same(found, gradient_of(lambda leaves: dense_loss(model, leaves, data, triples, total=True), params))


def test_a_second_derivative_is_that_of_dense_autograd(data):
    """A Hessian-vector product, as influence and unrolled attacks want it."""
    model = LightGCN(3, 2, 0.1, trainer=Trainer(1, 16, "sgd"))
    params = start(model, data)
    batch = next(iter(model.objective(data, Seeds(0), CPU).batches(model.trainer, 0, CPU)))

    def product(loss) -> Params:
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
        slopes = torch.autograd.grad(loss(leaves), list(leaves.values()), create_graph=True)
        along = sum((slope * tensor).sum() for slope, tensor in zip(slopes, params.values(), strict=True))
        return dict(zip(params, torch.autograd.grad(along, list(leaves.values())), strict=True))

    same(
        product(lambda leaves: model.loss(leaves, batch)),
        product(lambda leaves: dense_loss(model, leaves, data, batch)),
    )


def test_propagation_keeps_no_layer(data):
    """Autograd saves nothing for the way back, whatever the number of layers."""
    saved = []
    table = torch.ones(USERS + ITEMS, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor), lambda nothing: nothing):
        mean = Propagation.of(data.seen, 3, CPU).mean(table)
    assert mean.requires_grad
    assert not saved


def test_blocks_of_nodes_are_no_matter(data, monkeypatch):
    table = torch.randn(USERS + ITEMS, 4, generator=torch.Generator().manual_seed(0))
    want = Propagation.of(data.seen, 3, CPU).mean(table)
    monkeypatch.setattr("recpoison.algebra.propagation.BLOCK", 5)
    assert torch.equal(Propagation.of(data.seen, 3, CPU).mean(table), want)


def test_scores_by_hand():
    """One user has items 0 and 1, so a pair weighs 1/sqrt(2): the user's mean is (4 + 2/sqrt(2)) / 2, the items' alike.

    Item 2 is nobody's: half of what it is.
    """
    data = Interactions(np.array([0, 0, 0]), np.array([0, 1, 1]), np.ones(3), 1, 3)  # the second time counts nothing
    params = {"user": torch.tensor([[4.0]]), "item": torch.tensor([[2.0], [0.0], [6.0]])}
    root = math.sqrt(2)
    user, items = 2 + 1 / root, (1 + root, root, 3.0)
    scores = LightGCN(1, 1).scores(params, data, torch.tensor([0]))
    assert scores[0].tolist() == pytest.approx([user * item for item in items])


def test_without_layers_it_is_bprmf(data):
    """The same scores of the same numbers, and the same fit: a mean over all pairs at ``n`` times the step."""
    peer = BPRMF(5, 0.02, "xavier", trainer=Trainer(30, 1000, "sgd", 0.05, backend="torch"))
    n = len(data)
    model = LightGCN(5, 0, 0.02, trainer=replace(peer.trainer, learning_rate=0.05 * n, backend="auto"))
    params = peer.init(data, Seeds(0))
    got = model.trainer.fit(model.objective(data, Seeds(0), CPU), params, QUIET)
    want = peer.trainer.fit(peer.objective(data, Seeds(0), CPU), params, QUIET)
    for name, tensor in want.items():
        torch.testing.assert_close(got[name], tensor, atol=1e-5, rtol=1e-5)
        assert (tensor - params[name]).abs().max() > 0.1, "nothing was learned"
    users = torch.arange(USERS)
    assert torch.equal(model.scores(want, data, users), peer.scores(want, data, users))


def test_a_fitted_model_propagates_once_and_a_shifted_one_anew(planted, monkeypatch):
    model = LightGCN(4, 2, trainer=replace(LightGCN().trainer, epochs=2))
    fitted = NoDefense().fit(model, planted.train, Seeds(0), CPU, QUIET)
    calls = []
    nested = Propagation.nested
    monkeypatch.setattr(Propagation, "nested", lambda self, table: calls.append(1) or nested(self, table))
    blocks = [fitted.scores(users) for users in torch.arange(40).split(10)]
    assert len(calls) == 1
    torch.testing.assert_close(torch.cat(blocks), model.scores(fitted.params, planted.train, torch.arange(40)))
    shift = EmbeddingShift({"user": torch.ones(40, 4)})
    moved = replace(fitted, params=shift.apply(fitted.params))
    want = model.scores(shift.apply(fitted.params), planted.train, torch.arange(40))
    torch.testing.assert_close(moved.scores(torch.arange(40)), want)
    assert not torch.allclose(want, torch.cat(blocks), atol=0.1)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in fitted.params.items()}
    live = replace(fitted, params=leaves)
    for users in torch.arange(40).split(20):
        live.scores(users).sum().backward()  # a graph of its own each time
    graph = Propagation.of(planted.train.seen, 2, CPU)
    final = final_tables(fitted.params, graph)
    slopes = torch.cat([final["item"].sum(0).expand(40, 4), final["user"].sum(0).expand(41, 4)])  # of all scores' sum
    torch.testing.assert_close(leaves["user"].grad, graph.mean(slopes)[:40])


def test_a_shift_before_propagation_reaches_others_and_one_after_it_does_not(data):
    users = torch.arange(USERS)
    model = LightGCN(4, 3)
    params = model.init(data, Seeds(0))
    before = model.scores(params, data, users)
    one = torch.zeros(USERS, 4)
    one[0] = 1.0
    spread = model.scores(params | {"user": params["user"] + one}, data, users) - before
    assert spread.abs().amax(1).gt(1e-4).sum() > 2, "the neighbours' neighbours move too"
    after = replace(model, shifted="final")
    assert torch.equal(after.scores(after.init(data, Seeds(0)), data, users), before)
    moved = after.scores(params | {"user_offset": one, "item_offset": torch.zeros(ITEMS, 4)}, data, users) - before
    assert moved[1:].count_nonzero() == 0
    final = dense_final({name: tensor.double() for name, tensor in params.items()}, data, 3)
    torch.testing.assert_close(moved[0].double(), final["item"].sum(1), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("shifted", ["layer_0", "final"])
def test_attacks_and_adversarial_training_shift_what_was_chosen(data, shifted):
    model = LightGCN(4, 2, shifted=shifted, trainer=Trainer(10, 16, "adam", 0.05))
    plain = NoDefense().fit(model, data, Seeds(0), CPU, QUIET)
    robust = APR(epsilon=0.3, from_epoch=1).fit(model, data, Seeds(0), CPU, QUIET)
    assert (robust.params["item"] - plain.params["item"]).abs().max() > 1e-3
    shift = FGSM(epsilon=0.1).perturb(plain, np.array([]), Seeds(0), QUIET)
    assert set(shift.tables) == set(model.tables)
    worse = Fitted(model, shift.apply(plain.params), data)
    loss = model.data_loss(data, Seeds(5), CPU)  # other negatives than the attack had
    assert loss.gradient(worse.params)[0] > loss.gradient(plain.params)[0] + 0.1
    if shifted == "final":
        for fitted in (plain, robust):
            assert not any(fitted.params[name].any() for name in model.tables), "no fit leaves a shift behind"


def test_users_are_drawn_alike_by_the_users_sampler():
    """One user has 1 pair, another 19: half of the draws are of the first, where pairs would give a twentieth."""
    data = Interactions(np.array([0] + [1] * 19), np.arange(20), np.ones(20), 2, 30)
    trainer = Trainer(1, 1000, "sgd")
    drawn = {
        sampler: torch.cat(
            [
                batch[0]
                for epoch in range(50)
                for batch in LightGCN(2, sampler=sampler).objective(data, Seeds(0), CPU).batches(trainer, epoch, CPU)
            ]
        )
        for sampler in ("pairs", "users")
    }
    assert len(drawn["pairs"]) == len(drawn["users"]) == 50 * 20
    assert (drawn["pairs"] == 0).double().mean() == 1 / 20
    assert (drawn["users"] == 0).double().mean() == pytest.approx(0.5, abs=0.05)
