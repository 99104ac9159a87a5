"""Steps of a batch's rows alone, against torch.optim on whole tables."""

from functools import partial

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.models.gmf import GMF
from recpoison.models.neumf import NeuMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.row_objective import RowObjective, padded_unique
from recpoison.training.sampling import DevicePairs, Pairs
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture
def data(sparse) -> Interactions:
    return sparse


def reference(model, optimizer, data, seeds):
    """The same batches through autograd on whole tables and a ``torch.optim`` rule."""
    params = {name: tensor.clone().requires_grad_() for name, tensor in model.init(data, seeds).items()}
    rule = optimizer(list(params.values()))
    objective = model.objective(data, seeds, CPU)
    for epoch in range(model.trainer.epochs):
        for batch in objective.batches(model.trainer, epoch, CPU):
            rule.zero_grad()
            model.loss(params, batch).backward()
            rule.step()
    return {name: tensor.detach() for name, tensor in params.items()}


@pytest.mark.parametrize("model", [GMF, NeuMF, partial(NeuMF, dropout=0.4)], ids=["GMF", "NeuMF", "dropout"])
@pytest.mark.parametrize(
    ("trainer", "optimizer", "rows_only"),
    [
        (Trainer(2, 4, "sgd", 0.05), lambda p: torch.optim.SGD(p, 0.05), True),
        (
            Trainer(2, 4, "adagrad", 0.1),
            lambda p: torch.optim.Adagrad(p, 0.1, initial_accumulator_value=0.1),
            True,
        ),
        (Trainer(2, 4, "adam", 0.01, eps=1e-8), lambda p: torch.optim.Adam(p, 0.01), False),
    ],
    ids=["sgd", "adagrad", "adam"],
)
def test_steps_of_rows_are_steps_of_whole_tables(data, seeds, model, trainer, optimizer, rows_only):
    part = model(5, negatives=3, regularization=0.1, rows_only=rows_only, trainer=trainer)
    fitted = part.fit(data, seeds, CPU, Progress())
    for name, tensor in reference(part, optimizer, data, seeds).items():
        torch.testing.assert_close(fitted[name], tensor, atol=2e-6, rtol=2e-5)


def test_adam_on_rows_is_sparse_adam(data, seeds):
    """``torch.optim.SparseAdam`` takes sparse gradients only: no dense parameter here."""
    trainer = Trainer(2, 4, "adam", 0.01, eps=1e-8)
    tables = {
        name: torch.from_numpy(np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32))
        for name, n in (("user", 29), ("item", 23))
    }

    def loss(params, batch):
        users, positives, negatives = batch
        look = torch.nn.functional.embedding
        p, q = look(users, params["user"], sparse=sparse), look(positives, params["item"], sparse=sparse)
        return ((p * q).sum(1) - 1).square().sum() + look(negatives, params["item"], sparse=sparse).square().sum()

    objective = RowObjective(data, seeds, loss, "a loss", 3)
    sparse = False
    found = trainer.fit(objective, tables, Progress())
    sparse = True
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in tables.items()}
    rule = torch.optim.SparseAdam(list(leaves.values()), 0.01)
    for epoch in range(2):
        for batch in objective.batches(trainer, epoch, CPU):
            rule.zero_grad()
            loss(leaves, batch).backward()
            rule.step()
    for name, tensor in leaves.items():
        torch.testing.assert_close(found[name], tensor.detach(), atol=2e-6, rtol=2e-5)


def test_negatives_are_unseen_and_belong_to_their_pair(data, seeds):
    users, items, negatives = DevicePairs.of(Pairs.of(data), CPU).epoch_with(seeds, 1, 7)
    seen = data.seen.toarray().astype(bool)
    assert negatives.shape == (len(data), 7)
    assert seen[users, items].all()
    assert not seen[users[:, None], negatives].any()
    assert len(set(zip(users.tolist(), items.tolist(), strict=True))) == len(data)


def test_each_unseen_item_is_as_likely(seeds):
    """One user with items 0 and 3 of 6: four others, 12,000 draws; a share strays by 0.004 (one sigma)."""
    data = Interactions(np.array([0, 0]), np.array([0, 3]), np.ones(2), 1, 6)
    negatives = DevicePairs.of(Pairs.of(data), CPU).epoch_with(seeds, 0, 6000)[2]
    shares = torch.bincount(negatives.flatten(), minlength=6) / 12000
    torch.testing.assert_close(shares, torch.tensor([0, 0.25, 0.25, 0, 0.25, 0.25]), atol=0.02, rtol=0)


def test_draws_of_an_epoch_do_not_depend_on_batches(data, seeds):
    objective = GMF(4, negatives=3).objective(data, seeds, CPU)
    small, large = (
        [torch.cat(column) for column in zip(*objective.batches(Trainer(1, size), 0, CPU), strict=True)]
        for size in (5, 1000)
    )
    assert all(torch.equal(one, other) for one, other in zip(small, large, strict=True))
    others = [torch.cat(column) for column in zip(*objective.batches(Trainer(1, 5), 1, CPU), strict=True)]
    assert not torch.equal(small[2], others[2])


def test_other_seeds_train_otherwise(data):
    first, other = (GMF(4, trainer=Trainer(1)).fit(data, Seeds(seed), CPU, Progress()) for seed in (0, 1))
    assert not torch.equal(first["user"], other["user"])


def test_distinct_numbers_in_static_shapes():
    """7 comes twice, so that one place is left: it holds the first number, and takes that one's gradient."""
    distinct, inverse, places = padded_unique(torch.tensor([7, 2, 9, 7]))
    assert distinct.tolist() == [2, 7, 9, 2]
    assert inverse.tolist() == [1, 0, 2, 1]
    assert places.tolist() == [0, 1, 2, 0]
