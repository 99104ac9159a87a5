"""The bounds of APT's theorems against hand arithmetic, against each other, and against the model that they are of."""

import math

import numpy as np
import pytest
from scipy import stats

from recpoison.evaluation.tolerated_poison import (
    confidence,
    drawn,
    tolerated,
    tolerated_by_adversarial_training,
    tolerated_by_apt,
)

HAND = {"n": 100, "d": 4, "sigma": 0.5, "beta": math.exp(-2), "alpha": 2.0, "gamma": 2.0}


def test_by_hand():
    """Mean 2 x 2 x 19 / 22, straying 2 x 0.5 x 2: a margin of 76/22 - 2 = 16/11; d gamma^2 is 16."""
    assert tolerated(**HAND) == pytest.approx(100 / 16 * 16 / 11)
    assert tolerated_by_adversarial_training(**HAND, epsilon=0.5, tau=2.0) == pytest.approx(100 / 15 * (16 / 11 + 1))
    assert tolerated_by_apt(**HAND, n_star=10, tau=2.0) == pytest.approx((100 * 16 / 11 + 40) / 16)


def test_limits():
    plain = tolerated(**HAND)
    assert tolerated_by_adversarial_training(**HAND, epsilon=0.0, tau=2.0) == pytest.approx(plain)
    assert tolerated_by_apt(**HAND, n_star=0, tau=2.0) == pytest.approx(plain)
    assert tolerated_by_adversarial_training(**HAND, epsilon=8.0, tau=2.0) == math.inf
    assert tolerated(**HAND | {"sigma": 5.0}) < 0
    assert tolerated_by_adversarial_training(**HAND | {"sigma": 9.0}, epsilon=8.0, tau=2.0) == -math.inf


def test_apt_overtakes_adversarial_training_where_the_paper_says():
    """At n* = (n + n') epsilon / gamma, n' being what either tolerates."""
    epsilon, tau = 0.3, 2.0
    other = tolerated_by_adversarial_training(**HAND, epsilon=epsilon, tau=tau)
    n_star = (HAND["n"] + other) * epsilon / HAND["gamma"]
    assert tolerated_by_apt(**HAND, n_star=n_star, tau=tau) == pytest.approx(other)


def test_confidence_is_vacuous_for_few_dimensions():
    assert confidence(64, 1.0) == pytest.approx(1 - 2 * math.exp(-4))
    assert confidence(8, 1.0) < 0


def test_what_is_drawn_is_of_the_model():
    """Of many users v is near the mean of length sqrt(d), and each user's length is near sqrt(d (1 + sigma^2))."""
    found = drawn(20000, 16, 0.5, np.random.default_rng(0))
    assert found["alpha"] == pytest.approx(4.0, abs=0.02)
    assert found["gamma"] == pytest.approx(1 + 0.5 * stats.norm.isf(1 / (20000 * 16)), abs=0.3)
    assert 2.0 < found["tau"] < 4.0 * math.sqrt(1.25)


class Model:
    """The Gaussian recommender, drawn: the error of each defense under the worst poison, chosen for each scored user.

    For a user of label r the poison that hurts most has r' u' = -gamma sign(r u), which takes n' gamma |u|_1 from
    n <v, r u>. Adversarial training, with v + sign(r u) epsilon, gives (n + n') epsilon |u|_1 back, and n* ERM users,
    who are the poison's mirror image, n* gamma |u|_1.
    """

    def __init__(self, n: int, d: int, sigma: float, seed: int, scored: int = 40000):
        rng = np.random.default_rng(seed)
        self.n, self.d, self.sigma = n, d, sigma
        labels = rng.choice([-1.0, 1.0], n)
        users = labels[:, None] + sigma * rng.standard_normal(
            (n, d)
        )  # the mean of label 1 is ones: its length is sqrt(d)
        self.v = (labels[:, None] * users).mean(0)
        label = rng.choice([-1.0, 1.0], scored)
        user = label[:, None] + sigma * rng.standard_normal((scored, d))
        self.gain = n * label * (user @ self.v)
        self.size = np.abs(user).sum(1)
        lengths = [np.linalg.norm(part, axis=1).min() for part in (users, user)]
        self.tau = float(min(lengths))
        self.gamma = float(self.size.max() / d)  # the least that the proofs allow: no scored user is larger on average

    def symbols(self, beta: float) -> dict[str, float]:
        own = {"n": self.n, "d": self.d, "sigma": self.sigma, "gamma": self.gamma}
        return own | {"beta": beta, "alpha": float(np.linalg.norm(self.v))}

    def error(self, poison: float, *, epsilon: float = 0.0, n_star: float = 0.0) -> float:
        given = (self.n + poison) * epsilon + n_star * self.gamma
        return float((self.gain + (given - poison * self.gamma) * self.size <= 0).mean())


def test_the_model_is_simulated_rightly():
    """Without poison the error is that of a Gaussian: Phi(-<v, u_bar> / (sigma |v|))."""
    model = Model(50, 4, 1.0, seed=1, scored=200000)
    exact = stats.norm.cdf(-model.v.sum() / np.linalg.norm(model.v))
    assert model.error(0) == pytest.approx(exact, abs=4 * math.sqrt(exact / 200000))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "d", "sigma"), [(100, 64, 1.0), (1000, 64, 0.5), (1000, 128, 1.5)])
def test_up_to_the_bound_no_more_than_beta_are_judged_wrongly(n, d, sigma, seed):
    model, beta, epsilon, n_star = Model(n, d, sigma, seed), 0.05, 0.1, 0.05 * n
    symbols = model.symbols(beta)
    plain = tolerated(**symbols)
    trained = tolerated_by_adversarial_training(**symbols, epsilon=epsilon, tau=model.tau)
    with_erm = tolerated_by_apt(**symbols, n_star=n_star, tau=model.tau)
    assert 0 < plain < min(trained, with_erm)
    assert model.error(plain) <= beta
    assert model.error(trained, epsilon=epsilon) <= beta
    assert model.error(with_erm, n_star=n_star) <= beta


def test_beyond_what_the_model_bears_more_are_wrong():
    """The bound is not idle: at a few times as much poison more than beta are judged wrongly, with each defense."""
    model, beta = Model(1000, 64, 0.5, seed=0), 0.05
    many = 3 * tolerated(**model.symbols(beta))
    assert model.error(many) > beta
    assert model.error(many, epsilon=0.01) > beta
    assert model.error(many, n_star=10) > beta
    assert model.error(many, n_star=many) <= beta  # as many ERM users as poisoning ones undo them
