"""Lists of ten items against numbers worked out apart (reference notes, D29), and shorter ones by hand."""

import numpy as np
import pytest

from recpoison.evaluation.list_stability import jaccard, rank_biased_overlap

TEN = np.arange(10)
SWAPPED = np.array([1, 0, *range(2, 10)])
ROTATED = np.roll(TEN, 5)
HALF_NEW = np.array([*range(5), *range(20, 25)])


@pytest.mark.parametrize(
    ("other", "overlap", "shared"),
    [
        (TEN, 1.0, 1.0),
        (SWAPPED, 0.8465, 1.0),
        (ROTATED, 0.2502, 1.0),
        (HALF_NEW, 0.8749, 1 / 3),
        (TEN + 50, 0.0, 0.0),
    ],
)
def test_lists_of_ten(other, overlap, shared):
    both = TEN[None], other[None]
    assert rank_biased_overlap(*both) == pytest.approx([overlap], abs=5e-5)
    assert jaccard(*both) == pytest.approx([shared])
    assert rank_biased_overlap(*both[::-1]) == pytest.approx(rank_biased_overlap(*both))


def test_the_share_of_all_depths_is_the_limit_of_persistence():
    """Near 1 all depths weigh alike: the mean of 0, 1, 1, ... and for the rotation 0.3544 (D29)."""
    lists = np.stack([TEN, TEN]), np.stack([SWAPPED, ROTATED])
    assert rank_biased_overlap(*lists, persistence=1 - 1e-9) == pytest.approx([0.9, 0.3544], abs=5e-5)


def test_lists_that_end_early():
    """Equal ones are equal, -1 is no item that two lists share, and a missing place counts against the longer list."""
    short = np.array([[3, 4, -1, -1]])
    assert rank_biased_overlap(short, short).tolist() == jaccard(short, short).tolist() == [1.0]
    longer = np.array([[3, 4, 5, 6]])
    weights = 0.9 ** np.arange(4)
    expected = (weights * [1, 1, 2 / 3, 1 / 2]).sum() / weights.sum()
    assert rank_biased_overlap(short, longer) == pytest.approx([expected])
    assert jaccard(short, longer) == pytest.approx([0.5])
    empty = np.full((1, 4), -1)
    assert rank_biased_overlap(empty, empty).tolist() == jaccard(empty, empty).tolist() == [1.0]
    assert rank_biased_overlap(empty, longer).tolist() == jaccard(empty, longer).tolist() == [0.0]


def test_many_users_are_as_one_by_one(monkeypatch):
    random = np.random.default_rng(0)
    first, second = (np.stack([random.permutation(15)[:6] for _ in range(40)]) for _ in range(2))
    whole = rank_biased_overlap(first, second), jaccard(first, second)
    monkeypatch.setattr("recpoison.evaluation.list_stability._AT_ONCE", 100)
    assert rank_biased_overlap(first, second).tolist() == whole[0].tolist()
    assert jaccard(first, second).tolist() == whole[1].tolist()
    assert 0 < whole[0].mean() < 1
