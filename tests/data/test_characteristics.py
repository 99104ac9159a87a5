import numpy as np
import pytest

from recpoison.data.characteristics import characterise, gini
from recpoison.data.interactions import Interactions


def test_by_hand():
    users, items = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 1, 0, 2])
    found = characterise(Interactions(users, items, np.ones(5), 2, 5))
    assert (found.n_users, found.n_items, found.n_rows, found.n_pairs) == (2, 5, 5, 4)
    assert found.density == 4 / 10
    assert found.size == 10
    assert found.log_size == 1.0
    assert found.shape == 2 / 5
    assert found.gini_users == 0.0
    # counts 0 0 1 1 2: (-4*0 - 2*0 + 0*1 + 2*1 + 4*2) / (5 * 4)
    assert found.gini_items == pytest.approx(0.5)


def test_gini_limits_and_definition():
    assert gini(np.array([3, 3, 3])) == 0
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(3 / 4)  # all on one of n: (n - 1) / n
    assert gini(np.zeros(4)) == 0
    counts = np.random.default_rng(0).integers(0, 50, 200)
    differences = np.abs(counts[:, None] - counts).mean()
    assert gini(counts) == pytest.approx(differences / (2 * counts.mean()))
