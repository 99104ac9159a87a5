"""Fake users learned through an item autoencoder: the gradient is that of dense autograd, by all three ways."""

import numpy as np
import pytest
import torch
from learned_attacks import CPU, Figures, small_data, some_fakes, training

from recpoison.attacks.profiles.bilevel_item_ae import BilevelItemAEAttack
from recpoison.attacks.profiles.outer import OuterOptimizer
from recpoison.attacks.targets import Targets
from recpoison.data.synthetic import Synthetic
from recpoison.errors import ConfigError
from recpoison.models.item_ae import ItemAE
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Diverged, Trainer

PLAIN = {"tanh": torch.tanh, "selu": torch.nn.functional.selu}


def surrogate(epochs=3, batch_size=100, optimizer="adam", rate=0.02, activation="tanh", hidden=(5, 3)):
    trainer = Trainer(epochs=epochs, batch_size=batch_size, optimizer=optimizer, learning_rate=rate, eps=1e-8)
    return ItemAE(hidden, activation, regularization=0.01, trainer=trainer)


def attack(**settings):
    defaults = {"targets": Targets("list", (3,)), "n_fake_users": 4, "surrogate": surrogate()}
    return BilevelItemAEAttack(**(defaults | settings))


@pytest.fixture
def data():
    return small_data()


def written(tables, x, activation):
    """The plain autoencoder on columns ``x`` (items x users)."""
    first, bias, *layers, last = tables
    values = activation(x @ first + bias)
    for layer in layers:
        values = activation(values @ layer[:-1] + layer[-1])
    return values @ last[:, :-1].T + last[:, -1]


def dense_gradient(training, data, shown):
    """The authors' way: dense columns, their mask held, plain autograd through the last steps and the scores."""
    model, shown = training.model, shown.clone().requires_grad_()
    x = torch.cat([torch.from_numpy(data.seen.toarray()).double(), shown]).T
    weights, activation = torch.where(x.detach() > 0, model.weight, 1.0), PLAIN[model.activation]
    tables = [table.clone().requires_grad_() for table in training.inner.first]
    memory = [(torch.zeros_like(t), torch.zeros_like(t)) for t in tables]
    for number in range(training.steps):
        if number == training.steps - training.unrolled:
            tables = [t.detach().requires_grad_() for t in tables]
            memory = [(m.detach(), v.detach()) for m, v in memory]
        items = training.inner.batches(number)
        items = torch.arange(len(x)) if items is None else items.tensor
        loss = (weights[items] * (x[items] - written(tables, x[items], activation)).square()).sum()
        for k, g in enumerate(torch.autograd.grad(loss, tables, create_graph=True)):
            g = g + model.regularization * tables[k]
            if model.trainer.optimizer == "sgd":
                tables[k] = tables[k] - model.trainer.learning_rate * g
                continue
            m, v = memory[k]
            memory[k] = m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            scale = (v / (1 - 0.999 ** (number + 1))).sqrt() + 1e-8
            tables[k] = tables[k] - model.trainer.learning_rate / (1 - 0.9 ** (number + 1)) * m / scale
    if training.unrolled == 0:
        tables = [t.detach() for t in tables]
    scores = written(tables, x, activation).T[: data.n_users]
    value = -torch.log_softmax(scores, 1)[:, training.targets].mean(1).sum()
    return value, torch.autograd.grad(value, shown)[0]


@pytest.mark.parametrize("unroll_steps", [0, 1, None])
@pytest.mark.parametrize("batch_size", [100, 6])
@pytest.mark.parametrize("model", [{}, {"optimizer": "sgd", "rate": 1e-3}, {"activation": "selu", "hidden": (4,)}])
def test_gradient_equals_that_of_the_dense_code(data, unroll_steps, batch_size, model):
    made = attack(surrogate=surrogate(batch_size=batch_size, **model), unroll_steps=unroll_steps)
    made = training(made, data, (3, 7))
    assert made.steps == (3 if batch_size == 100 else 9)
    look = made(some_fakes(), True)
    value, gradient = dense_gradient(made, data, some_fakes())
    assert look.objective == pytest.approx(value.item(), rel=1e-12)
    assert gradient.norm() > 1e-3
    assert (look.gradient - gradient).norm() < 1e-10 * gradient.norm()


def test_gradient_equals_finite_differences(data):
    # Values below 1 keep their weight when they move a little.
    made, fakes = training(attack(surrogate=surrogate(batch_size=6)), data), 0.5 + 0.3 * some_fakes()
    gradient = made(fakes, True).gradient
    for place in ((0, 0), (1, 3), (3, 14)):
        step = torch.zeros_like(fakes)
        step[place] = 1e-5
        slope = (made(fakes + step, False).objective - made(fakes - step, False).objective) / 2e-5
        assert gradient[place].item() == pytest.approx(slope, rel=1e-5)


def test_the_partial_derivative_is_not_zero_and_all_steps_are_another_gradient(data):
    partial = training(attack(unroll_steps=0), data)(some_fakes(), True).gradient
    exact = training(attack(), data)(some_fakes(), True).gradient
    assert (partial.norm(dim=1) > 0).all()
    assert torch.nn.functional.cosine_similarity(partial.flatten(), exact.flatten(), dim=0) < 0.9


@pytest.mark.parametrize("batch_size", [100, 6])
def test_all_iterations_share_initial_values_and_batches(data, batch_size):
    """What is learned from some fake users is forgotten before the next are looked at."""
    made = training(attack(surrogate=surrogate(batch_size=batch_size)), data)
    first = [table.clone() for table in made.inner.first]
    look, other, again = (made(fakes, True) for fakes in (some_fakes(), 1 - some_fakes(), some_fakes()))
    assert look.objective == again.objective != other.objective
    assert torch.equal(look.gradient, again.gradient)
    assert all(torch.equal(table, start) for table, start in zip(made.inner.first, first, strict=True))


@pytest.mark.parametrize("batch_size", [100, 6])
def test_running_steps_twice_gives_the_same_gradient(data, batch_size):
    looks, model = [], surrogate(8, batch_size)
    for limit in (None, 7e-5):
        made = training(attack(surrogate=model, memory_limit=limit), data)
        looks.append(made(some_fakes(), True))
    assert made.segment is not None
    torch.testing.assert_close(looks[0].gradient, looks[1].gradient, rtol=1e-12, atol=1e-12)


def test_a_memory_limit_that_cannot_be_kept_is_refused(data):
    with pytest.raises(ConfigError, match=r"attack\.memory_limit"):
        training(attack(memory_limit=1e-7), data)


def test_a_surrogate_that_leaves_the_numbers_is_an_error(data):
    model = surrogate(200, optimizer="sgd", rate=10.0)
    with pytest.raises(Diverged, match=r"attack\.surrogate\.trainer\.learning_rate"):
        training(attack(surrogate=model), data)(some_fakes(), False)


@pytest.mark.parametrize("unroll_steps", [0, None])
def test_the_target_rises_and_the_result_rescores_identically(unroll_steps):
    seeds, figures = Seeds(0), Figures()
    data = Synthetic(name="small", n_users=150, n_items=80, rank=8, threshold=3.0).load(None, seeds, Progress()).train
    made = attack(
        targets=Targets("list", (0,)), n_fake_users=40, unroll_steps=unroll_steps, cutoff=10,
        surrogate=surrogate(30, rate=0.03, activation="selu", hidden=(16, 8)), outer=OuterOptimizer(iterations=12),
    )  # fmt: skip
    change = made.poison(data, np.array([0]), seeds, CPU, figures)
    assert max(figures.hit_ratios) > figures.hit_ratios[0] + 0.2
    values = torch.zeros(40, 80)
    values[change.profile, change.items] = 1
    again = made._surrogate(data, torch.tensor([0]), 40, seeds.child("attack", "surrogate"), CPU)(values, False)
    assert again.hit_ratio == max(figures.hit_ratios)
    assert change.trace["HR"].tolist() == figures.hit_ratios
    assert change.trace["Objective"].tolist() == figures.objectives
    assert len(figures.hit_ratios) == 13


def test_the_papers_partial_derivative_variant_forces_targets(data):
    outer = OuterOptimizer(
        iterations=3, step_size=1.0, decay="none", momentum=0.95, keep="projected", threshold=0.05, bound=None
    )
    made = attack(unroll_steps=0, click_targets=True, outer=outer)
    change = made.poison(data, np.array([3]), Seeds(0), CPU, Progress())
    assert sorted(change.profile[change.items == 3]) == [0, 1, 2, 3]
