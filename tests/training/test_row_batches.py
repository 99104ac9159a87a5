"""Batches of rows: which rows a step sees, and steps as functions against ``torch.optim``."""

import pytest
import torch

from recpoison.seeds import Seeds
from recpoison.training.row_batches import RowBatches, functional_optimizer, step_functionally
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")


def batches(n_rows, **settings):
    return RowBatches(n_rows, Trainer(batch_size=5, **settings), Seeds(0), CPU)


def test_every_row_is_in_one_batch_of_an_epoch():
    made = batches(23)
    assert made.per_epoch == 5
    assert [list(made.steps(epoch)) for epoch in (0, 2)] == [[0, 1, 2, 3, 4], [10, 11, 12, 13, 14]]
    for epoch in range(3):
        rows = [made(number).tensor for number in made.steps(epoch)]
        assert [len(part) for part in rows] == [5, 5, 5, 5, 3]
        assert torch.cat(rows).sort().values.tolist() == list(range(23))
        assert all(part.tolist() == sorted(part.tolist()) for part in rows)
        assert [made(number).on_host.tolist() for number in made.steps(epoch)] == [part.tolist() for part in rows]


def test_draws_depend_on_seed_and_epoch_alone():
    made, again = batches(23), batches(23)
    later = [made(number).tensor for number in range(5, 10)]
    assert all(torch.equal(again(number).tensor, part) for number, part in enumerate(later, 5))
    assert torch.equal(made(0).tensor, again(0).tensor), "an epoch that was left can be gone back to"
    assert not torch.equal(made(0).tensor, later[0])
    assert not torch.equal(made(0).tensor, RowBatches(23, made.trainer, Seeds(1), CPU)(0).tensor)


def test_the_incomplete_batch_may_be_left_out():
    made = batches(23, drop_last=True)
    assert made.per_epoch == 4
    rows = torch.cat([made(number).tensor for number in made.steps(1)])
    assert len(rows) == len(rows.unique()) == 20


@pytest.mark.parametrize(("n_rows", "drop_last"), [(5, False), (4, False), (4, True)])
def test_a_batch_that_holds_all_rows_is_taken_in_order(n_rows, drop_last):
    made = batches(n_rows, drop_last=drop_last)
    assert made.per_epoch == 1
    assert made(0) is made(7) is None


@pytest.mark.parametrize(("optimizer", "theirs"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_steps_over_two_epochs_are_those_of_torch(optimizer, theirs):
    """Two linear losses a step, so that each gradient is known; the second call goes on where the first ended."""
    trainer = Trainer(optimizer=optimizer, learning_rate=0.1, eps=1e-8)
    generator = torch.Generator().manual_seed(0)
    shapes = {"user": (3, 2), "item": (4,)}
    first = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    slopes = [[torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes.values()] for _ in range(5)]
    state, rule = trainer.start(first), functional_optimizer(trainer, 0.3)
    for steps in (range(3), range(3, 5)):
        step_functionally(rule, state, list(shapes), steps, lambda number, _: tuple(slopes[number]))
    leaves = [tensor.clone().requires_grad_() for tensor in first.values()]
    reference = theirs(leaves, lr=0.1, weight_decay=0.3)
    for gradients in slopes:
        for leaf, gradient in zip(leaves, gradients, strict=True):
            leaf.grad = gradient.clone()
        reference.step()
    for name, leaf in zip(shapes, leaves, strict=True):
        torch.testing.assert_close(state[f"param.{name}"], leaf.detach(), rtol=1e-10, atol=1e-12)
    assert "step" not in state or int(state["step"]) == 5
