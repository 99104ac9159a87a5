"""How many poisoning users a Gaussian recommender tolerates: the bounds of APT (Wu et al. 2021), theorems 4.3 to 4.5.

In the (u_bar, sigma)-Gaussian model a user has a label r of -1 or 1, each half of the time, and an embedding u of d
numbers from N(r u_bar, sigma^2 I), with a mean of length sqrt(d) (lemma A.2). The item's embedding is
v = (1/n) sum of r_i u_i, and a user is judged by the sign of <v, u>. The symbols are the paper's:

    n        users                       d      numbers of an embedding
    sigma    spread of embeddings        beta   share of users judged wrongly that is put up with
    alpha    length of v                 gamma  largest number of a poisoning user's embedding
    tau      least length of a user      epsilon, n_star   size of the perturbation, number of ERM users

Each bound holds with a probability of at least ``confidence(d, sigma)`` over the draw of the users. Three things that
the theorems leave unsaid: gamma limits the poison alone, as Gaussian users have no largest number, so that the proofs
need a scored user's mean absolute number to be at most gamma; the poison, the perturbation and the ERM users may be
chosen for each scored user anew; and the last two are chosen by that user's own label.
"""

from __future__ import annotations

import math

import numpy as np


def tolerated(*, n: float, d: int, sigma: float, beta: float, alpha: float, gamma: float) -> float:
    """Theorem 4.3: poisoning users up to which at most a share ``beta`` is judged wrongly, without a defense.

    Below 0 nothing is promised, not even without poison.
    """
    return n * _margin(n, d, sigma, beta, alpha) / (d * gamma**2)


def tolerated_by_adversarial_training(
    *, n: float, d: int, sigma: float, beta: float, alpha: float, gamma: float, epsilon: float, tau: float
) -> float:
    """Theorem 4.4: the same under adversarial training, whose estimator is v + sign(r u) epsilon for a user of label r.

    Infinite where the perturbation outweighs a poisoning user (epsilon tau >= d gamma^2), if anything is promised.
    """
    margin, left = _margin(n, d, sigma, beta, alpha) + epsilon * tau, d * gamma**2 - epsilon * tau
    if left > 0:
        return n * margin / left
    return math.inf if margin >= 0 else -math.inf


def tolerated_by_apt(
    *, n: float, d: int, sigma: float, beta: float, alpha: float, gamma: float, n_star: float, tau: float
) -> float:
    """Theorem 4.5: the same with ``n_star`` ERM users, each as large as a poisoning user may be."""
    return (n * _margin(n, d, sigma, beta, alpha) + n_star * gamma * tau) / (d * gamma**2)


def confidence(d: int, sigma: float) -> float:
    """With which probability the bounds hold at least: 1 - 2 exp(-d / (8 (sigma^2 + 1))); 0 or below is no promise."""
    return 1 - 2 * math.exp(-d / (8 * (sigma**2 + 1)))


def drawn(n: int, d: int, sigma: float, rng: np.random.Generator) -> dict[str, float]:
    """``alpha``, ``gamma`` and ``tau`` of n users of the model, gamma being the largest number among them."""
    users = 1 + sigma * rng.standard_normal((n, d), dtype=np.float32)  # r u, which is all that counts: the mean is ones
    return {
        "alpha": float(np.linalg.norm(users.mean(0))),
        "gamma": float(np.abs(users).max()),
        "tau": float(np.linalg.norm(users, axis=1).min()),
    }


def _margin(n: float, d: int, sigma: float, beta: float, alpha: float) -> float:
    """How far the users' mean lies from the border, less what a share ``beta`` of them strays."""
    mean = alpha * math.sqrt(d) * (2 * math.sqrt(n) - 1) / (2 * math.sqrt(n) + 4 * sigma)
    return mean - alpha * sigma * math.sqrt(2 * math.log(1 / beta))
