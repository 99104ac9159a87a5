import numpy as np
import pytest

from recpoison.attacks.profiles.fillers import draw_fillers, item_statistics, most_popular
from recpoison.data.interactions import Interactions, Scale


def test_fillers_are_distinct_ascending_and_never_taken():
    drawn = draw_fillers(30, np.array([0, 7, 29]), 200, 12, np.random.default_rng(0))
    assert drawn.shape == (200, 12)
    assert (np.diff(drawn, axis=1) > 0).all()
    assert not np.isin(drawn, [0, 7, 29]).any()


def test_each_filler_is_equally_likely():
    n, count, free = 4000, 6, 20
    drawn = draw_fillers(21, np.array([5]), n, count, np.random.default_rng(0))
    often = np.delete(np.bincount(drawn.ravel(), minlength=21), 5)
    share = count / free  # binomial: 4000 draws of probability 0.3
    assert np.abs(often - n * share).max() < 4 * np.sqrt(n * share * (1 - share))


def test_fillers_do_not_depend_on_the_block():
    whole, pieces = (
        draw_fillers(50, np.array([1]), 17, 9, np.random.default_rng(3), cells=cells) for cells in (10**6, 120)
    )
    assert np.array_equal(whole, pieces)


@pytest.mark.parametrize("count", [0, 4])
def test_none_and_all(count):
    assert draw_fillers(5, np.array([2]), 3, count, np.random.default_rng(0)).tolist() == [[0, 1, 3, 4][:count]] * 3


@pytest.mark.parametrize(
    ("std", "expected"),
    # Item 0: 1, 3, 5. Item 1: 4 alone. Item 2: nobody. All ratings 1 3 5 4: mean 3.25, variance 2.1875.
    [
        ("sample", [2.0, np.sqrt(2.1875), np.sqrt(2.1875)]),
        ("population", [np.sqrt(8 / 3), 0.0, np.sqrt(2.1875)]),
    ],
)
def test_item_statistics_by_hand(std, expected):
    data = Interactions(np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1]), np.array([1.0, 3, 5, 4]), 3, 3, Scale(1, 5))
    means, stds = item_statistics(data, std)
    assert means.tolist() == [3.0, 4.0, 3.25]
    assert stds == pytest.approx(expected)


def test_most_popular_breaks_ties_by_id(tiny_explicit):
    # Users per item: 2, 2, 3, 0, 0 after item 0 loses a user.
    data = tiny_explicit.take(np.arange(len(tiny_explicit)) != 0)
    assert data.item_counts.tolist() == [2, 2, 3, 0, 0]
    assert most_popular(data, np.array([1]), 3).tolist() == [2, 0, 3]
