"""What is special to the baseline; tests/contracts/test_edge_attacks.py has what all attacks on edges keep."""

import math

import numpy as np
from labelled_blocks import CPU, NO_TARGETS, some_edges

from recpoison.attacks.edges.random_edges import RandomEdges
from recpoison.progress import Progress
from recpoison.seeds import Seeds


def test_all_zeros_are_as_likely() -> None:
    """20 of n zeros in 400 draws, within five standard deviations, and each drawn once at most in a draw."""
    data = some_edges()
    keys = data.zeros.keys(data.n_items)
    n, counts = len(keys), np.zeros(data.n_users * data.n_items)
    for seed in range(400):
        flips = RandomEdges(n_flips=20).poison(data, NO_TARGETS, Seeds(seed), CPU, Progress())
        np.add.at(counts, flips.rows * data.n_items + flips.columns, 1)
    assert counts.sum() == 8000
    assert counts[keys].sum() == 8000
    share = 20 / n
    assert (abs(counts[keys] - 400 * share) < 5 * math.sqrt(400 * share * (1 - share))).all()


def test_nothing_is_seen_on_a_surrogate() -> None:
    assert RandomEdges(n_flips=2).poison(some_edges(), NO_TARGETS, Seeds(0), CPU, Progress()).trace == {}
