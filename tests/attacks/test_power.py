"""Influence by hand and against a plain loop."""

import numpy as np
import pytest
import scipy.sparse as sp

from recpoison.attacks.profiles import power
from recpoison.attacks.profiles.power import influence, most_influential

ROWS = sp.csr_matrix([[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 5, 0], [0, 0, 0, 0, 0]])


def plainly(rows: np.ndarray, rule: str, neighbours: int) -> np.ndarray:
    sets = [set(np.flatnonzero(row)) for row in rows]
    degree, total = np.zeros(len(sets)), np.zeros(len(sets))
    for one, mine in enumerate(sets):
        near = []
        for other, theirs in enumerate(sets):
            common = len(mine & theirs)
            if other != one and common:
                near.append((-common / np.sqrt(len(mine) * len(theirs)) * min(common, 50) / 50, other))
        for similarity, other in sorted(near)[:neighbours]:
            degree[other] += 1
            total[one] -= similarity
    return degree if rule == "in_degree" else total


def test_by_hand():
    """0 and 1 are 2 / sqrt(6) alike, 0 and 2 too, 1 and 2 are 1 / 2 alike, each times common / 50."""
    assert influence(ROWS, "ratings", 1).tolist() == [3, 2, 2, 1, 0]
    assert influence(ROWS, "in_degree", 1).tolist() == [2, 1, 0, 0, 0]
    near = 2 / np.sqrt(6) * 2 / 50
    assert influence(ROWS, "similarity", 1).tolist() == pytest.approx([near] * 3 + [0, 0])
    assert influence(ROWS, "similarity", 9).tolist() == pytest.approx(
        [2 * near, near + 0.5 / 50, near + 0.5 / 50, 0, 0]
    )
    assert most_influential(ROWS, "ratings", 1, 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("rule", ["in_degree", "similarity"])
def test_blocks_do_not_matter(rule, monkeypatch):
    rows = (np.random.default_rng(0).random((40, 120)) < 0.6) * 3.0  # more than 50 in common, and many ties
    want = plainly(rows, rule, 5)
    for size in (1, 700, 1 << 20):
        monkeypatch.setattr(power, "_BYTES", size)
        np.testing.assert_allclose(influence(sp.csr_matrix(rows), rule, 5), want, rtol=1e-5)
