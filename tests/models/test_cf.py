"""CF: settings, both forms by hand, and edges and zeros learned in full batches."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Edges, Interactions
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.models.cf import CF
from recpoison.models.gmf import GMF
from recpoison.models.neumf import NeuMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.edges.network import logits
from recpoison.training.edges.trainer import EdgeTrainer
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
MODELS = [
    CF(4, hidden=()),
    CF(4, hidden=(6,), activation="tanh"),
    CF(4, hidden=(6, 3)),
    GMF(4),
    GMF(4, hidden=(6, 3), activation="sigmoid"),
    NeuMF(4, mlp_embedding_size=3, hidden=(6, 5), activation="tanh"),
]
NAMES = [f"{type(model).__name__}-{len(model.hidden)}-{model.activation}" for model in MODELS]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"hidden": (4, 0)}, "give a list of whole numbers, each 1 or more"),
        ({"activation": "selu"}, "model.activation is 'selu': choose one of relu, tanh, sigmoid"),
        ({"dropout": 1.0}, "model.dropout is 1"),
        ({"embedding_size": 0}, "model.embedding_size is 0: give 1 or more"),
        ({"trainer": Trainer(backend="numba")}, "backend=numba has no CF"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        CF(**({"hidden": (4,)} | setting))


TABLES = {"user": torch.tensor([[1.0], [-2]]), "item": torch.tensor([[3.0], [-1]]), "bias": torch.tensor([0.5])}


def test_the_inner_product_by_hand(planted):
    assert CF(1, hidden=()).scores(TABLES, planted.train, torch.arange(2)).tolist() == [[3.5, -0.5], [-5.5, 2.5]]


def test_a_hidden_layer_by_hand(planted):
    """relu(p + 2q) and relu(-p + q + 1): (7, 3) and (0, 0) for user 0, (4, 6) and (0, 2) for user 1; output (10, 1)."""
    params = TABLES | {"weight_0": torch.tensor([[1.0, 2], [-1, 1]]), "bias_0": torch.tensor([0.0, 1])}
    params |= {"output": torch.tensor([10.0, 1])}
    model = CF(1, hidden=(2,))
    assert model.scores(params, planted.train, torch.arange(2)).tolist() == [[73.5, 0.5], [46.5, 2.5]]
    assert model.edge_logits(params, planted.train, torch.tensor([1, 0]), torch.tensor([0, 0])).tolist() == [46.5, 73.5]


def in_doubles(model, data, seeds):
    params = {name: tensor.double() for name, tensor in model.init(data, seeds).items()}
    generator = torch.Generator().manual_seed(0)
    return {name: t + torch.randn(t.shape, generator=generator, dtype=t.dtype) for name, t in params.items()}


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_pairs_several_items_and_all_items_have_one_score(planted, seeds, model):
    """The network's logits of pairs, a batch's of ranking, and the scores of a catalogue."""
    params = in_doubles(model, planted.train, seeds)
    users, items = torch.arange(40), torch.arange(41)
    want = logits(model.network, params, users.repeat_interleave(41), items.repeat(40)).view(40, 41)
    close = {"atol": 1e-12, "rtol": 1e-12}
    torch.testing.assert_close(model.scores(params, planted.train, users), want, **close)
    few = torch.tensor([[3, 3, 0], [40, 1, 2]])
    torch.testing.assert_close(model.logits(params, torch.tensor([5, 9]), few), want[[5, 9]].gather(1, few), **close)
    torch.testing.assert_close(model.edge_logits(params, planted.train, users, items[:40]), want.diagonal(), **close)


@pytest.mark.parametrize("model", MODELS[2:5], ids=NAMES[2:5])
def test_gradient_by_differences(planted, seeds, model):
    params = in_doubles(model, planted.train, seeds)
    batch = next(model.objective(planted.train, seeds, CPU).batches(Trainer(batch_size=5), 0, CPU))
    leaves = tuple(tensor.requires_grad_() for tensor in params.values())
    assert torch.autograd.gradcheck(lambda *values: model.loss(dict(zip(params, values, strict=True)), batch), leaves)


@pytest.fixture
def edges() -> Interactions:
    """Two blocks of 12 users and 10 items: rows inside, zeros outside, and a few pairs of each left out."""
    inside = (np.arange(24)[:, None] < 12) == (np.arange(20) < 10)
    left_out = (np.arange(24)[:, None] * 20 + np.arange(20)) % 7 == 0
    users, items = np.nonzero(inside & ~left_out)
    zeros = Edges(*np.nonzero(~inside & ~left_out))
    return Interactions(users, items, np.ones(len(users)), 24, 20, zeros=zeros)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_edges_and_zeros_are_told_apart(edges, model):
    model = replace(model, edge_trainer=EdgeTrainer(steps=100, learning_rate=0.05))
    params = model.fit(edges, Seeds(0), CPU, Progress())
    users, items = torch.arange(24).repeat_interleave(20), torch.arange(20).repeat(24)
    found = model.edge_logits(params, edges, users, items) > 0
    assert torch.equal(found, (users < 12) == (items < 10)), "pairs left out too"


def test_one_step_of_sgd_on_the_inner_product_by_hand():
    """User 0 at 2 has item 0 at 1, not item 1 at -1, bias 0: logits 2, -2; s = 1/(1 + e²) is the step's only slope."""
    data = Interactions([0], [0], [1], 1, 2, zeros=Edges(np.array([0]), np.array([1])))
    params = {"user": torch.tensor([[2.0]]), "item": torch.tensor([[1.0], [-1]]), "bias": torch.zeros(1)}
    model = CF(1, hidden=(), edge_trainer=EdgeTrainer(steps=1, optimizer="sgd", learning_rate=0.5))
    stepped = model.edge_trainer.fit(model.network, params, data.labelled(), Seeds(0), Progress())
    s = 1 / (1 + math.exp(2))
    # mean over both: d user = -(s * 1 + s * 1) / 2, d item = ∓s * 2 / 2, d bias = (s - s) / 2
    assert stepped["user"].item() == pytest.approx(2 + 0.5 * s, rel=1e-6)
    assert stepped["item"].flatten().tolist() == pytest.approx([1 + 0.5 * s, -1 - 0.5 * s], rel=1e-6)
    assert stepped["bias"].item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("mode", ["edges", "ranking"])
def test_dropout_is_drawn_from_the_seeds_and_absent_in_scores(edges, mode):
    data = edges if mode == "edges" else Interactions(edges.users, edges.items, edges.values, 24, 20)
    short = {"trainer": Trainer(2, 16), "edge_trainer": EdgeTrainer(steps=3)}
    plain, dropped = CF(4, hidden=(8,), **short), CF(4, hidden=(8,), dropout=0.5, **short)
    one, again, without = (m.fit(data, Seeds(0), CPU, Progress()) for m in (dropped, dropped, plain))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["user"], without["user"])
    scores = (model.scores(one, data, torch.arange(24)) for model in (dropped, plain))
    assert torch.equal(*scores)


def test_dropout_in_a_batch_leaves_out_its_share_whatever_the_batch(planted, seeds):
    """Hidden layer of ones and an output of ones: a logit counts units, 200 of which stay on average, each as 2."""
    model = CF(1, hidden=(200,), dropout=0.5)
    params = {name: torch.zeros_like(tensor) for name, tensor in model.init(planted.train, seeds).items()}
    params |= {"bias_0": torch.ones(200), "output": torch.ones(200)}
    objective = model.objective(planted.train, seeds, CPU)
    found = []
    for size in (7, 1000):
        batches = list(objective.batches(Trainer(batch_size=size), 0, CPU))
        items = [torch.cat([batch[1].unsqueeze(1), batch[2]], dim=1) for batch in batches]
        found.append(torch.cat([model.logits(params, b[0], i, b[3]) for b, i in zip(batches, items, strict=True)]))
    assert torch.equal(*found)
    kept = found[0] / 2
    assert kept.mean().item() == pytest.approx(100, abs=1)  # a pair strays by 7, the mean of thousands by less than 0.2
    assert 6 < kept.std().item() < 8


def test_mini_batches_refuse_drawn_zeros(edges):
    with pytest.raises(IncompatibleParts, match="choose defense=none"):
        CF(4).objective(edges, Seeds(0), CPU)
