import numpy as np
import pytest

from recpoison.evaluation.beyond_accuracy import expected_free_discovery, item_coverage, novelty, shannon_entropy
from recpoison.evaluation.metrics import place_held_out
from recpoison.evaluation.ranks import ItemRanks

LISTS = np.array([[0, 1, 2], [0, 3, -1], [0, 1, 3]])


def test_novelty_is_the_surprise_of_an_items_share():
    """Shares 1/2, 1/4, 1/4; an item nobody has counts as one of the four pairs."""
    assert novelty(np.array([2, 1, 1])).tolist() == [1, 2, 2]
    assert novelty(np.array([4, 0])).tolist() == [0, 2]


def test_efd_by_hand():
    """Hits at places 1 and 3 with 1 and 2 bits; discounts 1, 1/log2(3), 1/2."""
    part = ItemRanks(*np.array([[5, 5], [0, 1], [0, 2], [0, 0], [9, 9], [1, 1], [0, 0]]))
    held = place_held_out(part, "against")
    counts = np.array([2, 1, 1])
    assert expected_free_discovery(held, counts, 3)[0] == pytest.approx((1 * 1 + 2 / 2) / (1 + 1 / np.log2(3) + 1 / 2))
    assert expected_free_discovery(held, counts, 1)[0] == pytest.approx(1)


def test_efd_equals_a_walk_along_the_lists():
    rng = np.random.default_rng(0)
    n_users, n_items, k = 30, 20, 6
    counts = rng.integers(0, 50, n_items)
    order = np.array([rng.permutation(n_items) for _ in range(n_users)])
    relevant = np.array([rng.choice(n_items, 3, replace=False) for _ in range(n_users)])
    places = np.array([[list(order[u]).index(i) for i in relevant[u]] for u in range(n_users)])
    n = n_users * 3
    columns = (
        np.repeat(np.arange(n_users), 3),
        relevant.ravel(),
        places.ravel(),
        np.zeros(n),
        np.full(n, n_items),
        np.ones(n),
    )
    held = place_held_out(ItemRanks(*(column.astype(int) for column in columns), np.zeros(n, dtype=bool)), "against")
    shares = np.maximum(counts, 1) / counts.sum()
    for user in range(n_users):
        gain = sum(-np.log2(shares[i]) / np.log2(r + 2) for r, i in enumerate(order[user][:k]) if i in relevant[user])
        expected = gain / sum(1 / np.log2(r + 2) for r in range(k))
        assert expected_free_discovery(held, counts, k)[user] == pytest.approx(expected)


def test_entropy_by_hand():
    assert shannon_entropy(LISTS, 5, 1) == 0
    assert shannon_entropy(LISTS, 5, 2) == pytest.approx(
        -(3 / 6) * np.log2(3 / 6) - (2 / 6) * np.log2(2 / 6) - np.log2(1 / 6) / 6
    )
    assert shannon_entropy(np.arange(8).reshape(4, 2), 8, 2) == pytest.approx(3)
    assert shannon_entropy(np.full((2, 3), -1), 8, 2) == 0


def test_coverage_by_hand():
    assert [item_coverage(LISTS, 5, k) for k in (1, 2, 3)] == [1, 3, 4]
