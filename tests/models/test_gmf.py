"""GMF: settings, the loss and the scores by hand, gradients by differences."""

import math

import pytest
import torch

from recpoison.errors import ConfigError
from recpoison.models.gmf import GMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"embedding_size": 0}, "model.embedding_size is 0: give 1 or more"),
        ({"negatives": 0}, "model.negatives is 0: give 1 or more"),
        ({"regularization": -0.1}, "model.regularization is -0.1"),
        ({"regularization": float("nan")}, "model.regularization is nan"),
        ({"initial_std": 0.0}, "model.initial_std is 0"),
        ({"hidden": (0,)}, "give a list of whole numbers, each 1 or more"),
        ({"trainer": Trainer(backend="numba")}, "backend=numba has no GMF"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        GMF(**setting)


def by_hand():
    """Scores of users (1, 2) and (0, 1) for items (3, 1) and (-1, 2), output (2, 1), bias 0.5: 8.5, 2.5; 1.5, 2.5."""
    return {
        "user": torch.tensor([[1.0, 2], [0, 1]]),
        "item": torch.tensor([[3.0, 1], [-1, 2]]),
        "output": torch.tensor([2.0, 1]),
        "bias": torch.tensor([0.5]),
    }


def test_scores_by_hand(planted):
    scores = GMF(2).scores(by_hand(), planted.train, torch.tensor([0, 1]))
    assert scores.tolist() == [[8.5, 2.5], [1.5, 2.5]]


def test_a_hidden_layer_by_hand(planted):
    """Products (3, 2), (-1, 4) and (0, 1), (0, 2) through relu(a - b) and relu(b - 1), weighed 10 and 1."""
    params = by_hand() | {"product_weight_0": torch.tensor([[1.0, -1], [0, 1]])}
    params |= {"product_bias_0": torch.tensor([0.0, -1]), "output": torch.tensor([10.0, 1])}
    scores = GMF(2, hidden=(2,)).scores(params, planted.train, torch.tensor([0, 1]))
    assert scores.tolist() == [[11.5, 3.5], [0.5, 1.5]]


def test_loss_by_hand():
    """Positives (0, 1) and (1, 0), one negative each, the other item; squared lengths 5+5+10 and 1+10+5."""
    batch = (torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([[0], [1]]))

    def entropy(margin: float) -> float:
        return math.log1p(math.exp(-margin))

    want = entropy(2.5) + entropy(-8.5) + entropy(1.5) + entropy(-2.5)
    assert GMF(2, regularization=0.0).loss(by_hand(), batch).item() == pytest.approx(want, rel=1e-6)
    assert GMF(2, regularization=0.1).loss(by_hand(), batch).item() == pytest.approx(want + 0.05 * 36, rel=1e-6)


def test_gradient_by_differences(planted, seeds):
    model = GMF(3, negatives=2, regularization=0.1, initial_std=0.5)
    params = {name: tensor.double() for name, tensor in model.init(planted.train, seeds).items()}
    batch = next(model.objective(planted.train, seeds, CPU).batches(Trainer(batch_size=6), 0, CPU))
    leaves = tuple(tensor.requires_grad_() for tensor in params.values())
    assert torch.autograd.gradcheck(lambda *values: model.loss(dict(zip(params, values, strict=True)), batch), leaves)


def test_loss_on_all_data_is_the_loss_of_its_draw(planted, seeds):
    """Every pair once, with the negatives of a draw: another draw gives another sum, the same draw the same."""
    model = GMF(4, negatives=2)
    params, whole = model.init(planted.train, seeds), model.data_loss(planted.train, seeds, CPU)
    (value, slopes), (again, _), (other, _) = (whole.gradient(params, draw) for draw in (0, 0, 1))
    assert value == again != other
    assert value == pytest.approx(3 * len(planted.train) * math.log(2), rel=0.01), "embeddings near 0 know nothing"
    assert {name: tensor.shape for name, tensor in slopes.items()} == {n: t.shape for n, t in params.items()}


def test_users_lie_at_their_rows(planted, seeds):
    params = GMF(4).init(planted.train, seeds)
    users = torch.tensor([7, 2])
    assert torch.equal(GMF(4).user_embeddings(params, planted.train, users), params["user"][users])


def test_numbers_as_before_it_could_learn_edges(sparse):
    """Score of user 3 for item 7, and the sum of all scores, recorded before there were hidden layers."""
    adam = GMF(8, trainer=Trainer(3, 16, "adam", 0.01))
    for model, one, total in ((GMF(), -0.31963694, -247.715289), (adam, -0.28646171, -183.625555)):
        scores = model.scores(model.fit(sparse, Seeds(0), CPU, Progress()), sparse, torch.arange(29))
        assert scores[3, 7].item() == pytest.approx(one, rel=1e-6)
        assert scores.double().sum().item() == pytest.approx(total, rel=1e-6)
