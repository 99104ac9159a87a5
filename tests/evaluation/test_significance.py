import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import rankdata

from recpoison.evaluation.significance import bootstrap_interval, holm, paired_t_test, stars, wilcoxon_test


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_t_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1/sqrt 3, t = 2 sqrt 3; with two pairs the law is Cauchy's."""
    zeros = np.zeros(3)
    t = 2 * np.sqrt(3)
    assert paired_t_test(zeros, np.array([1.0, 2, 3])) == pytest.approx(1 - t / np.sqrt(2 + t * t))
    assert paired_t_test(zeros[:2], np.array([1.0, 3])) == pytest.approx(1 - 2 / np.pi * np.arctan(2))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60))
def test_t_equals_scipy(seed, n):
    before, after = np.random.default_rng(seed).normal(size=(2, n))
    assert paired_t_test(before, after) == pytest.approx(stats.ttest_rel(before, after).pvalue)


@pytest.mark.parametrize("test", [paired_t_test, wilcoxon_test])
def test_limits(test):
    same = np.array([0.1, 0.2, 0.3])
    assert test(same, same) == 1
    assert test(same[:1], same[:1]) == 1
    assert test(same, same[::-1].copy()) == pytest.approx(1)
    with pytest.raises(ValueError, match="3 numbers cannot be paired with 2"):
        test(same, same[:2])


def test_t_without_spread():
    assert paired_t_test(np.zeros(4), np.full(4, 0.5)) == 0.125
    assert paired_t_test(np.zeros(1), np.ones(1)) == 1
    on_a_grid = np.array([5, 7]) / 943, np.array([6, 8]) / 943
    assert paired_t_test(*on_a_grid) == 0.5, "rounding must not make certainty of one hit in each of two seeds"


def all_signs(differences: np.ndarray) -> float:
    """Wilcoxon's p-value by every assignment of signs."""
    ranks = rankdata(np.abs(differences))
    centre = ranks.sum() / 2
    seen = abs(ranks[differences > 0].sum() - centre)
    sums = [np.dot(ranks, signs) for signs in product([0, 1], repeat=len(ranks))]
    return float(np.mean([abs(s - centre) >= seen - 1e-9 for s in sums]))


def test_wilcoxon_equals_all_signs():
    rng = np.random.default_rng(0)
    for n in range(2, 10):
        after = rng.normal(0.5, size=n)
        assert wilcoxon_test(np.zeros(n), after) == pytest.approx(all_signs(after))
    assert wilcoxon_test(np.zeros(5), np.arange(1.0, 6)) == pytest.approx(2 / 2**5)
    assert wilcoxon_test(np.zeros(7), np.array([1.0, 2, 3, 4, 5, 0, 0])) == pytest.approx(2 / 2**5)


def test_wilcoxon_with_ties_by_hand():
    """12 of 16 ones rise: W = 8.5 * 12, mean 68, variance 16 * 8.5^2 / 4."""
    after = np.repeat([1.0, -1.0], [12, 4])
    z = (8.5 * 12 - 68) / np.sqrt(16 * 8.5**2 / 4)
    assert wilcoxon_test(np.zeros(16), after) == pytest.approx(2 * stats.norm.sf(z))


def test_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(3, 2, 400)
    low, high = bootstrap_interval(values, np.random.default_rng(0))
    error = values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)
    assert bootstrap_interval(values, np.random.default_rng(0)) == (low, high)
    assert bootstrap_interval(np.array([0.5]), np.random.default_rng(0)) == (0.5, 0.5)
    narrow = bootstrap_interval(values, np.random.default_rng(0), level=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_of_two_values_by_hand():
    """Means 0, 1/2, 1 with chances 1/4, 1/2, 1/4: the central half is 0 to 1 at most, the quartiles lie between."""
    assert bootstrap_interval(np.array([0.0, 1.0]), np.random.default_rng(0)) == (0, 1)
    assert bootstrap_interval(np.array([0.0, 1.0]), np.random.default_rng(0), level=0.2) == (0.5, 0.5)


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9])).tolist() == [1, 1]
    assert holm(np.array([0.02])).tolist() == [0.02]
    assert holm(np.array([])).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_as_the_step_down_procedure(p_values):
    """At level 0.05: go up from the smallest of m, compare the i-th with 0.05 / (m - i), stop at the first failure."""
    p = np.array(p_values)
    rejected = np.zeros(len(p), dtype=bool)
    for i, row in enumerate(np.argsort(p, kind="stable")):
        if p[row] * (len(p) - i) > 0.05:
            break
        rejected[row] = True
    assert np.array_equal(holm(p) <= 0.05, rejected)


def test_stars():
    assert [stars(p) for p in (0.0, 0.0009, 0.001, 0.009, 0.01, 0.049, 0.05, 1.0)] == [
        *("***", "***", "**", "**", "*", "*", "", "")
    ]
