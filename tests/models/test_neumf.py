"""NeuMF: settings, the fused score by hand, and the split first layer against the perceptron written out."""

import pytest
import torch

from recpoison.errors import ConfigError
from recpoison.models.gmf import GMF
from recpoison.models.neumf import NeuMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"mlp_embedding_size": 0}, "model.mlp_embedding_size is 0"),
        ({"hidden": (4, 0)}, "give a list of whole numbers, each 1 or more"),
        ({"hidden": ()}, "model.hidden is empty: give the perceptron one layer or more, or choose model=gmf"),
        ({"negatives": 0}, "model.negatives is 0"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        NeuMF(**setting)


def by_hand():
    """One factor and one perceptron number a row; hidden layer of two, relu(p' + 2 q' + 1) and relu(-p' + q')."""
    return {
        "user": torch.tensor([[2.0, 1], [1, -1]]),
        "item": torch.tensor([[3.0, 0], [-1, 2]]),
        "output": torch.tensor([0.5, 10, 100]),
        "bias": torch.tensor([0.25]),
        "weight_0": torch.tensor([[1.0, 2], [-1, 1]]),
        "bias_0": torch.tensor([1.0, 0]),
    }


def test_scores_by_hand(planted):
    """User 0: 3 + 20 + 0, -1 + 60 + 100; user 1: 1.5 + 0 + 100, -0.5 + 40 + 300; and 0.25 each."""
    scores = NeuMF(1, mlp_embedding_size=1, hidden=(2,)).scores(by_hand(), planted.train, torch.arange(2))
    assert scores.tolist() == [[23.25, 159.25], [101.75, 339.75]]


def written_out(model: NeuMF, params, users, items):
    """Concatenate, then layer after layer, for pairs ``users`` x ``items``."""
    size = model.embedding_size
    p, q = params["user"][users], params["item"][items]
    hidden = torch.cat([p[:, size:], q[:, size:]], dim=1)
    for layer in range(len(model.hidden)):
        hidden = getattr(torch, model.activation)(hidden @ params[f"weight_{layer}"].T + params[f"bias_{layer}"])
    fused = torch.cat([p[:, :size] * q[:, :size], hidden], dim=1)
    return fused @ params["output"] + params["bias"]


@pytest.mark.parametrize(("hidden", "activation"), [((8,), "relu"), ((8, 4, 2), "relu"), ((8,), "tanh")])
def test_the_split_layer_is_the_plain_perceptron(planted, seeds, hidden, activation):
    model = NeuMF(5, initial_std=1.0, mlp_embedding_size=3, hidden=hidden, activation=activation)
    params = {name: tensor.double() for name, tensor in model.init(planted.train, seeds).items()}
    generator = torch.Generator().manual_seed(0)
    for layer, width in enumerate(hidden):
        params[f"bias_{layer}"] = torch.randn(width, generator=generator, dtype=torch.float64)
    users, items = torch.arange(40), torch.arange(41)
    want = written_out(model, params, users.repeat_interleave(41), items.repeat(40)).view(40, 41)
    torch.testing.assert_close(model.scores(params, planted.train, users), want, atol=1e-12, rtol=1e-12)
    few = torch.tensor([[3, 3, 0], [40, 1, 2]])  # fewer rows than the table, and in loss's shape
    for rows, columns in ((torch.tensor([5, 9]), few), (users, items.expand(40, 41))):
        found = model.logits(params, rows, columns)
        torch.testing.assert_close(found, want[rows].gather(1, columns), atol=1e-12, rtol=1e-12)
    single = {name: tensor.float() for name, tensor in params.items()}
    torch.testing.assert_close(model.scores(single, planted.train, users).double(), want, atol=1e-4, rtol=1e-4)


def test_gradient_by_differences(planted, seeds):
    model = NeuMF(2, negatives=2, regularization=0.1, initial_std=0.5, mlp_embedding_size=2, hidden=(4, 2))
    params = {name: tensor.double() for name, tensor in model.init(planted.train, seeds).items()}
    params["bias_1"] += 0.3  # at 0 a unit whose inputs are all 0 stands on the relu's kink
    batch = next(model.objective(planted.train, seeds, CPU).batches(Trainer(batch_size=5), 0, CPU))
    leaves = tuple(tensor.requires_grad_() for tensor in params.values())
    assert torch.autograd.gradcheck(lambda *values: model.loss(dict(zip(params, values, strict=True)), batch), leaves)


def test_without_the_perceptrons_weight_it_is_gmf(planted, seeds):
    model = NeuMF(4, mlp_embedding_size=3, hidden=(6,))
    params = model.init(planted.train, seeds)
    params["output"][4:] = 0
    linear = {name: params[name][:, :4].contiguous() for name in ("user", "item")}
    linear |= {"output": params["output"][:4], "bias": params["bias"]}
    users = torch.arange(40)
    want = GMF(4).scores(linear, planted.train, users)
    torch.testing.assert_close(model.scores(params, planted.train, users), want)


def test_numbers_as_before_it_could_learn_edges(sparse):
    """Score of user 3 for item 7, and the sum of all scores, recorded when layers had ``hidden_size``."""
    deep = NeuMF(5, hidden=(8, 4, 2))
    adam = NeuMF(8, regularization=0.1, trainer=Trainer(3, 16, "adam", 0.01))
    want = [(NeuMF(), -1.8834387, -1076.13543), (deep, -1.3178923, -888.58219), (adam, -1.6314692, -838.46078)]
    for model, one, total in want:
        scores = model.scores(model.fit(sparse, Seeds(0), CPU, Progress()), sparse, torch.arange(29))
        assert scores[3, 7].item() == pytest.approx(one, rel=1e-6)
        assert scores.double().sum().item() == pytest.approx(total, rel=1e-6)
