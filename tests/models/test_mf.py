"""MF on observed ratings: settings, the loss by hand, and the epoch against autograd and torch.optim."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.ratings import RatingObjective, shares_of_scale
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def rated() -> Interactions:
    """About 60 ratings of 1 to 8 by 11 users on 9 items."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((11, 9)) < 0.6)
    return Interactions(users, items, rng.integers(1, 9, len(users)).astype(float), 11, 9, Scale(1, 8, 1))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"embedding_size": 0}, "model.embedding_size is 0"),
        ({"regularization": -0.1}, "model.regularization is -0.1"),
        ({"regularization": float("nan")}, "model.regularization is nan"),
        ({"initial": "uniform"}, "model.initial is 'uniform': choose one of xavier, xavier_own, normal"),
        ({"initial_std": 0.0}, "model.initial_std is 0"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        MF(**setting)


@pytest.mark.parametrize(("initial", "user_bound"), [("xavier", 0.5), ("xavier_own", 0.1)])
def test_xavier_bounds_by_hand(seeds, initial, user_bound):
    """20 items, 596 users, embeddings of 4: sqrt(6 / (20 + 4)) = 0.5 and sqrt(6 / (596 + 4)) = 0.1."""
    data = Interactions(np.array([0]), np.array([0]), np.ones(1), 596, 20)
    params = MF(4, initial=initial).init(data, seeds)
    assert params["user"].abs().max().item() == pytest.approx(user_bound, rel=0.01)
    assert params["item"].abs().max().item() == pytest.approx(0.5, rel=0.1)


def test_ratings_become_shares_of_the_scale():
    rows = np.arange(3)
    explicit = Interactions(rows, rows, np.array([1.0, 4, 8]), 3, 3, Scale(1, 8, 1))
    assert shares_of_scale(explicit).tolist() == [0.125, 0.5, 1]
    assert shares_of_scale(replace(explicit, scale=None)).tolist() == [1, 1, 1]


def test_loss_by_hand():
    """Scores 1·2 + 0·1 = 2 and 2·0 + 1·3 = 3, ratings 1 and 0.5: errors 1 and 2.5; squared lengths 1 + 5 and 5 + 9."""
    params = {"user": torch.tensor([[1.0, 0], [2, 1]]), "item": torch.tensor([[2.0, 1], [0, 3]])}
    batch = (torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([1.0, 0.5]))
    assert MF(2, regularization=0).loss(params, batch).item() == pytest.approx((1 + 6.25) / 2)
    assert MF(2, regularization=0.1).loss(params, batch).item() == pytest.approx((1 + 6.25) / 2 + 0.05 * 20 / 2)


def test_first_adagrad_step_by_hand():
    """One rating 4 of 5, score 1·0.5 = 0.5, slope 2 (0.5 - 0.8) = -0.6: gradients -0.3 and -0.6, sums 0.19 and 0.46."""
    data = Interactions(np.array([0]), np.array([0]), np.array([4.0]), 1, 1, Scale(1, 5, 1))
    trainer = Trainer(1, 4096, "adagrad", 10.0, 0.1)
    start = {"user": torch.tensor([[1.0]]), "item": torch.tensor([[0.5]])}
    fitted = trainer.fit(RatingObjective(data, Seeds(0)), start, Progress())
    assert fitted["user"].item() == pytest.approx(1 + 10 * 0.3 / 0.19**0.5, rel=1e-6)
    assert fitted["item"].item() == pytest.approx(0.5 + 10 * 0.6 / 0.46**0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("backend", "optimizer"),
    [("numba", "adagrad"), ("numba", "sgd"), ("torch", "adagrad"), ("torch", "sgd"), ("torch", "adam")],
)
@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_is_that_of_torch_optim(rated, seeds, backend, optimizer, drop_last):
    """Batches of 16 repeat users and items. Autograd of ``loss`` and torch.optim walk the same batches."""
    rate = 0.05 if optimizer == "adam" else 2.0
    trainer = Trainer(3, 16, optimizer, rate, 0.1, drop_last=drop_last, backend=backend)
    model = MF(5, regularization=0.2, initial="normal", initial_std=0.5, trainer=trainer)
    objective = RatingObjective(rated, seeds.child("train"), 0.2)
    tables = {name: tensor.requires_grad_() for name, tensor in model.init(rated, seeds).items()}
    makers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}
    extra = {"initial_accumulator_value": 0.1} if optimizer == "adagrad" else {}
    rule = makers[optimizer](tables.values(), rate, **extra)
    seen = 0
    for epoch in range(3):
        for batch in objective.batches(trainer, epoch, CPU):
            seen += len(batch[0])
            rule.zero_grad()
            model.loss(tables, batch).backward()
            rule.step()
    assert seen == 3 * (len(rated) // 16 * 16 if drop_last else len(rated))
    fitted = model.fit(rated, seeds, CPU, Progress())
    for name, table in tables.items():
        torch.testing.assert_close(fitted[name], table.detach(), atol=2e-5, rtol=2e-5)


def test_each_epoch_visits_each_rating_once(rated, seeds):
    objective = RatingObjective(rated, seeds)
    users, items, ratings = map(torch.cat, zip(*objective.batches(Trainer(batch_size=7), 0, CPU), strict=True))
    visited = sorted(zip(users.tolist(), items.tolist(), (8 * ratings).round().tolist(), strict=True))
    assert visited == sorted(zip(rated.users.tolist(), rated.items.tolist(), rated.values.tolist(), strict=True))


def test_a_rank_one_table_is_completed():
    """Rating = user's level x item's level on a grid; a held-out fifth is predicted to within a hundredth."""
    levels = np.linspace(0.3, 1, 30)
    users, items = np.divmod(np.arange(900), 30)
    values = 10 * levels[users] * levels[items]
    test = np.random.default_rng(0).random(900) < 0.2
    data = Interactions(users[~test], items[~test], values[~test], 30, 30, Scale(0.9, 10, 0.001))
    params = MF(2, trainer=replace(MF().trainer, epochs=200)).fit(data, Seeds(0), CPU, Progress())
    predicted = MF(2).scores(params, data, torch.arange(30)).numpy()[users, items][test]
    assert np.abs(predicted - values[test] / 10).max() < 0.01


def test_the_figure_shown_is_the_mean_squared_error(rated, seeds):
    model = MF(5, trainer=Trainer(1, 1000, "sgd", 1e-6))
    start = model.init(rated, seeds)
    losses = []

    class Listener(Progress):
        def step(self, done, total, **figures):
            losses.append(figures["loss"])

    for backend in ("numba", "torch"):
        replace(model, trainer=replace(model.trainer, backend=backend)).fit(rated, seeds, CPU, Listener())
    scores = model.scores(start, rated, torch.arange(11)).numpy()[rated.users, rated.items]
    assert losses == pytest.approx([np.mean((scores - rated.values / 8) ** 2)] * 2, rel=1e-5)
