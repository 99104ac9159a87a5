"""PCMF: scores and loss by hand, the gradient against autograd and finite differences, and what a width does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.apr import APR
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.models.pcmf import PCMF, Ratings
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def rated() -> Interactions:
    """About 60 ratings of 1 to 8 by 11 users on 9 items, and nobody's items 9 and 10."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((11, 9)) < 0.6)
    return Interactions(users, items, rng.integers(1, 9, len(users)).astype(float), 11, 11, Scale(1, 8, 1))


def whole(data: Interactions) -> torch.Tensor:
    """All of Y."""
    return torch.from_numpy(data.csr.toarray() / (data.scale.high if data.scale else 1)).float()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"embedding_size": 0}, "model.embedding_size is 0"),
        ({"regularization": -0.1}, "model.regularization is -0.1"),
        ({"regularization": float("nan")}, "model.regularization is nan"),
        ({"initial_std": 0.0}, "model.initial_std is 0: give a finite number above 0"),
        ({"trainer": Trainer(backend="numba")}, "model.trainer.backend=numba trains on pairs"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        PCMF(**setting)


def test_scores_by_hand():
    """U = (1, 2)ᵀ, Y = [[1, 0], [0.5, 0.25]]: UᵀY = (2, 0.5), so U UᵀY = [[2, 0.5], [4, 1]]."""
    data = Interactions([0, 1, 1], [0, 0, 1], [4, 2, 1], 2, 2, Scale(1, 4))
    scores = PCMF(1).scores({"user": torch.tensor([[1.0], [2.0]])}, data, torch.tensor([1, 0]))
    assert scores.tolist() == [[4, 1], [2, 0.5]]


def test_loss_by_hand():
    """As above: errors 2 - 1, 4 - 0.5 and 1 - 0.25; the cell without a rating does not count; |U|² = 5."""
    batch = (torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), torch.tensor([1, 0.5, 0.25]))
    params = {"user": torch.tensor([[1.0], [2.0]])}
    expected = (1 + 3.5**2 + 0.75**2) / 3
    assert PCMF(1, regularization=0).loss(params, batch).item() == pytest.approx(expected)
    assert PCMF(1, regularization=0.2).loss(params, batch).item() == pytest.approx(expected + 0.1 * 5)


def test_scores_are_the_dense_product(rated, seeds):
    model = PCMF(3, initial_std=0.5)
    params = model.init(rated, seeds)
    u, users = params["user"], torch.tensor([4, 0, 10])
    torch.testing.assert_close(model.scores(params, rated, users), (u @ u.T @ whole(rated))[users])


def test_a_fit_keeps_the_items_that_it_scores_with(rated, seeds):
    model = PCMF(3)
    params = model.fit(rated, seeds, CPU, Progress())
    users = torch.arange(rated.n_users)
    alone = model.scores({"user": params["user"]}, rated, users)
    torch.testing.assert_close(model.scores(params, rated, users), alone)


def test_the_gradient_is_that_of_autograd(rated, seeds):
    model = PCMF(4, regularization=0, initial_std=0.5)
    user = model.init(rated, seeds)["user"].requires_grad_()
    (batch,) = model.objective(rated, seeds, CPU).batches(model.trainer, 0, CPU)
    model.loss({"user": user}, batch).backward()
    squares, gradient = Ratings(rated, CPU).gradient(user.detach())
    assert squares.item() / len(rated) == pytest.approx(model.loss({"user": user.detach()}, batch).item(), rel=1e-6)
    torch.testing.assert_close(gradient / len(rated), user.grad, atol=1e-6, rtol=1e-5)


def test_the_gradient_is_that_of_finite_differences(rated, seeds):
    """Of the dense definition, in double precision."""
    y, mask = whole(rated).double(), torch.from_numpy(rated.seen.toarray() > 0)
    u = PCMF(2, initial_std=0.5).init(rated, seeds)["user"].double()

    def value(matrix: torch.Tensor) -> float:
        return float(((matrix @ matrix.T @ y - y)[mask] ** 2).sum())

    _, gradient = Ratings(rated, CPU).gradient(u.float())
    for row, column in ((0, 0), (5, 1), (10, 0)):
        step = torch.zeros_like(u)
        step[row, column] = 1e-5
        slope = (value(u + step) - value(u - step)) / 2e-5
        assert gradient[row, column].item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 0.5), ("adagrad", 0.1), ("adam", 0.02)])
def test_epochs_are_those_of_torch_optim(rated, seeds, optimizer, rate):
    trainer = Trainer(4, 16, optimizer, rate, 0.1, eps=1e-8)
    model = PCMF(5, regularization=0.2, initial_std=0.5, trainer=trainer)
    user = model.init(rated, seeds)["user"].requires_grad_()
    makers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}
    extra = {"adagrad": {"initial_accumulator_value": 0.1, "eps": 1e-8}}.get(optimizer, {})
    rule = makers[optimizer]([user], rate, **extra)
    (batch,) = model.objective(rated, seeds, CPU).batches(trainer, 0, CPU)
    for _ in range(4):
        rule.zero_grad()
        model.loss({"user": user}, batch).backward()
        rule.step()
    fitted = model.fit(rated, seeds, CPU, Progress())
    torch.testing.assert_close(fitted["user"], user.detach(), atol=2e-5, rtol=2e-5)


def test_as_wide_as_users_it_copies_the_ratings_and_knows_nothing_else():
    """UUᵀ = I gives UUᵀY = Y: no error, and 0 wherever there is no rating. One column cannot."""
    data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, 3, 3)
    wide = PCMF(3, regularization=0)
    (batch,) = wide.objective(data, Seeds(0), CPU).batches(wide.trainer, 0, CPU)
    identity = {"user": torch.eye(3)}
    assert wide.loss(identity, batch).item() == 0
    assert wide.scores(identity, data, torch.tensor([2])).tolist() == [[1, 0, 0]]
    narrow = PCMF(1, regularization=0, trainer=Trainer(500, optimizer="adam", learning_rate=0.02))
    params = narrow.fit(data, Seeds(0), CPU, Progress())
    assert narrow.loss(params, batch).item() > 1e-3
    assert narrow.scores(params, data, torch.tensor([2]))[0, 1] > 0.5


def test_an_item_that_nobody_rated_scores_0(rated, seeds):
    params = PCMF(4).fit(rated, seeds, CPU, Progress())
    assert PCMF(4).scores(params, rated, torch.arange(11))[:, 9:].abs().max() == 0


def test_fake_users_are_rows_of_the_ratings(rated, seeds):
    """With U as it is, a fake user's rating of item 10 adds its U row to the item's: p_u·p_fake."""
    poisoned = rated.with_fake_users(np.array([0]), np.array([10]), np.array([8.0]), 1)
    model = PCMF(4, initial_std=0.5)
    params = model.init(poisoned, seeds)
    scores = model.scores(params, poisoned, torch.arange(11))
    torch.testing.assert_close(scores[:, 10], params["user"][:11] @ params["user"][11])


def test_a_pair_rated_twice_counts_once_with_its_mean(rated):
    again = replace(
        rated,
        users=np.append(rated.users, rated.users[0]),
        items=np.append(rated.items, rated.items[0]),
        values=np.append(rated.values, 16 - rated.values[0]),
    )
    ratings = Ratings(again, CPU)
    assert len(ratings.values) == len(rated)
    assert ratings.values[0].item() == 1  # the mean of r and 16 - r is 8, the scale's maximum


def test_adversarial_training_of_embeddings_is_refused():
    """Items have no embeddings of their own to be shifted."""
    with pytest.raises(IncompatibleParts, match="PCMF does not: choose model=bprmf or mf, or another"):
        APR().check_model(PCMF())
