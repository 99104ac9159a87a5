"""Fake users learned through LightGCN: the gradient is that of dense autograd, through the graph and the training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learned_attacks import CPU, Figures, small_data, some_fakes, training
from torch.nn.functional import softplus

from recpoison.attacks.profiles.bilevel_ensemble import BilevelEnsembleAttack
from recpoison.attacks.profiles.bilevel_lightgcn import BilevelLightGCNAttack
from recpoison.attacks.profiles.bilevel_wrmf import BilevelWRMFAttack
from recpoison.attacks.profiles.outer import OuterOptimizer
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.changes import FakeProfiles
from recpoison.data.synthetic import Synthetic
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.evaluation.link_prediction import LinkPrediction
from recpoison.models.bprmf import BPRMF
from recpoison.models.lightgcn import LightGCN
from recpoison.models.wrmf import WRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer


def surrogate(epochs=3, batch_size=40, optimizer="adam", rate=0.1, size=4, **settings):
    trainer = Trainer(epochs=epochs, batch_size=batch_size, optimizer=optimizer, learning_rate=rate, eps=1e-8)
    return LightGCN(size, **({"layers": 2, "regularization": 0.1, "trainer": trainer} | settings))


def attack(**settings):
    defaults = {"targets": Targets("list", (3,)), "n_fake_users": 4, "surrogate": surrogate()}
    return BilevelLightGCNAttack(**(defaults | settings))


@pytest.fixture
def data():
    return small_data()


def propagated(x, tables, layers):
    """The mean of the layers of the whole normalised matrix of ``x`` (users x items), users above items."""
    adjacency = torch.zeros(sum(x.shape), sum(x.shape), dtype=x.dtype)
    adjacency[: len(x), len(x) :], adjacency[len(x) :, : len(x)] = x, x.T
    roots = adjacency.sum(1).rsqrt()
    layer = total = torch.cat(tables)
    for _ in range(layers):
        layer = (roots[:, None] * adjacency * roots) @ layer
        total = total + layer
    return (total / (layers + 1)).split([len(x), x.shape[1]])


def batch_loss(made, tables, x, number):
    """A step's loss pair by pair, as ``GraphInner`` says it: (user, item, negative, weight) of real and fake users."""
    inner, model, n_real, n_items = made.inner, made.model, 25, 15
    batch, shown = inner._batch(number), x[n_real:]
    triples = [(u, i, j, 1.0) for u, i, j in batch.real.T.tolist()]
    items = len(x)  # where items begin in the joint table
    triples = [(u, i - items, j - items, w) for u, i, j, w in triples]
    for cell, other in zip(batch.cells.tolist(), batch.negatives.tolist(), strict=True):
        fake, item = divmod(cell, n_items)
        weight = shown[fake, item] * (1 - shown[fake, other]) * n_items / (n_items - shown[fake].sum())
        if model.sampler == "users":
            weight = weight * (len(inner.pairs.users) / n_real) / shown[fake].sum()
        triples.append((n_real + fake, item, other, weight))
    users, items = propagated(x, tables, model.layers)
    rows = (users, items) if model.regularized == "final" else tables
    total = 0.0
    for u, i, j, weight in triples:
        square = rows[0][u].square().sum() + rows[1][i].square().sum() + rows[1][j].square().sum()
        total = total + weight * (softplus(users[u] @ (items[j] - items[i])) + model.regularization / 2 * square)
    return total / sum(weight for *_, weight in triples)


def dense_gradient(made, data, shown):
    """The whole matrix, and plain autograd through the last steps of the optimiser and the last propagation."""
    model, shown = made.model, shown.clone().requires_grad_()
    x = torch.cat([torch.from_numpy(data.seen.toarray()).double(), shown])
    tables = [table.clone().requires_grad_() for table in made.inner.first]
    memory = [(torch.zeros_like(t), torch.zeros_like(t)) for t in tables]
    for number in range(made.steps):
        if number == made.steps - made.unrolled:
            tables = [t.detach().requires_grad_() for t in tables]
            memory = [(m.detach(), v.detach()) for m, v in memory]
        for k, g in enumerate(torch.autograd.grad(batch_loss(made, tables, x, number), tables, create_graph=True)):
            if model.trainer.optimizer == "sgd":
                tables[k] = tables[k] - model.trainer.learning_rate * g
                continue
            m, v = memory[k]
            memory[k] = m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            scale = (v / (1 - 0.999 ** (number + 1))).sqrt() + 1e-8
            tables[k] = tables[k] - model.trainer.learning_rate / (1 - 0.9 ** (number + 1)) * m / scale
    if made.unrolled == 0:
        tables = [t.detach() for t in tables]
    users, items = propagated(x, tables, model.layers)
    value = -torch.log_softmax(users[: data.n_users] @ items.T, 1)[:, made.targets].mean(1).sum()
    return value, torch.autograd.grad(value, shown)[0]


@pytest.mark.parametrize(
    ("unroll_steps", "settings"),
    [
        (0, {}),
        (1, {}),
        (None, {}),
        (None, {"regularized": "final", "batch_size": 1000}),
        (None, {"sampler": "users", "optimizer": "sgd", "rate": 1.0}),
        (None, {"layers": 0, "optimizer": "sgd", "rate": 1.0}),
        (None, {"layers": 1, "regularization": 0.0}),
    ],
)
def test_gradient_equals_that_of_the_dense_matrix(data, unroll_steps, settings):
    made = training(attack(surrogate=surrogate(**settings), unroll_steps=unroll_steps), data, (3, 7))
    assert made.steps == (3 if "batch_size" in settings else 9)
    look = made(some_fakes(), True)
    value, gradient = dense_gradient(made, data, some_fakes())
    assert look.objective == pytest.approx(value.item(), rel=1e-12)
    assert gradient.norm() > 1e-2
    assert (look.gradient - gradient).norm() < 1e-9 * gradient.norm()


def test_gradient_equals_finite_differences_of_training_and_scores(data):
    made, fakes = training(attack(), data), 0.5 + 0.3 * some_fakes()
    gradient = made(fakes, True).gradient
    for place in ((0, 0), (1, 3), (3, 14)):
        step = torch.zeros_like(fakes)
        step[place] = 1e-5
        slope = (made(fakes + step, False).objective - made(fakes - step, False).objective) / 2e-5
        assert gradient[place].item() == pytest.approx(slope, rel=1e-5)


def test_what_the_surrogate_scores_by_is_lightgcn_on_the_poisoned_data(data):
    """Numbers that were never trained: its factors are the model's own, and so is a gradient of real pairs alone."""
    made, shown = training(attack(), data), some_fakes()
    users, items = made.inner.factors(made.inner.first, shown)
    profile, columns = shown.numpy().nonzero()
    poisoned = FakeProfiles(profile, columns, np.ones(len(columns)), 4, np.array([3])).apply(data)
    params = dict(zip(("user", "item"), made.inner.first, strict=True))
    want = made.model.scores(params, poisoned, torch.arange(25))
    torch.testing.assert_close(users @ items.T, want, rtol=1e-12, atol=1e-12)


def test_without_steps_or_layers_nothing_depends_on_fake_users(data):
    """The limit of the partial derivative: scores that read no graph."""
    look = training(attack(surrogate=surrogate(layers=0), unroll_steps=0), data)(some_fakes(), True)
    assert torch.equal(look.gradient, torch.zeros(4, 15, dtype=torch.float64))


def test_fewer_unrolled_steps_approach_the_exact_gradient_from_the_partial_derivative(data):
    exact = training(attack(), data)(some_fakes(), True).gradient
    errors = [
        (training(attack(unroll_steps=n), data)(some_fakes(), True).gradient - exact).norm() / exact.norm()
        for n in (0, 3, 6, 9)
    ]
    assert errors[0] > errors[1] > errors[2] > errors[3] == 0


def test_a_drawn_pair_weighs_on_average_as_if_its_negative_were_unseen(data):
    """Fake users' triples weigh as much in an epoch as they have pairs, over many epochs."""
    made = training(attack(surrogate=surrogate(batch_size=1000)), data)
    shown = some_fakes()
    found = []
    for number in range(400):
        batch = made.inner._batch(number)
        weights = made.inner._weights(batch, shown)
        n_real = batch.real.shape[1]
        found.append((weights[n_real:].sum() / weights[0]).item())
        own = weights[n_real:] > 0
        assert shown.flatten()[batch.cells[own]].all()
        assert not shown[batch.cells[own] // 15, batch.negatives[own]].any()
        assert sorted(batch.cells.tolist()) == list(range(60))
    assert np.mean(found) == pytest.approx(shown.sum().item(), abs=4 * np.std(found) / 20)


def test_running_steps_twice_gives_the_same_gradient(data):
    looks = []
    for limit in (None, 1e-4):
        made = training(attack(surrogate=surrogate(8), memory_limit=limit), data)
        looks.append(made(some_fakes(), True))
    assert made.segment is not None
    torch.testing.assert_close(looks[0].gradient, looks[1].gradient, rtol=1e-12, atol=1e-12)


def test_memory_is_counted_about_right(data):
    """What autograd keeps of a step, and the rows of its triples, beside tables, moments and gradients."""
    inner = training(attack(surrogate=surrogate(1, batch_size=1000, size=8)), data).inner
    kept, shown = {}, some_fakes().requires_grad_()
    tables = [table.clone().requires_grad_() for table in inner.first]
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.update({x.data_ptr(): x}) or x, lambda x: x):
        inner.gradient(0, tables, shown)
    del kept[shown.data_ptr()]
    kept = sum(x.numel() for x in kept.values()) + len(inner._rows(inner._batch(0)))
    assert 0.7 * inner.kept_numbers < kept <= inner.kept_numbers


@pytest.mark.parametrize("unroll_steps", [0, None])
def test_the_target_rises_and_the_result_rescores_identically(unroll_steps):
    seeds, figures, data = Seeds(0), Figures(), planted()
    made = replace(strong(), unroll_steps=unroll_steps)
    change = made.poison(data, np.array([0]), seeds, CPU, figures)
    assert max(figures.hit_ratios) > figures.hit_ratios[0] + 0.05
    assert min(figures.objectives) < 0.9 * figures.objectives[0]
    values = torch.zeros(20, 80)
    values[change.profile, change.items] = 1
    again = made._surrogate(data, torch.tensor([0]), 20, seeds.child("attack", "surrogate"), CPU)(values, False)
    assert again.hit_ratio == max(figures.hit_ratios)
    assert change.trace["HR"].tolist() == figures.hit_ratios


def planted():
    made = Synthetic(name="small", n_users=150, n_items=80, rank=8, threshold=3.0)
    return made.load(None, Seeds(0), Progress()).train


def strong():
    model = surrogate(20, batch_size=1000, rate=0.05, size=8, regularization=1e-4)
    return attack(targets=Targets("list", (0,)), n_fake_users=20, surrogate=model, outer=OuterOptimizer(iterations=10))


def test_an_ensemble_of_one_has_its_gradient(data):
    model = surrogate()
    alone = BilevelEnsembleAttack(targets=Targets("list", (3,)), n_fake_users=4, surrogates={"graph": model})
    look = alone._surrogate(data, torch.tensor([3]), 4, Seeds(0), CPU)(some_fakes().float(), True)
    single = attack(surrogate=model)._surrogate(data, torch.tensor([3]), 4, Seeds(0).child("graph"), CPU)
    torch.testing.assert_close(look.gradient, single(some_fakes().float(), True).gradient)


def test_surrogates_without_a_derivative_are_refused():
    with pytest.raises(ConfigError, match=r"attack\.surrogate is BPRMF, .*choose wrmf, item_ae or lightgcn"):
        BilevelWRMFAttack(targets=Targets("list", (3,)), surrogate=BPRMF())
    with pytest.raises(ConfigError, match=r"attack\.surrogate\.trainer\.optimizer is adagrad, .*give sgd or adam"):
        attack(surrogate=surrogate(optimizer="adagrad"))
    models = {"a": WRMF(4), "b": surrogate(optimizer="adagrad")}
    with pytest.raises(ConfigError, match=r"attack\.surrogates\.b\.trainer\.optimizer is adagrad"):
        BilevelEnsembleAttack(targets=Targets("list", (3,)), surrogates=models)


@pytest.mark.slow
def test_it_beats_random_on_a_lightgcn_of_other_seeds_layers_and_batches():
    """At equal fake users and clicks; measured: hit ratios 0.08 without an attack, 0.11 by random, 0.16."""
    made = Synthetic(name="small", n_users=300, n_items=150, rank=8, threshold=3.0)
    data = made.load(None, Seeds(0), Progress()).train
    target = int(np.argsort(data.item_counts, kind="stable")[45])
    outer = OuterOptimizer(iterations=15, projection="top_n", profile_size="mean")
    aimed = {"targets": Targets("list", (target,)), "n_fake_users": 15}
    model = surrogate(20, 100_000, rate=0.05, size=32, regularization=1e-4)
    learned = BilevelLightGCNAttack(**aimed, surrogate=model, outer=outer, click_targets=True)
    hits = []
    for how in (RandomAttack(**aimed), learned):
        change = how.poison(data, np.array([target]), Seeds(0), CPU, Progress())
        assert len(change.items) == 15 * data.mean_profile
        hits.append(np.mean([hit_ratio(change.apply(data), data, target, seed) for seed in (100, 101, 102)]))
    assert hits[1] > hits[0] + 0.02


def hit_ratio(poisoned, data, target, seed):
    """Share of the real users without the target who have it among their best ten."""
    trainer = Trainer(40, 512, optimizer="adam", learning_rate=0.02, eps=1e-8)
    fitted = LightGCN(32, layers=3, trainer=trainer).fitted(poisoned, Seeds(seed), CPU, Progress())
    scores = fitted.scores(torch.arange(data.n_users)).numpy()
    scores[data.seen.toarray() > 0] = -np.inf
    others = np.isfinite(scores[:, target])
    return ((scores >= scores[:, [target]]).sum(1)[others] <= 10).mean()


def test_a_ranking_is_not_differentiated_where_edges_and_zeros_are_learned():
    """It is refused by the parts alone; a surrogate that has no other way to learn goes on as before."""
    both = {"lightgcn": surrogate(), "wrmf": WRMF(4, trainer=Trainer(3, optimizer="adam"))}
    several = BilevelEnsembleAttack(targets=Targets("list", (3,)), n_fake_users=4, surrogates=both)
    for refused in (attack(), several):
        with pytest.raises(IncompatibleParts, match="differentiates a surrogate's ranking"):
            LinkPrediction().check_parts(LightGCN(), refused)
    LinkPrediction().check_parts(LightGCN(), BilevelWRMFAttack(targets=Targets("list", (3,)), n_fake_users=4))
