"""The projected gradient attack: its gradient against differences of plain solves, its limits, and what it achieves."""

import numpy as np
import pytest
import torch
from learned_fillers import (
    CPU,
    IMPLICIT,
    N_FAKES,
    N_ITEMS,
    N_REAL,
    RIDGE,
    SMALL,
    differences,
    mean_rank,
    one_taste,
    plain_items,
    precise,
    some_data,
)

from recpoison.attacks.objectives import TargetHits
from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.profiles.closed_form import ClosedForm
from recpoison.attacks.profiles.pga import PGAAttack
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError
from recpoison.models.mf import MF
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import Loop, Progress
from recpoison.seeds import Seeds
from recpoison.training.ratings import rating_matrix
from recpoison.training.trainer import Diverged, Trainer


def attack(**settings) -> PGAAttack:
    defaults = {"targets": Targets("list", (3, 5)), "n_fake_users": N_FAKES, "fillers": 4, "iterations": 6}
    return PGAAttack(**(defaults | {"surrogate": SMALL, "implicit_surrogate": IMPLICIT} | settings))


@pytest.fixture(params=["explicit", "implicit"])
def data(request) -> Interactions:
    return some_data(request.param)


def craft(how, data, targets=(3, 5), seed=0):
    return how.poison(data, np.array(targets), Seeds(seed), CPU, Progress())


def plain_objective(data, users, weights, ratings, temperature):
    """The objective from scratch."""
    scores = users @ plain_items(data, users, weights, ratings).T / temperature
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    return -logs[:, [3, 5]].mean(1).sum()


def test_the_gradient_equals_finite_differences_of_plain_solves(data):
    """In weights and ratings, through both alternations: what fake users' vectors owe to their ratings is in it."""
    rng = np.random.default_rng(1)
    weights, ratings = rng.random((N_FAKES, N_ITEMS)), rng.random((N_FAKES, N_ITEMS))
    form, how = precise(data), attack(temperature=0.5)
    users = form.users.numpy()
    moving = [torch.from_numpy(x).requires_grad_() for x in (weights, ratings)]
    hits = TargetHits(form.seen, torch.tensor([3, 5]), 2)
    problem = type("Problem", (), {"form": form, "targets": torch.tensor([3, 5])})
    value = how._objective(problem, form.items(*moving), hits, None)
    assert float(value.detach()) == pytest.approx(plain_objective(data, users, weights, ratings, 0.5), rel=1e-10)
    by_weight, by_rating = torch.autograd.grad(value, moving)
    for found, expected in (
        (by_weight, differences(lambda x: plain_objective(data, users, x, ratings, 0.5), weights)),
        (by_rating, differences(lambda x: plain_objective(data, users, weights, x, 0.5), ratings)),
    ):
        assert (expected != 0).all()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_fake_users_of_no_weight_leave_the_items(data):
    form = ClosedForm(IMPLICIT if data.scale is None else SMALL, RIDGE, 2, data, Seeds(0), CPU)
    nothing = torch.zeros(N_FAKES, N_ITEMS)
    torch.testing.assert_close(form.items(nothing, nothing + 1), form.clean)


def test_on_implicit_data_the_clean_items_are_those_of_wrmf():
    """Its last half sweep solved the same equations."""
    data = some_data("implicit")
    form = ClosedForm(IMPLICIT, RIDGE, 2, data, Seeds(0), CPU)
    fitted = IMPLICIT.fit(data, Seeds(0), CPU, Progress())
    torch.testing.assert_close(form.users, fitted["user"])
    torch.testing.assert_close(form.clean, fitted["item"], rtol=1e-4, atol=1e-5)


def test_who_rated_an_item_twice_counts_once_with_the_mean():
    data = Interactions([0, 0, 1], [0, 0, 1], [1, 4, 2], n_users=2, n_items=2, scale=Scale(1, 4))
    assert rating_matrix(data).toarray().tolist() == [[0.625, 0.0], [0.0, 0.5]]


@pytest.mark.parametrize("fillers", [0, 4, 7])
def test_each_fake_user_has_the_targets_and_as_many_distinct_fillers(data, fillers):
    change = craft(attack(fillers=fillers), data)
    for number in range(N_FAKES):
        items = change.items[change.profile == number]
        assert len(items) == len(set(items)) == fillers + 2
        assert {3, 5} <= set(items)
    highest = 1.0 if data.scale is None else 4.0
    assert (change.values[np.isin(change.items, [3, 5])] == highest).all()


def test_the_best_fake_users_on_the_surrogate_are_returned(data):
    change = craft(attack(), data)
    trace = list(zip(change.trace["HR"], -change.trace["Objective"], strict=True))
    assert len(trace) == 7  # before and after each of 6 steps
    assert (trace[change.best], change.cutoff) == (max(trace), 10)
    seeds = Seeds(0).child("attack", "surrogate")
    form = ClosedForm(IMPLICIT if data.scale is None else SMALL, 1.0, 2, data, seeds, CPU)
    cells, ratings = torch.zeros(2, N_FAKES, N_ITEMS)
    cells[change.profile, change.items] = 1
    shares = change.values / (data.scale.high if data.scale else 1)
    ratings[change.profile, change.items] = torch.from_numpy(shares).float()
    scores = form.users @ form.items(cells, ratings).T / 0.1
    value = -torch.log_softmax(scores, 1)[:, [3, 5]].mean(1).sum()
    assert change.trace["Objective"][change.best] == pytest.approx(float(value), rel=1e-4)


def test_ratings_learned_differ_from_those_drawn_and_stay_on_the_grid():
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((N_REAL, N_ITEMS)) < 0.6)
    data = Interactions(users, items, rng.integers(1, 6, len(users)), N_REAL, N_ITEMS, Scale(1, 5))
    everything = N_ITEMS - 2  # then the choice of fillers is the same
    drawn, learned = (
        craft(attack(fillers=everything, filler_ratings=how), data) for how in ("item_normal", "optimised")
    )
    assert drawn.items.tolist() == learned.items.tolist()
    assert set(learned.values) <= {1, 2, 3, 4, 5}
    assert drawn.values.tolist() != learned.values.tolist()
    assert learned.trace["Objective"][-1] < drawn.trace["Objective"][-1]


@pytest.mark.parametrize("implicit", [False, True])
def test_a_target_that_nobody_has_rises_more_than_by_other_attacks(implicit):
    """Fillers that real users have are what carries it to them, and only a learned attack knows which."""
    data, shared = one_taste(implicit), {"targets": Targets("list", (59,)), "n_fake_users": 6, "fillers": 10}
    model = WRMFALS(8, 10.0, 1.0)
    trainer = Trainer(60, 256, optimizer="adagrad", learning_rate=2.0)
    victim = model if implicit else MF(8, trainer=trainer)
    ours = PGAAttack(**shared, surrogate=MF(8, trainer=trainer), implicit_surrogate=model)
    learned, *others = (craft(how, data, [59]) for how in (ours, RandomAttack(**shared), AverageAttack(**shared)))
    assert (learned.items < 20).sum() > 0.8 * 60
    rank, *other_ranks = (mean_rank(victim, data, change.apply(data), 59) for change in (learned, *others))
    assert rank < min(other_ranks) - 2
    assert rank < mean_rank(victim, data, data, 59) - 5


def test_a_stopped_attack_goes_on_to_the_same_end(data):
    whole = craft(attack(), data)

    class Stopped(Progress):
        kept: dict | None = None

        def loop(self, work, fits=None):
            outer = self

            class Keeping(Loop):
                state = outer.kept

                def keep(self, state):
                    if outer.kept is None and len(state()["trace"]) == 3:
                        outer.kept = {name: x.clone() for name, x in state().items()}
                        assert fits(outer.kept)
                        assert not fits(outer.kept | {"trace": torch.zeros(0, 2)})
                        assert not fits(outer.kept | {"weights": torch.zeros(1, 1)})

            return Keeping()

    stopped = Stopped()
    for _ in range(2):  # the second begins where the first kept its state
        again = attack().poison(data, np.array([3, 5]), Seeds(0), CPU, stopped)
        assert again.items.tolist() == whole.items.tolist()
        assert again.values.tolist() == whole.values.tolist()
        assert again.trace["Objective"].tolist() == whole.trace["Objective"].tolist()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"filler_ratings": "high"}, "attack.filler_ratings is 'high': choose one of optimised, item_normal"),
        ({"iterations": 0}, "attack.iterations is 0: give 1 or more"),
        ({"step_size": 0}, "attack.step_size is 0: give more than 0 and at most 1e\\+09"),
        ({"temperature": float("nan")}, "attack.temperature is nan: give a finite number, 1e-06 or more"),
        ({"ridge": 0}, "attack.ridge is 0: give more than 0 and at most 1e\\+09"),
        ({"alternations": 0}, "attack.alternations is 0: give 1 or more"),
        ({"cutoff": 0}, "attack.cutoff is 0: give 1 or more"),
        ({"fillers": -1}, "attack.fillers is -1"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        attack(**settings)


def test_more_fillers_than_items_are_refused_before_anything_is_fitted(data, monkeypatch):
    monkeypatch.setattr(ClosedForm, "__init__", lambda *_: pytest.fail("the surrogate was fitted"))
    with pytest.raises(ConfigError, match=r"attack\.fillers is 8, but the catalogue has 9 items, 2 of them targets"):
        craft(attack(fillers=8), data)


def test_what_does_not_fit_the_memory_is_refused_before_anything_is_fitted(data, monkeypatch):
    monkeypatch.setattr(ClosedForm, "__init__", lambda *_: pytest.fail("the surrogate was fitted"))
    monkeypatch.setattr("recpoison.memory.available_memory", lambda: 1000)
    with pytest.raises(ConfigError, match=r"the equations of 9 items and 3 learned fake users would take .* lower"):
        craft(attack(), data)


def test_an_equation_without_a_solution_names_the_ridge():
    data = Interactions([0], [0], [5], n_users=1, n_items=6, scale=Scale(1, 5))
    huge = MF(embedding_size=3, initial="normal", initial_std=1e12, trainer=Trainer(epochs=0, optimizer="sgd"))
    with pytest.raises(Diverged, match=r"raise attack\.ridge \(now 1e-30"):
        craft(attack(surrogate=huge, ridge=1e-30, fillers=2), data)
