import warnings
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import rankdata

from recpoison.evaluation.significance import (
    fewest_pairs,
    holm,
    paired_t,
    permutation,
    seeds_that_would_do,
    star_rule,
    stars,
    told_apart,
    wilcoxon,
)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_t_and_its_interval_by_hand():
    """Differences 1, 2, 3: mean 2, standard error 1/sqrt 3, t = 2 sqrt 3; t(0.975, 2) is 4.302653."""
    t = 2 * np.sqrt(3)
    p, low, high = paired_t(np.zeros(3), np.array([1.0, 2, 3]))
    assert p == pytest.approx(1 - t / np.sqrt(2 + t * t))
    assert (low, high) == pytest.approx((2 - 4.302653 / np.sqrt(3), 2 + 4.302653 / np.sqrt(3)), abs=1e-6)
    assert paired_t(np.zeros(2), np.array([1.0, 3]))[0] == pytest.approx(1 - 2 / np.pi * np.arctan(2))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60))
def test_t_equals_scipy_and_its_interval_agrees_with_p(seed, n):
    before, after = np.random.default_rng(seed).normal(size=(2, n))
    p, low, high = paired_t(before, after)
    found = stats.ttest_rel(after, before)
    assert p == pytest.approx(found.pvalue)
    assert (low, high) == pytest.approx(tuple(found.confidence_interval(0.95)))
    assert (p < 0.05) == (low > 0 or high < 0)


def test_no_spread_no_test():
    """Equal numbers, one difference in every pair (also up to rounding), and a single pair have no t."""
    same = np.array([0.1, 0.2, 0.3])
    for before, after in ((same, same), (np.zeros(4), np.full(4, 0.5)), (np.zeros(1), np.ones(1)), (same, same + 0.1)):
        assert np.isnan(paired_t(before, after)).all()
    on_a_grid = np.array([5, 7]) / 943, np.array([6, 8]) / 943
    assert np.isnan(paired_t(*on_a_grid)).all(), "rounding must not make certainty of one hit in each of two seeds"
    for test in (wilcoxon, permutation):
        assert np.isnan(test(same, same))
        assert np.isnan(test(np.zeros(0), np.zeros(0)))
        assert test(np.zeros(1), np.ones(1)) == 1
        assert test(np.zeros(4), np.full(4, 0.5)) == 0.125
    for test in (paired_t, wilcoxon, permutation):
        with pytest.raises(ValueError, match="3 numbers cannot be paired with 2"):
            test(same, same[:2])


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
        assert wilcoxon(np.zeros(n), after) == pytest.approx(all_signs(after))
    assert wilcoxon(np.zeros(5), np.arange(1.0, 6)) == 0.0625
    assert wilcoxon(np.zeros(7), np.array([1.0, 2, 3, 4, 5, 0, 0])) == 0.0625


def test_wilcoxon_with_ties_is_exact_too():
    """Five equal differences: the normal approximation says 0.0253, where all signs equal has p 2 / 2^5."""
    assert wilcoxon(np.zeros(5), np.full(5, 0.2)) == 0.0625
    after = np.array([1.0, 1, 2, -1, 3])
    assert wilcoxon(np.zeros(5), after) == pytest.approx(all_signs(after))


def test_wilcoxon_of_many_ties_by_hand():
    """12 of 16 ones rise: W = 8.5 * 12, mean 68, variance 16 * 8.5^2 / 4."""
    after = np.repeat([1.0, -1.0], [12, 4])
    z = (8.5 * 12 - 68) / np.sqrt(16 * 8.5**2 / 4)
    assert wilcoxon(np.zeros(16), after) == pytest.approx(2 * stats.norm.sf(z))


def test_permutation_by_hand():
    """Of the 8 sums of +-1, +-2, +-4 only 7 and -7 are as far out as 7; 4, 6 and their mirrors are as far as 5."""
    assert permutation(np.zeros(3), np.array([1.0, 2, 4])) == 2 / 8
    assert permutation(np.zeros(3), np.array([-1.0, 2, 4])) == 4 / 8
    assert permutation(np.zeros(6), np.arange(1.0, 7)) == 2 / 64
    many = np.random.default_rng(0).normal(0.1, size=40)
    assert permutation(np.zeros(40), many) == permutation(np.zeros(40), many)


def test_how_many_seeds():
    """Exact tests: 2 / 2^5 is above 0.05, 2 / 2^6 below, 2 / 2^7 below 0.025. Effects: tables of the t-test's power."""
    assert [fewest_pairs("wilcoxon", family) for family in (1, 2)] == [6, 7]
    assert fewest_pairs("t", 2) == 2
    assert told_apart(5) == pytest.approx(2.776445 / np.sqrt(5))
    assert told_apart(2) == pytest.approx(12.7062 / np.sqrt(2), rel=1e-5)
    assert seeds_that_would_do(0.5) == 34  # G*Power, paired t, two-sided, d = 0.5, power 0.8
    assert seeds_that_would_do(1.0) == 10
    assert seeds_that_would_do(-1.0) == 10
    assert seeds_that_would_do(0.01) is None


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.5, 0.9])).tolist() == [1, 1]
    assert holm(np.array([0.02])).tolist() == [0.02]
    assert holm(np.array([])).tolist() == []
    assert holm(np.array([np.nan, 0.02])) == pytest.approx([np.nan, 0.04], nan_ok=True), "what has no p still counts"


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


def test_stars_by_a_papers_own_rule():
    rule = ((0.01, "**"), (0.1, "*"))
    assert [stars(p, rule) for p in (0.005, 0.05, 0.2, float("nan"))] == ["**", "*", "", ""]
    assert star_rule(rule) == "* p < 0.1, ** p < 0.01"
    assert star_rule() == "* p < 0.05, ** p < 0.01, *** p < 0.001"
