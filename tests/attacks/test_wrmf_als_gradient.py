"""The closed-form attack: its gradient against finite differences and a loop over items, and what it achieves."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from learned_attacks import Figures

from recpoison.attacks.profiles.outer import OuterOptimizer
from recpoison.attacks.profiles.wrmf_als_gradient import WRMFALSGradientAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.data.synthetic import Synthetic
from recpoison.errors import ConfigError
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Diverged

CPU = torch.device("cpu")
WEIGHT, RIDGE, N_REAL = 6.0, 0.2, 20


def attack(**settings):
    surrogate = WRMFALS(embedding_size=3, weight=WEIGHT, regularization=RIDGE, sweeps=4)
    defaults = {"targets": Targets("list", (3,)), "n_fake_users": 4, "surrogate": surrogate}
    return WRMFALSGradientAttack(**(defaults | settings))


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((N_REAL, 15)) < 0.3)
    return Interactions(users, items, np.ones(len(users)), N_REAL, 15)


@pytest.fixture
def shown():
    return torch.from_numpy((np.random.default_rng(1).random((4, 15)) < 0.4).astype(float))


def closed_form(attack, data, targets):
    made = attack._surrogate(data, torch.tensor(targets), attack.n_fake_users, Seeds(0), CPU)
    made.first = made.first.double()
    return made


def looped_objective(made, data, shown, weights):
    """The objective as a function of the fake users' values: users held, one explicit solve an item."""
    users = made.model.sweep(full(data, shown), made.first, Progress())["user"].numpy()
    real, held = data.seen.toarray().astype(float), shown.numpy()

    def value(fake):
        x = np.vstack([real, fake])
        moving = np.vstack([real, fake if weights == "differentiated" else held])
        items = []
        for column, confidence in zip(x.T, 1 + (WEIGHT - 1) * moving.T, strict=True):
            left = users.T @ np.diag(confidence) @ users + RIDGE * np.eye(3)
            items.append(np.linalg.solve(left, users.T @ (confidence * column)))
        scores = users[:N_REAL] @ np.array(items).T
        logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        return -logs[:, made.targets.numpy()].mean(1).sum()

    return value


def full(data, shown):
    return sp.vstack([data.seen, sp.csr_matrix(shown.numpy())], format="csr")


@pytest.mark.parametrize("weights", ["detached", "differentiated"])
def test_gradient_equals_finite_differences_of_a_loop_over_items(data, shown, weights):
    made = closed_form(attack(weights=weights), data, [3, 7])
    look, value = made(shown, True), looped_objective(made, data, shown, weights)
    assert look.objective == pytest.approx(value(shown.numpy()), rel=1e-12)
    step, differences = 1e-5, np.zeros((4, 15))
    for cell in np.ndindex(4, 15):
        ahead, behind = shown.numpy().copy(), shown.numpy().copy()
        ahead[cell] += step
        behind[cell] -= step
        differences[cell] = (value(ahead) - value(behind)) / (2 * step)
    assert (differences != 0).all()
    np.testing.assert_allclose(look.gradient, differences, rtol=1e-6, atol=1e-8)


def test_the_two_gradients_differ_as_written(data, shown):
    """Their quotient in a cell is c / (1 + (weight - 1) (2x - p.q))."""
    detached, differentiated = (
        closed_form(attack(weights=weights), data, [3])(shown, True).gradient
        for weights in ("detached", "differentiated")
    )
    made = closed_form(attack(), data, [3])
    params = made.model.sweep(full(data, shown), made.first, Progress())
    scores = params["user"][N_REAL:] @ params["item"].T
    one, other = 1 + (WEIGHT - 1) * shown, 1 + (WEIGHT - 1) * (2 * shown - scores)
    torch.testing.assert_close(detached * other, differentiated * one)


def test_a_fake_user_without_items_has_no_gradient(data, shown):
    shown[2] = 0
    gradient = closed_form(attack(), data, [3])(shown, True).gradient
    assert torch.equal(gradient[2], torch.zeros(15, dtype=torch.float64))
    assert (gradient[[0, 1, 3]].norm(dim=1) > 0).all()


def test_all_iterations_share_initial_values(data, shown):
    """What is learned from some fake users is forgotten before the next are looked at."""
    made = closed_form(attack(), data, [3])
    look, other, again = (made(fakes, True) for fakes in (shown, 1 - shown, shown))
    assert look.objective == again.objective != other.objective
    assert torch.equal(look.gradient, again.gradient)


def test_the_surrogate_is_wrmf_als_and_a_look_leaves_the_values(data, shown):
    before = shown.clone()
    made = attack()._surrogate(data, torch.tensor([3]), 4, Seeds(0), CPU)
    first, again = made(shown.float(), True), made(shown.float(), False)
    assert first.objective == again.objective
    assert again.gradient is None
    assert torch.equal(shown, before)
    profile, items = shown.numpy().nonzero()
    poisoned = data.with_fake_users(profile, items, np.ones(len(items)), 4)
    fitted = made.model.fit(poisoned, Seeds(0), CPU, Progress())
    logs = torch.log_softmax(fitted["user"][:N_REAL] @ fitted["item"].T, 1)
    assert first.objective == pytest.approx(-logs[:, 3].sum().item(), rel=1e-6)


def test_a_surrogate_without_a_solution_is_an_error(data, shown):
    made = attack(surrogate=WRMFALS(3, 1e20, 1e-6, 2))._surrogate(data, torch.tensor([3]), 4, Seeds(0), CPU)
    with pytest.raises(Diverged, match=r"raise attack\.surrogate\.regularization"):
        made(shown.float(), True)


def test_the_target_rises_and_the_result_rescores_identically():
    seeds = Seeds(0)
    data = Synthetic(name="small", n_users=150, n_items=80, rank=8, threshold=3.0).load(None, seeds, Progress()).train
    made = attack(
        targets=Targets("list", (0,)), n_fake_users=30, weights="differentiated",
        surrogate=WRMFALS(8, 20.0, 0.05, 10), outer=OuterOptimizer(iterations=12, step_size=0.1),
    )  # fmt: skip
    surrogate = made._surrogate(data, torch.tensor([0]), 30, seeds.child("attack", "surrogate"), CPU)
    clean = surrogate(torch.zeros(30, 80), False).hit_ratio
    figures = Figures()
    change = made.poison(data, np.array([0]), seeds, CPU, figures)
    best = max(figures.hit_ratios)
    assert best > figures.hit_ratios[0] > clean
    assert best > clean + 0.1
    values = torch.zeros(30, 80)
    values[change.profile, change.items] = 1
    assert (values[:, 0] == 1).all()
    assert surrogate(values, False).hit_ratio == best
    fits = [made.surrogate.fit(rows, Seeds(5), CPU, Progress()) for rows in (data, change.apply(data))]
    ranks = [(fit["user"][:150] @ fit["item"].T).argsort(1, descending=True).argsort(1)[:, 0] for fit in fits]
    assert ranks[1].double().mean() < ranks[0].double().mean() - 5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"weights": "frozen"}, "attack.weights is 'frozen': choose one of detached, differentiated"),
        ({"unroll_steps": 5}, "attack.unroll_steps is 5, but this attack has a closed form"),
        ({"memory_limit": 2.0}, "attack.memory_limit is 2.0, but"),
        ({"objective": "win"}, "attack.objective"),
        ({"surrogate": WRMFALS(solver="cg")}, "attack.surrogate.solver is cg, but this attack differentiates exact"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        attack(**settings)


def test_nuke_with_the_targets_clicked_is_refused():
    with pytest.raises(
        ConfigError, match=r"^attack\.objective is nuke, but attack\.click_targets .*click_targets=false$"
    ):
        WRMFALSGradientAttack(targets=Targets("list", items=(1,)), objective="nuke")
    WRMFALSGradientAttack(targets=Targets("list", items=(1,)), objective="nuke", click_targets=False)
