"""S-TNA: its objective by hand, its gradient against plain solves, its influence function, what it achieves."""

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

from recpoison.algebra.observed import Observed
from recpoison.attacks.objectives import TargetHits
from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.profiles.closed_form import ClosedForm
from recpoison.attacks.profiles.influential import influence_by_curvature, influence_in_closed_form
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.profiles.tna import TNAAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.mf import MF
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import Loop, Progress
from recpoison.seeds import Seeds
from recpoison.training.influence import InverseCurvature
from recpoison.training.trainer import Trainer

AIMS = torch.tensor([3, 5])


def attack(**settings) -> TNAAttack:
    defaults = {"targets": Targets("list", (3, 5)), "n_fake_users": N_FAKES, "fillers": 4, "iterations": 3}
    defaults |= {"groups": 2, "influential_users": 8}
    return TNAAttack(**(defaults | {"surrogate": SMALL, "implicit_surrogate": IMPLICIT} | settings))


@pytest.fixture(params=["explicit", "implicit"])
def data(request) -> Interactions:
    return some_data(request.param)


def craft(how, data, targets=(3, 5), progress=None):
    return how.poison(data, np.array(targets), Seeds(0), CPU, progress or Progress())


class Fixed:
    """A surrogate whose users and what they have are given."""

    def __init__(self, users, seen):
        self.users, self.seen = users, seen

    lacking = ClosedForm.lacking


def asked(form, targets):
    return type("Problem", (), {"form": form, "targets": targets})


def test_the_objective_by_hand():
    """Scores are the items' own; K = 2 of what a user lacks: the target is no rival, nor is what they have."""
    users = torch.ones(2, 1)
    items = torch.tensor([[0.5], [0.9], [0.7], [0.2], [0.1]])  # item 0 is the target
    seen = Observed(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), 5)  # user 0 has item 1, user 1 the target
    how = attack(list_length=2, smoothness=0.2)
    problem, hits = asked(Fixed(users, seen), torch.tensor([0])), TargetHits(seen, torch.tensor([0]), 2)
    value = how._objective(problem, items, hits, torch.tensor([0, 1]))
    # user 0 lacks 0.7 and 0.2: gaps 0.2 and -0.3, over b 1 and -1.5; who has the target does not count
    assert float(value) == pytest.approx(1 / (1 + np.exp(-1)) + 1 / (1 + np.exp(1.5)))
    assert hits.hits.tolist() == [True, False]


def test_who_lacks_fewer_items_than_the_list_has_counts_with_those():
    users, items = torch.ones(1, 1), torch.tensor([[0.5], [0.9], [0.7]])
    seen = Observed(torch.tensor([0, 1]), torch.tensor([1]), 3)
    problem, hits = asked(Fixed(users, seen), torch.tensor([0])), TargetHits(seen, torch.tensor([0]), 2)
    value = attack(list_length=10, smoothness=0.2)._objective(problem, items, hits, torch.tensor([0]))
    assert float(value) == pytest.approx(1 / (1 + np.exp(-1)))


def test_the_gradient_equals_finite_differences_of_plain_solves(data):
    rng = np.random.default_rng(1)
    weights, ratings = rng.random((N_FAKES, N_ITEMS)), rng.random((N_FAKES, N_ITEMS))
    form, how, chosen = precise(data), attack(list_length=2, smoothness=0.3), np.array([0, 4, 7, 11])
    users, seen = form.users.numpy(), data.seen.toarray() > 0

    def plain(x):
        scores, total = users @ plain_items(data, users, x, ratings).T, 0.0
        for user in chosen:
            rivals = [i for i in range(N_ITEMS) if not seen[user, i] and i not in (3, 5)]
            for rival in sorted(rivals, key=lambda i, user=user: -scores[user, i])[:2]:
                gaps = [scores[user, rival] - scores[user, t] for t in (3, 5) if not seen[user, t]]
                total += sum(1 / (1 + np.exp(-gap / 0.3)) for gap in gaps)
        return total

    moving = torch.from_numpy(weights).requires_grad_()
    items = form.items(moving, torch.from_numpy(ratings))
    value = how._objective(asked(form, AIMS), items, TargetHits(form.seen, AIMS, 2), torch.from_numpy(chosen))
    assert float(value.detach()) == pytest.approx(plain(weights), rel=1e-9)
    found = torch.autograd.grad(value, moving)[0]
    np.testing.assert_allclose(found, differences(plain, weights), rtol=1e-4, atol=1e-7)


def test_influence_by_curvature_is_that_of_the_explicit_inverse():
    data, regularization, damping = some_data("explicit"), 0.01, 0.5
    form = precise(data)
    form.fitted_items, form.regularization = form.fitted_items.double(), regularization
    lacking, n_users = form.lacking(AIMS), len(form.users)
    users, items = torch.tensor(data.users), torch.tensor(data.items)
    ratings = torch.from_numpy(data.values / 4)

    def losses(theta):
        p, q = theta[:n_users][users], theta[n_users:][items]
        return ((p * q).sum(1) - ratings).square() + regularization / 2 * (p.square() + q.square()).sum(1)

    theta = torch.cat([form.users, form.fitted_items])
    size = theta.numel()
    hessian = torch.autograd.functional.hessian(lambda x: losses(x).mean(), theta).reshape(size, size)
    slope = torch.autograd.functional.jacobian(
        lambda x: (x[:n_users] @ x[n_users:][AIMS].T * lacking).sum(), theta
    ).flatten()
    carried = torch.linalg.solve(hessian + damping * torch.eye(size, dtype=torch.float64), slope)
    each = torch.autograd.functional.jacobian(losses, theta).reshape(len(data), size) @ carried / len(data)
    expected = torch.zeros(n_users, dtype=torch.float64).index_add_(0, users, -each)
    inverse = InverseCurvature(curvature="hessian", damping=damping, tolerance=1e-10)
    found = influence_by_curvature(form, data, AIMS, inverse, Seeds(0), Progress())
    assert (expected.abs() > 1e-5).sum() > n_users / 2
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


def test_influence_in_closed_form_is_what_leaving_a_user_out_does():
    data = some_data("implicit")
    form = precise(data)
    lacking, users, known = form.lacking(AIMS).numpy(), form.users.numpy(), data.seen.toarray().astype(float)
    total = (users @ form.clean.numpy()[[3, 5]].T * lacking).sum()
    found = influence_in_closed_form(form, AIMS)
    for left_out in range(N_REAL):
        rest = np.arange(N_REAL) != left_out
        left = 0.0
        for number, target in enumerate((3, 5)):
            weight = 1 / 4 + 3 / 4 * known[rest, target]
            sides = users[rest].T @ (weight[:, None] * users[rest]) + 0.5 / 4 * np.eye(3)
            item = np.linalg.solve(sides, users[rest].T @ known[rest, target])
            left += (users @ item * lacking[:, number]).sum()
        assert float(found[left_out]) == pytest.approx(total - left, rel=1e-8)


def test_the_most_influential_users_are_chosen(data):
    how = attack(influential_users=4)
    form = ClosedForm(IMPLICIT if data.scale is None else SMALL, RIDGE, 2, data, Seeds(0), CPU)
    crafting = type("Crafting", (), {"data": data, "seeds": Seeds(0), "progress": Progress()})
    problem = type("Problem", (), {"form": form, "targets": AIMS, "crafting": crafting})
    chosen = how._prepared(problem)
    if data.scale is None:
        influence = influence_in_closed_form(form, AIMS)
    else:
        influence = influence_by_curvature(form, data, AIMS, how.inverse, Seeds(0).child("influence"), Progress())
    lacking = form.lacking(AIMS)
    to_win = lacking.any(1).nonzero().squeeze(1)
    assert 0 < len(to_win) < N_REAL  # who has both targets is nobody to win
    others = np.setdiff1d(to_win, chosen)
    assert len(chosen) == 4
    assert set(chosen.tolist()) <= set(to_win.tolist())
    assert influence[chosen].abs().min() > influence[others].abs().max()
    for everyone in (None, N_REAL, 400):
        assert attack(influential_users=everyone)._prepared(problem).tolist() == to_win.tolist()


def test_one_by_one_the_first_fake_user_does_not_know_of_the_second(data):
    alone = craft(attack(n_fake_users=1, groups=1), data)
    both = craft(attack(n_fake_users=2, groups=2), data)
    first = both.profile == 0
    assert both.items[first].tolist() == alone.items.tolist()
    assert both.values[first].tolist() == alone.values.tolist()
    assert len(both.trace["HR"]) == 2 * len(alone.trace["HR"]) == 8
    assert both.trace["Objective"][:4].tolist() == alone.trace["Objective"].tolist()
    assert both.best >= 4  # the last group's best stands beside all before it


def test_the_trace_tells_what_the_finished_fake_users_do(data):
    change = craft(attack(influential_users=None), data)
    seeds = Seeds(0).child("attack", "surrogate")
    form = ClosedForm(IMPLICIT if data.scale is None else SMALL, 1.0, 2, data, seeds, CPU)
    cells, ratings = torch.zeros(2, N_FAKES, N_ITEMS)
    cells[change.profile, change.items] = 1
    shares = change.values / (data.scale.high if data.scale else 1)
    ratings[change.profile, change.items] = torch.from_numpy(shares).float()
    hits = TargetHits(form.seen, AIMS, 10)
    value = attack()._objective(asked(form, AIMS), form.items(cells, ratings), hits, torch.arange(N_REAL))
    assert change.trace["Objective"][change.best] == pytest.approx(float(value), rel=1e-4)
    assert change.trace["HR"][change.best] == hits.ratio


@pytest.mark.parametrize("fillers", [0, 4, 7])
def test_each_fake_user_has_the_targets_and_as_many_distinct_fillers(data, fillers):
    change = craft(attack(fillers=fillers), data)
    for number in range(N_FAKES):
        items = change.items[change.profile == number]
        assert len(items) == len(set(items)) == fillers + 2
        assert {3, 5} <= set(items)


def test_fillers_are_rated_as_by_the_average_attack():
    """Over all items: the same mean and spread as the item's own ratings, rounded to the grid."""
    data = one_taste()
    how = attack(n_fake_users=300, groups=1, iterations=1, fillers=59, targets=Targets("list", (59,)))
    change = craft(how, data, [59])
    for item in range(3):
        own, ours = data.values[data.items == item], change.values[change.items == item]
        assert ours.mean() == pytest.approx(own.mean(), abs=4 * own.std() / np.sqrt(300))
        assert ours.std() == pytest.approx(np.hypot(own.std(), 1 / np.sqrt(12)), rel=0.2)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_target_that_nobody_has_rises_more_than_by_other_attacks(implicit):
    """Fillers that real users have are what carries it to them, and only a learned attack knows which."""
    data, shared = one_taste(implicit), {"targets": Targets("list", (59,)), "n_fake_users": 6, "fillers": 10}
    model = WRMFALS(8, 10.0, 1.0)
    trainer = Trainer(60, 256, optimizer="adagrad", learning_rate=2.0)
    victim = model if implicit else MF(8, trainer=trainer)
    ours = TNAAttack(**shared, surrogate=MF(8, trainer=trainer), implicit_surrogate=model, influential_users=40)
    learned, *others = (craft(how, data, [59]) for how in (ours, RandomAttack(**shared), AverageAttack(**shared)))
    assert (learned.items < 20).sum() > 0.7 * 60
    rank, *other_ranks = (mean_rank(victim, data, change.apply(data), 59) for change in (learned, *others))
    assert rank < min(other_ranks) - 2
    assert rank < mean_rank(victim, data, data, 59) - 5


class Stopped(Progress):
    """Keeps the state of a loop after some looks, and hands it to the next."""

    def __init__(self, looks):
        self.looks, self.kept = looks, None

    def loop(self, work, fits=None):
        outer = self

        class Keeping(Loop):
            state = outer.kept

            def keep(self, state):
                if outer.kept is None and len(state()["trace"]) == outer.looks:
                    outer.kept = {name: x.clone() for name, x in state().items()}
                    assert fits(outer.kept)

        return Keeping()


@pytest.mark.parametrize("looks", [1, 4, 6, 8])
def test_a_stopped_attack_goes_on_to_the_same_end(data, looks):
    """Within a group, between two, and after the last look."""
    whole, stopped = craft(attack(), data), Stopped(looks)
    for _ in range(2):
        again = craft(attack(), data, progress=stopped)
        assert again.items.tolist() == whole.items.tolist()
        assert again.trace["Objective"].tolist() == whole.trace["Objective"].tolist()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"groups": 0}, "attack.groups is 0: give 1 or more"),
        ({"influential_users": 0}, "attack.influential_users is 0: give 1 or more"),
        ({"list_length": 0}, "attack.list_length is 0: give 1 or more"),
        ({"smoothness": 0}, "attack.smoothness is 0: give a finite number, 1e-06 or more"),
        ({"iterations": 0}, "attack.iterations is 0: give 1 or more"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        attack(**settings)
