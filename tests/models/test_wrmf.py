"""WRMF without the matrix is the same training as with it."""

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.base import Monitor
from recpoison.models.wrmf import WRMF
from recpoison.progress import Progress
from recpoison.training.row_batches import RowBatches
from recpoison.training.trainer import Diverged, Trainer

CPU = torch.device("cpu")


def model(epochs=5, batch_size=1000, **settings):
    trainer = Trainer(epochs=epochs, batch_size=batch_size, optimizer="adam", learning_rate=0.05, eps=1e-8)
    return WRMF(**({"embedding_size": 4, "regularization": 0.1, "trainer": trainer} | settings))


def dense_fit(wrmf, data, seeds):
    """The plain way: the whole matrix, autograd, torch's Adam."""
    tables = [tensor.double().requires_grad_() for tensor in wrmf.init(data, seeds).values()]
    optimizer = torch.optim.Adam(tables, lr=wrmf.trainer.learning_rate, weight_decay=wrmf.regularization)
    x = torch.from_numpy(data.seen.toarray()).double()
    weights = torch.where(x > 0, wrmf.weight, 1.0)
    batches = RowBatches(data.n_users, wrmf.trainer, seeds.child("train"), CPU)
    for number in range(wrmf.trainer.epochs * batches.per_epoch):
        users = batches(number)
        users = torch.arange(data.n_users) if users is None else users.tensor
        loss = (weights[users] * (x[users] - tables[0][users] @ tables[1].T).square()).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [table.detach() for table in tables]


@pytest.mark.parametrize("batch_size", [1000, 7])
def test_fit_equals_dense_training_with_torchs_adam(planted, seeds, batch_size):
    wrmf = model(batch_size=batch_size)
    params = wrmf.fit(planted.train, seeds, CPU, Progress())
    for ours, theirs in zip(params.values(), dense_fit(wrmf, planted.train, seeds), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)


def test_loss_is_the_weighted_sum_over_the_batch(planted, seeds):
    wrmf, data = model(), planted.train
    params = {name: tensor.double() for name, tensor in wrmf.init(data, seeds).items()}
    seen = data.seen[[3, 1]]
    batch = (torch.tensor([3, 1]), *(torch.from_numpy(a.astype(np.int64)) for a in (seen.indptr, seen.indices)))
    x = torch.from_numpy(seen.toarray()).double()
    r = params["user"][[3, 1]] @ params["item"].T
    wanted = (torch.where(x > 0, 20.0, 1.0) * (x - r).square()).sum()
    torch.testing.assert_close(wrmf.loss(params, batch), wanted)


def test_finds_the_held_out_item_of_planted_blocks(planted, seeds):
    wrmf = model(epochs=60)
    params = wrmf.fit(planted.train, seeds, CPU, Progress())
    scores = wrmf.scores(params, planted.train, torch.arange(40))
    scores[torch.from_numpy(planted.train.seen.toarray()) > 0] = -torch.inf
    assert (scores.argmax(1) == torch.arange(40)).float().mean() == 1.0


def test_duplicates_and_ratings_count_once(seeds):
    users, items = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    twice = Interactions(users, items, np.array([3.0, 2, 5, 1]), 2, 3)
    once = Interactions(users[1:], items[1:], np.ones(3), 2, 3)
    fits = [model().fit(data, seeds, CPU, Progress()) for data in (twice, once)]
    assert all(torch.equal(fits[0][name], fits[1][name]) for name in fits[0])


def test_a_monitor_keeps_the_best_epoch(planted, seeds):
    kept = model(epochs=4).fit(planted.train, seeds, CPU, Progress(), Monitor(1, lambda epoch, params: -abs(epoch - 2)))
    two = model(epochs=2).fit(planted.train, seeds, CPU, Progress())
    assert all(torch.equal(kept[name], two[name]) for name in two)


def test_training_that_leaves_the_numbers_is_an_error(planted, seeds):
    trainer = Trainer(epochs=50, batch_size=1000, optimizer="sgd", learning_rate=10.0)
    with pytest.raises(Diverged, match="learning_rate"):
        model(trainer=trainer).fit(planted.train, seeds, CPU, Progress())


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"embedding_size": 0}, "model.embedding_size"),
        ({"weight": 0.5}, "model.weight"),
        ({"regularization": -1.0}, "model.regularization"),
        ({"initial_std": 0.0}, "model.initial_std"),
        ({"trainer": Trainer(optimizer="adagrad")}, "model.trainer.optimizer"),
        ({"trainer": Trainer(optimizer="sgd", backend="numba")}, "model.trainer.backend"),
    ],
)
def test_settings_out_of_range_are_named(settings, name):
    with pytest.raises(ConfigError, match=name):
        WRMF(**settings)
