"""Whether two series of numbers, paired by seed, differ: one test, one interval, a correction for many tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

LEVEL = 0.05
STARS = ((0.001, "***"), (0.01, "**"), (LEVEL, "*"))
_EXACT_UP_TO = 13  # pairs; 2^13 assignments of signs are counted in full
_DRAWN = 9999  # assignments drawn beyond that
_ROUNDING = 1e-9  # a spread this small beside the numbers is that of floating point


def paired_t(before: np.ndarray, after: np.ndarray) -> tuple[float, float, float]:
    """Student's paired t-test, and the 95% interval of the mean difference from the same t.

    Args:
        before: ``(n,)`` numbers of n seeds.
        after: ``(n,)`` numbers of the same seeds.

    Returns:
        The two-sided p-value, and the interval's two ends: it excludes 0 exactly where p is below 0.05. All nan where t
        does not exist: fewer than two pairs, or the same difference in every pair, which has no spread to compare with.
    """
    differences = _differences(before, after)
    n = len(differences)
    if n < 2 or is_constant(before, after):
        return math.nan, math.nan, math.nan
    mean, error = float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(n))
    from scipy import special  # scipy.stats takes a second to import, and most runs have one seed

    reach = error * -float(special.stdtrit(n - 1, LEVEL / 2))
    return float(2 * special.stdtr(n - 1, -abs(mean) / error)), mean - reach, mean + reach


def wilcoxon(before: np.ndarray, after: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test; pairs without a difference are dropped; nan where none is left.

    Exact for up to 13 pairs, and for up to 50 whose differences have different sizes; else the normal approximation
    with its correction for ties.
    """
    from scipy import stats

    differences = _nonzero(before, after)
    if not len(differences):
        return math.nan
    tied = len(np.unique(np.abs(differences))) < len(differences)
    if len(differences) <= _EXACT_UP_TO:
        method: object = stats.PermutationMethod(n_resamples=2**_EXACT_UP_TO) if tied else "exact"
    else:
        method = "exact" if len(differences) <= 50 and not tied else "approx"
    return float(stats.wilcoxon(differences, method=method).pvalue)


def permutation(before: np.ndarray, after: np.ndarray) -> float:
    """Two-sided p-value of the mean difference when each pair's two numbers may change places; nan if none differ.

    Exact for up to 13 pairs (all 2^n ways are counted); beyond, 9,999 ways are drawn, always the same.
    """
    from scipy import stats

    differences = _nonzero(before, after)
    if len(differences) < 2:
        return 1.0 if len(differences) else math.nan  # of one pair both ways are as far out

    def mean(values: np.ndarray, axis: int = -1) -> np.ndarray:
        return values.mean(axis=axis)

    found = stats.permutation_test(
        (differences,),
        mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**_EXACT_UP_TO if len(differences) <= _EXACT_UP_TO else _DRAWN,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


TESTS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "t": lambda before, after: paired_t(before, after)[0],
    "wilcoxon": wilcoxon,
    "permutation": permutation,
}
"""By the word of the setting ``paired_test`` (``subjects.PAIRED_TESTS``): each gives the p-value of pairs."""


def is_constant(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether all pairs have the same difference, but for the rounding of floating point."""
    differences = _differences(before, after)
    size = max(float(np.abs(before).max(initial=0)), float(np.abs(after).max(initial=0)))
    return bool(np.ptp(differences) <= _ROUNDING * size) if len(differences) else True


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values of a family corrected for their number (Holm 1979), in the order given.

    The i-th smallest of m is multiplied by m - i + 1, never smaller than a corrected smaller one, never above 1. A
    p-value that does not exist stays nan and counts in m: the size of a family is known before the numbers are.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")  # nan last
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(
        np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1, dtype=float)), 1.0
    )
    return corrected


def stars(p: float, limits: Sequence[tuple[float, str]] = STARS) -> str:
    """The mark of the smallest limit above ``p``: ``***`` below 0.001, ``**`` below 0.01, ``*`` below 0.05.

    Args:
        p: A p-value; nan has no mark.
        limits: Another rule, such as a paper's: limits from small to large, with their marks.
    """
    return next((mark for limit, mark in limits if p < limit), "")


def star_rule(limits: Sequence[tuple[float, str]] = STARS) -> str:
    """What the marks mean, for a note under a table: ``* p < 0.05, ** p < 0.01, *** p < 0.001``."""
    return ", ".join(f"{mark} p < {limit:g}" for limit, mark in reversed(limits))


def fewest_pairs(test: str, family: int = 1) -> int:
    """The smallest number of seeds with which ``test`` can come below 0.05 at all, in a family of that many tests.

    The t-test needs two for a spread. The smallest exact p-value of the others is 2 / 2^n.
    """
    return 2 if test == "t" else math.ceil(math.log2(2 * family / LEVEL) + 1e-12)


def told_apart(n: int, family: int = 1) -> float:
    """How large a mean difference of ``n`` seeds must be, in its own standard deviations, for the t-test to tell.

    The strictest step of Holm's correction in a family of that many tests.
    """
    from scipy import special

    return -float(special.stdtrit(n - 1, LEVEL / family / 2)) / math.sqrt(n)


def seeds_that_would_do(effect: float, family: int = 1, power: float = 0.8, most: int = 1000) -> int | None:
    """With how many seeds the t-test tells a difference from none in ``power`` of all experiments.

    Args:
        effect: The mean difference in its own standard deviations, taken for true.
        family: Tests that Holm's correction is for; its strictest step counts.
        power: Share of experiments.
        most: None is the answer where more are needed.
    """
    from scipy import stats

    counts = np.arange(2, most + 1)
    limits = stats.t.isf(LEVEL / family / 2, counts - 1)
    reached = stats.nct.sf(limits, counts - 1, abs(effect) * np.sqrt(counts)) >= power
    return int(counts[reached.argmax()]) if reached.any() else None


def _nonzero(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    differences = _differences(before, after)
    size = max(float(np.abs(before).max(initial=0)), float(np.abs(after).max(initial=0)))
    return differences[np.abs(differences) > _ROUNDING * size]


def _differences(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    before, after = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if before.shape != after.shape:
        raise ValueError(f"{len(before)} numbers cannot be paired with {len(after)}")
    return after - before
