"""Influence against fits that were really made, and its pieces against autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from recpoison.algebra.curvature import RatingCurvature
from recpoison.algebra.inverse_products import NotSolved, conjugate_gradient
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.influence import InverseCurvature, influence_of_ratings, risk_slopes, shortest_users

QUIET = Progress()
N_USERS, N_ITEMS, SIZE, DECAY = 30, 20, 2, 0.02
EXACT = InverseCurvature(curvature="hessian", damping=1e-9, tolerance=1e-10, iterations=2000)


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def start() -> RatingCurvature:
    """Two thirds of the ratings of a matrix of rank 2 with noise, and two users who rate the other way round."""
    rng = np.random.default_rng(3)
    truth = 0.6 + 0.2 * rng.standard_normal((N_USERS, SIZE)) @ rng.standard_normal((SIZE, N_ITEMS))
    truth[:2] = 1.2 - truth[:2]
    users, items = np.nonzero(rng.random(truth.shape) < 0.67)
    ratings = torch.from_numpy((truth + 0.05 * rng.standard_normal(truth.shape))[users, items])
    tables = [torch.from_numpy(0.6 + 0.1 * rng.standard_normal((n, SIZE))) for n in (N_USERS, N_ITEMS)]
    return RatingCurvature(torch.from_numpy(users), torch.from_numpy(items), ratings, *tables, DECAY)


def converged(here: RatingCurvature, ratings=None, share=None) -> RatingCurvature:
    """``here`` at a minimum of its loss, with other ``ratings`` or only the ``share`` of them."""
    fewer = here if ratings is None else replace(here, ratings=ratings)
    if share is not None:
        fewer = part(here, share)

    def moved(flat: np.ndarray) -> RatingCurvature:
        joint = torch.from_numpy(flat).view(-1, SIZE)
        return replace(fewer, user_table=joint[:N_USERS], item_table=joint[N_USERS:])

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        at = moved(flat)
        rows = at.user_table[at.users], at.item_table[at.items]
        value = (at.errors.square() + DECAY / 2 * sum(row.square().sum(1) for row in rows)).mean()
        return value.item(), at.gradient().numpy().ravel()

    begin = torch.cat([here.user_table, here.item_table]).numpy().ravel()
    found = minimize(loss, begin, jac=True, method="BFGS", options={"gtol": 1e-10, "maxiter": 5000})
    best = moved(found.x)
    for _ in range(4):  # Newton's steps, where the curvature is positive
        at = replace(best, curvature="hessian", damping=1e-9)
        step = conjugate_gradient(at.product, at.gradient(), 1e-10, 5000).x
        best = replace(best, user_table=best.user_table - step[:N_USERS], item_table=best.item_table - step[N_USERS:])
    assert best.gradient().abs().max() < 1e-12
    return replace(here, user_table=best.user_table, item_table=best.item_table)


def value(here: RatingCurvature, risk: str) -> float:
    squares = here.errors.square()
    return (torch.sigmoid(squares).sum() if risk == "sigmoid_sum" else torch.sigmoid(squares.mean())).item()


def inverse_of_risk(fitted: RatingCurvature, risk: str) -> torch.Tensor:
    tables = {"user": fitted.user_table, "item": fitted.item_table}
    here = EXACT.at(fitted.users, fitted.items, fitted.ratings, tables, DECAY)
    return EXACT.solve(here, here.weighted(risk_slopes(here.errors, risk)), Seeds(0), QUIET, "it")


@pytest.fixture(scope="module")
def fitted() -> RatingCurvature:
    return converged(start())


@pytest.mark.parametrize("risk", ["sigmoid_sum", "sigmoid_mean"])
def test_slopes_are_autograds(risk):
    errors = torch.linspace(-2, 3, 7, dtype=torch.float64).requires_grad_()
    squares = errors.square()
    total = torch.sigmoid(squares).sum() if risk == "sigmoid_sum" else torch.sigmoid(squares.mean())
    torch.testing.assert_close(risk_slopes(errors.detach(), risk), torch.autograd.grad(total, errors)[0])


def part(here: RatingCurvature, share: torch.Tensor) -> RatingCurvature:
    return replace(here, users=here.users[share], items=here.items[share], ratings=here.ratings[share])


def removal(fitted: RatingCurvature, user: int) -> float:
    """Predicted change of the risk of all others when ``user`` goes.

    Their gradient is then missing from that of the loss, so the tables move by its product with the inverse.
    """
    own = fitted.users == user
    rest, rows = part(fitted, ~own), part(fitted, own)
    tables = {"user": fitted.user_table, "item": fitted.item_table}
    here = EXACT.at(fitted.users, fitted.items, fitted.ratings, tables, DECAY)
    x = EXACT.solve(here, rest.weighted(risk_slopes(rest.errors, "sigmoid_sum")), Seeds(0), QUIET, "it")
    return len(rows) / len(fitted) * (x * rows.gradient()).sum().item()


@pytest.mark.slow
def test_removing_the_most_harmful_user_moves_the_risk_as_predicted(fitted):
    """To first order: a whole user is no small change, so the size is right within a factor of 2."""
    predicted = np.array([removal(fitted, user) for user in range(N_USERS)])
    order = predicted.argsort()
    assert predicted[order[0]] < 20 * predicted[order[-1]] < 0
    looked, moved = order[[0, 2, 5, 15, -1]], []
    for user in looked:
        others = fitted.users != user
        after = part(converged(fitted, share=others), others)
        before = part(fitted, others)
        moved.append(value(after, "sigmoid_sum") - value(before, "sigmoid_sum"))
    ratio = np.array(moved) / predicted[looked]
    assert ((ratio > 0.4) & (ratio < 1.1)).all()
    assert moved[-1] == max(moved)
    assert min(moved) in moved[:2]


@pytest.mark.parametrize("risk", ["sigmoid_sum", "sigmoid_mean"])
def test_a_higher_rating_moves_the_risk_as_predicted(fitted, risk):
    """One user's rating of one item, raised a little: equation 5 is the derivative of the risk after a new fit."""
    x, small = inverse_of_risk(fitted, risk), 1e-4
    for place in (5, 100, 300):
        user, item = fitted.users[place], fitted.items[place]
        predicted = influence_of_ratings(fitted, x, user[None])[item].item()
        risks = []
        for sign in (-1, 1):
            ratings = fitted.ratings.clone()
            ratings[place] += sign * small
            after = converged(fitted, ratings=ratings)
            risks.append(value(replace(fitted, user_table=after.user_table, item_table=after.item_table), risk))
        assert (risks[1] - risks[0]) / (2 * small) == pytest.approx(predicted, rel=1e-3, abs=1e-9)


def test_references_add_up(fitted):
    x = inverse_of_risk(fitted, "sigmoid_sum")
    alone = [influence_of_ratings(fitted, x, torch.tensor([user])) for user in (3, 7)]
    torch.testing.assert_close(influence_of_ratings(fitted, x, torch.tensor([7, 3])), alone[0] + alone[1])


def test_lissa_finds_what_cg_finds(fitted):
    """On all ratings at once."""
    settings = {"curvature": "gauss_newton", "damping": 0.01}
    tables = {"user": fitted.user_table, "item": fitted.item_table}
    found = []
    for inverse in (
        InverseCurvature(**settings, tolerance=1e-8),
        InverseCurvature(**settings, solver="lissa", scale=0.5, iterations=2000),
    ):
        here = inverse.at(fitted.users, fitted.items, fitted.ratings, tables, DECAY)
        b = here.weighted(risk_slopes(here.errors, "sigmoid_sum"))
        found.append(inverse.solve(here, b, Seeds(0), QUIET, "it"))
    assert (found[0] - found[1]).norm() < 1e-3 * found[0].norm()


def test_batches_of_lissa_depend_on_the_seed_alone(fitted):
    inverse = InverseCurvature(solver="lissa", batch_size=50, iterations=20)
    tables = {"user": fitted.user_table, "item": fitted.item_table}
    here = inverse.at(fitted.users, fitted.items, fitted.ratings, tables, DECAY)
    one, again, other = (inverse.solve(here, here.gradient(), Seeds(seed), QUIET, "it") for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_what_cg_leaves_is_told(fitted):
    notes, inverse = Notes(), replace(EXACT, iterations=2)
    here = inverse.at(
        fitted.users, fitted.items, fitted.ratings, {"user": fitted.user_table, "item": fitted.item_table}, DECAY
    )
    inverse.solve(here, here.weighted(fitted.errors), Seeds(0), notes, "defense.inverse")
    (note,) = notes.notes
    assert "after 2 iterations" in note
    assert "raise defense.inverse.iterations or defense.inverse.damping" in note


def test_negative_curvature_and_divergence_name_the_settings():
    here = start()
    tables = {"user": here.user_table, "item": here.item_table}
    near_0 = {name: torch.full_like(table, 1e-3) for name, table in tables.items()}  # a saddle
    for inverse, at, named in (
        (InverseCurvature(curvature="hessian", damping=0.0), near_0, r"raise defense\.inverse\.damping"),
        (InverseCurvature(solver="lissa", scale=1e-3), tables, r"raise defense\.inverse\.scale"),
    ):
        curvature = inverse.at(here.users, here.items, here.ratings, at, 0.0)
        with pytest.raises(NotSolved, match=named):
            inverse.solve(curvature, curvature.weighted(curvature.errors), Seeds(0), QUIET, "defense.inverse")


def test_the_shortest_rows_of_those_who_have_one():
    data = Interactions([0, 0, 1, 3, 3, 4], [0, 1, 0, 0, 1, 2], [3, 4, 2, 1, 1, 5], n_users=5, n_items=3)
    # lengths 5, 2, none, root 2, 5
    assert shortest_users(data, 2, np.random.default_rng(0)).tolist() == [3, 1]
    assert sorted(shortest_users(data, 9, np.random.default_rng(0)).tolist()) == [0, 1, 3, 4]
    third = {int(shortest_users(data, 3, np.random.default_rng(seed))[2]) for seed in range(20)}
    assert third == {0, 4}, "ties are broken by lot"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("solver", "lu"),
        ("curvature", "fisher"),
        ("blocks", "none"),
        ("damping", -1.0),
        ("damping", float("inf")),
        ("tolerance", 0.0),
        ("scale", 0.0),
        ("iterations", 0),
        ("batch_size", 0),
    ],
)
def test_settings_out_of_range(name, wrong):
    with pytest.raises(ConfigError, match=rf"inverse\.{name} is"):
        InverseCurvature(**{name: wrong})
