"""The item autoencoder without the matrix is the same training as with it."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from recpoison.algebra.observed import Observed
from recpoison.errors import ConfigError
from recpoison.models.base import Monitor, Watch
from recpoison.models.item_ae import ItemAE
from recpoison.progress import Progress
from recpoison.training.row_batches import RowBatches, Rows
from recpoison.training.trainer import Diverged, Trainer

CPU = torch.device("cpu")


def model(epochs=5, batch_size=1000, optimizer="adam", rate=0.02, **settings):
    trainer = Trainer(epochs=epochs, batch_size=batch_size, optimizer=optimizer, learning_rate=rate, eps=1e-8)
    return ItemAE(**({"hidden": (8, 4), "regularization": 0.1, "trainer": trainer} | settings))


class Dense(torch.nn.Module):
    """The authors' way: torch's layers on dense columns, starting from our initial values."""

    def __init__(self, ae, params):
        super().__init__()
        first, bias, *between, last = (params[name].double() for name in ae.parameters)
        pairs = [(first.T, bias), *((w[:-1].T, w[-1]) for w in between), (last[:, :-1], last[:, -1])]
        layers = []
        for weight, shift in pairs:
            layers.append(torch.nn.Linear(*weight.shape[::-1], dtype=torch.float64))
            layers[-1].weight.data.copy_(weight)
            layers[-1].bias.data.copy_(shift)
        self.layers = torch.nn.ModuleList(layers)
        self.activation = {"tanh": torch.nn.Tanh(), "selu": torch.nn.SELU()}[ae.activation]

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


def weighted(ae, x, r):
    return (torch.where(x > 0, ae.weight, 1.0) * (x - r).square()).sum()


def columns_of(data):
    return torch.from_numpy(data.seen.toarray()).double().T


def dense_scores(ae, data, seeds):
    """Scores ``(n_users, n_items)`` after dense training with torch's own Adam."""
    net, x = Dense(ae, ae.init(data, seeds)), columns_of(data)
    optimizer = torch.optim.Adam(net.parameters(), lr=ae.trainer.learning_rate, weight_decay=ae.regularization)
    batches = RowBatches(data.n_items, ae.trainer, seeds.child("train"), CPU)
    for number in range(ae.trainer.epochs * batches.per_epoch):
        items = batches(number)
        rows = x if items is None else x[items.tensor]
        optimizer.zero_grad()
        weighted(ae, rows, net(rows)).backward()
        optimizer.step()
    with torch.no_grad():
        return net(x).T


@pytest.mark.parametrize("settings", [{}, {"batch_size": 7}, {"hidden": (6, 5, 3), "activation": "selu"}])
def test_fit_equals_dense_training_with_torchs_adam(planted, seeds, settings):
    ae, data = model(**settings), planted.train
    ours = ae.scores(ae.fit(data, seeds, CPU, Progress()), data, torch.arange(40))
    torch.testing.assert_close(ours.double(), dense_scores(ae, data, seeds), rtol=1e-4, atol=1e-4)


def test_loss_is_the_weighted_sum_over_the_batch(planted, seeds):
    ae, data = model(), planted.train
    params = {name: tensor.double() for name, tensor in ae.init(data, seeds).items()}
    part = csr_matrix(data.seen.T)[[3, 1]]
    batch = (torch.tensor([3, 1]), *(torch.from_numpy(a.astype(np.int64)) for a in (part.indptr, part.indices)))
    x = columns_of(data)[[3, 1]]
    torch.testing.assert_close(ae.loss(params, batch), weighted(ae, x, Dense(ae, params)(x)), rtol=1e-12, atol=0)


def test_gradient_is_that_of_the_loss(planted, seeds):
    ae, seen = model(), Observed.of(planted.train.seen)
    params = {name: tensor.double().requires_grad_() for name, tensor in ae.init(planted.train, seeds).items()}
    rows = torch.tensor([1, 3, 8])
    part = seen.transposed[0].take(rows)
    wanted = torch.autograd.grad(ae.loss(params, (rows, part.indptr, part.indices)), list(params.values()))
    with torch.no_grad():
        found = ae.gradient(tuple(params.values()), seen, Rows(rows, rows.numpy()))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_finds_the_held_out_item_of_planted_blocks(planted, seeds):
    ae = model(epochs=150, regularization=0.0)
    scores = ae.scores(ae.fit(planted.train, seeds, CPU, Progress()), planted.train, torch.arange(40)).clone()
    scores[torch.from_numpy(planted.train.seen.toarray()) > 0] = -torch.inf
    assert (scores.argmax(1) == torch.arange(40)).float().mean() == 1.0


def test_a_score_is_a_dot_product_and_the_same_without_the_kept_items(planted, seeds):
    ae, data, users = model(), planted.train, torch.tensor([3, 3, 0])
    params = ae.fit(data, seeds, CPU, Progress())
    assert not any(tensor.requires_grad for tensor in params.values())
    scores, bare = ae.scores(params, data, users), {name: params[name] for name in ae.parameters}
    torch.testing.assert_close(ae.scores(bare, data, users), scores)
    dots = ae.user_embeddings(params, data, users) @ ae.item_embeddings(params, data).T
    torch.testing.assert_close(dots + params["output"][users, -1:], scores)


def test_first_layers_start_the_same_with_fake_users(planted, seeds):
    data, none = planted.train, np.zeros(0, dtype=np.int64)
    more = model().init(data.with_fake_users(none, none, np.zeros(0), 9), seeds)
    for name, tensor in model().init(data, seeds).items():
        assert torch.equal(more[name][: len(tensor)], tensor)
    bound = 1 / np.sqrt(data.n_items)
    assert 0.9 * bound < more["input"].abs().max() <= bound


def test_a_monitor_and_a_watch_see_finished_params(planted, seeds):
    watch = Watch(2, lambda epoch, params: [float(params["hidden"].shape[0])])
    kept = model(epochs=4).fit(
        planted.train, seeds, CPU, Progress(), Monitor(1, lambda epoch, params: -abs(epoch - len(params) + 4), watch)
    )
    assert watch.seen == {2: [41.0], 4: [41.0]}
    assert len(kept) == 6  # the score is highest at epoch 2: six tables were there
    two = model(epochs=2).fit(planted.train, seeds, CPU, Progress())
    assert all(torch.equal(kept[name], two[name]) for name in two)


def test_training_that_leaves_the_numbers_is_an_error(planted, seeds):
    with pytest.raises(Diverged, match="learning_rate"):
        model(epochs=50, optimizer="sgd", rate=10.0, activation="selu").fit(planted.train, seeds, CPU, Progress())


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"hidden": ()}, "model.hidden"),
        ({"hidden": (4, 0)}, "model.hidden"),
        ({"activation": "sign"}, "model.activation"),
        ({"weight": 0.5}, "model.weight"),
        ({"regularization": -1.0}, "model.regularization"),
        ({"trainer": Trainer(optimizer="adagrad")}, "model.trainer.optimizer"),
        ({"trainer": Trainer(optimizer="sgd", backend="numba")}, "model.trainer.backend"),
    ],
)
def test_settings_out_of_range_are_named(settings, name):
    with pytest.raises(ConfigError, match=name):
        ItemAE(**settings)
