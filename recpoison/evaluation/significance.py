"""Whether two series of paired numbers differ: tests, an interval, a correction for many tests."""

from __future__ import annotations

import numpy as np
from scipy import stats

STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))


def paired_t_test(before: np.ndarray, after: np.ndarray) -> float:
    """Two-sided p-value of Student's paired t-test.

    Args:
        before: ``(n,)`` numbers of seeds or users.
        after: ``(n,)`` numbers of the same seeds or users.

    Returns:
        The p-value. 1 for series that are equal or hold fewer than two pairs. Where all differences are one number
        other than 0, t is infinite, which two seeds reach by chance on a grid of hits: there the sign test's 2 / 2^n.
    """
    differences = _differences(before, after)
    n = len(differences)
    if n < 2 or not differences.any():
        return 1.0
    mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(n)
    if error <= 1e-9 * abs(mean):
        return float(2.0 ** (1 - n))
    return float(2 * stats.t.sf(abs(mean / error), n - 1))


def wilcoxon_test(before: np.ndarray, after: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test; pairs without a difference are dropped.

    Exact for up to 50 pairs whose differences have different sizes, else the normal approximation with its correction
    for ties. 1 for series that are equal. With n pairs no exact p-value is below 2 / 2^n: five seeds never show
    p < 0.05.
    """
    differences = _differences(before, after)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    sizes = np.abs(differences)
    exact = len(sizes) <= 50 and len(np.unique(sizes)) == len(sizes)
    return float(stats.wilcoxon(differences, method="exact" if exact else "approx").pvalue)


def bootstrap_interval(
    values: np.ndarray, rng: np.random.Generator, level: float = 0.95, resamples: int = 2000
) -> tuple[float, float]:
    """Percentile interval of the mean of ``values`` (Efron 1979), such as paired differences.

    Args:
        values: ``(n,)``, n at least 1.
        rng: Where resamples are drawn from.
        level: Share of resampled means inside.
        resamples: How many resamples of size n are drawn.
    """
    values = np.asarray(values, dtype=float)
    means = np.array([values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def holm(p_values: np.ndarray) -> np.ndarray:
    """P-values of a table corrected for their number (Holm 1979), in the order given.

    The i-th smallest of m is multiplied by m - i + 1, never smaller than a corrected smaller one, never above 1.
    """
    p_values = np.asarray(p_values, dtype=float)
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(
        np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1, dtype=float)), 1.0
    )
    return corrected


def stars(p: float) -> str:
    """``***`` below 0.001, ``**`` below 0.01, ``*`` below 0.05."""
    return next((mark for limit, mark in STARS if p < limit), "")


def _differences(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    before, after = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
    if before.shape != after.shape:
        raise ValueError(f"{len(before)} numbers cannot be paired with {len(after)}")
    return after - before
