"""APT: which items its ERM users rate, and what that does to an attack."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses import apt
from recpoison.defenses.apt import APT, draw_weighted
from recpoison.defenses.erm_users import NOBODY, Renewal
from recpoison.errors import ConfigError
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.influence import InverseCurvature
from recpoison.training.trainer import Trainer

QUIET, CPU = Progress(), torch.device("cpu")
MODEL = MF(4, regularization=0.01, trainer=Trainer(8, 64, "adagrad", 0.5))
DAMPED = InverseCurvature(damping=0.01, tolerance=1e-8)


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def some_data(seed=5) -> Interactions:
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((25, 18)) < 0.5)
    return Interactions(users, items, rng.integers(1, 6, len(users)), n_users=25, n_items=18, scale=Scale(1, 5))


def renewal(data, shape=(3, 4), progress=QUIET, params=None) -> Renewal:
    params = MODEL.fit(data, Seeds(0), CPU, QUIET) if params is None else params
    return Renewal(data, MODEL.objective(data, Seeds(0), CPU), params, shape, Seeds(9), progress)


def dense_influence(data, params, references, risk, damping) -> torch.Tensor:
    """Equation 5 by autograd: the Gauss-Newton matrix is formed and solved, and the mixed derivative taken."""
    p, q = (params[name].double() for name in ("user", "item"))
    sizes, n = (p.numel(), q.numel()), len(data)
    users, items = torch.from_numpy(data.users.copy()), torch.from_numpy(data.items.copy())
    ratings = torch.from_numpy(data.values / 5)
    flat = torch.cat([p.flatten(), q.flatten()]).requires_grad_()

    def tables(flat):
        return flat[: sizes[0]].view_as(p), flat[sizes[0] :].view_as(q)

    def scores(flat):
        p, q = tables(flat)
        return (p[users] * q[items]).sum(1)

    squares = (scores(flat) - ratings).square()
    total = torch.sigmoid(squares).sum() if risk == "sigmoid_sum" else torch.sigmoid(squares.mean())
    (slope,) = torch.autograd.grad(total, flat)
    jacobian = torch.autograd.functional.jacobian(scores, flat.detach())
    counts = torch.cat([torch.bincount(users, minlength=len(p)), torch.bincount(items, minlength=len(q))]).double()
    matrix = 2 / n * jacobian.T @ jacobian + torch.diag(MODEL.regularization / n * counts.repeat_interleave(4))
    x = torch.linalg.solve(matrix + damping * torch.eye(len(matrix), dtype=torch.float64), slope)
    found = torch.zeros(len(q), dtype=torch.float64)
    for user in references:
        row = torch.from_numpy(np.zeros(len(q)))
        row[items[users == user]] = ratings[users == user]
        row.requires_grad_()
        p_now, q_now = tables(flat)
        loss = (q_now @ p_now[user] - row).square().sum() / n  # over all items, 0 where there is no rating
        (gradient,) = torch.autograd.grad(loss, flat, create_graph=True)
        found -= torch.autograd.grad(gradient @ x, row)[0]
    return found


@pytest.mark.parametrize("risk", ["sigmoid_sum", "sigmoid_mean"])
@pytest.mark.parametrize("count", [1, 3])
def test_influence_is_equation_5(risk, count):
    data = some_data()
    here = renewal(data)
    lengths = np.sqrt(np.bincount(data.users, data.values**2))
    shortest = lengths.argsort()
    assert lengths[shortest[count]] > lengths[shortest[count - 1]], "no ties here"
    got = APT(risk=risk, reference_users=count, inverse=DAMPED).influence(here)
    want = dense_influence(data, here.params, shortest[:count], risk, DAMPED.damping).numpy()
    assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


def test_numbers_of_users_tell_nothing():
    """An attacker's users come last, which must not matter."""
    data = some_data()
    here = renewal(data)
    turned = np.random.default_rng(1).permutation(data.n_users)
    other = replace(data, users=turned[data.users])
    user = torch.empty_like(here.params["user"])
    user[torch.from_numpy(turned)] = here.params["user"]
    defense = APT(inverse=DAMPED, reference_users=3)
    again = defense.influence(renewal(other, params=here.params | {"user": user}))
    np.testing.assert_allclose(again, defense.influence(here), rtol=1e-3, atol=1e-9)


def chosen(influence, shape, monkeypatch, **settings) -> tuple[np.ndarray, list[str]]:
    monkeypatch.setattr(APT, "influence", lambda self, renewal: np.array(influence))
    notes = Notes()
    return APT(**settings).choose(renewal(some_data(), shape, notes)), notes.notes


def test_only_items_of_negative_influence_are_rated(monkeypatch):
    items, notes = chosen([0.1, -0.2, 0.0, -0.1, -0.3, 0.5], (50, 2), monkeypatch, temperature=1.0)
    assert set(items.ravel()) == {1, 3, 4}
    assert notes == []


def test_too_few_of_them_are_all_taken_and_it_is_said(monkeypatch):
    items, (note,) = chosen([0.1, -0.2, 0.0, -0.1], (3, 4), monkeypatch)
    assert items.tolist() == [[1, 3, NOBODY, NOBODY]] * 3
    assert "only 2 items" in note
    assert "instead of 4 (defense.fillers)" in note


def test_with_none_of_them_erm_users_rate_nothing(monkeypatch):
    data = some_data()
    monkeypatch.setattr(APT, "influence", lambda self, renewal: np.ones(18))
    notes = Notes()
    fitted = APT(fillers=4, pre_training=7).fit(MODEL, data, Seeds(0), CPU, notes)
    assert torch.equal(fitted.params["item"], MODEL.fit(data, Seeds(0), CPU, QUIET)["item"])
    assert "only 0 items" in notes.notes[0]


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({"temperature": 2.0}, np.exp([2.0, 1.0, 0.0])),  # influence -4, -3 and -2 are -1, -1/2 and 0
        ({"temperature": 0.5, "scaling": "none"}, np.exp([2.0, 1.5, 1.0])),
        ({"temperature": 0.0}, np.ones(3)),
    ],
)
def test_probabilities_are_those_of_the_paper(monkeypatch, settings, weights):
    items, _ = chosen([-4.0, -3.0, 1.0, -2.0], (40_000, 1), monkeypatch, **settings)
    shares = np.bincount(items.ravel(), minlength=4)[[0, 1, 3]] / len(items)
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.01)


def test_draws_without_replacement_are_one_after_another():
    """Of weights 3, 2 and 1 two are drawn: {0, 1} has 3/6 2/3 + 2/6 3/4 = 7/12."""
    rows = draw_weighted(np.log([3.0, 2.0, 1.0]), 40_000, 2, np.random.default_rng(0))
    assert (rows[:, 0] < rows[:, 1]).all()
    shares = [(rows == pair).all(1).mean() for pair in ([0, 1], [0, 2], [1, 2])]
    expected = [3 / 6 * 2 / 3 + 2 / 6 * 3 / 4, 3 / 6 * 1 / 3 + 1 / 6 * 3 / 5, 2 / 6 * 1 / 4 + 1 / 6 * 2 / 5]
    np.testing.assert_allclose(shares, expected, atol=0.01)


def test_blocks_of_draws_change_nothing(monkeypatch):
    weights = -np.arange(7.0)
    whole = draw_weighted(weights, 20, 3, np.random.default_rng(0))
    monkeypatch.setattr(apt, "_CELLS", 15)
    assert np.array_equal(draw_weighted(weights, 20, 3, np.random.default_rng(0)), whole)


def test_equal_influences_are_alike(monkeypatch):
    items, _ = chosen([-1.0, -1.0, 2.0], (30, 1), monkeypatch)
    assert set(items.ravel()) == {0, 1}


@pytest.mark.parametrize(
    ("name", "wrong"), [("temperature", -1.0), ("scaling", "max"), ("risk", "mse"), ("reference_users", 0)]
)
def test_settings_out_of_range(name, wrong):
    with pytest.raises(ConfigError, match=f"defense.{name} is"):
        APT(**{name: wrong})
