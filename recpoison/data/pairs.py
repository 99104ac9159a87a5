"""Pairs of user and item as one number each, put in order: ``np.unique`` takes up to fifty times as long."""

from __future__ import annotations

import numpy as np


def in_order(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the numbers stand that follow each other by size, equal ones as they came; and these numbers.

    Args:
        keys: ``(n,)`` whole numbers that int64 holds.
    """
    keys = keys.astype(np.int64, copy=False)
    bits = max(len(keys) - 1, 0).bit_length()
    if len(keys) and keys.min() >= 0 and int(keys.max()) < 1 << (63 - bits):
        both = (keys << bits) | np.arange(len(keys))  # number and place as one, which sorts faster than places alone
        both.sort()
        return both & ((1 << bits) - 1), both >> bits
    order = np.argsort(keys, kind="stable")
    return order, keys[order]


def begins(ordered: np.ndarray) -> np.ndarray:
    """``(n,)`` whether a number is the first of its size among numbers in order."""
    first = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def distinct(keys: np.ndarray) -> np.ndarray:
    """The distinct numbers among ``keys``, ascending."""
    ordered = np.sort(keys, axis=None)
    return ordered[begins(ordered)]


def present(ids: np.ndarray, n: int) -> np.ndarray:
    """``(n,)`` whether each number below ``n`` is among ``ids``."""
    here = np.zeros(n, dtype=bool)
    here[ids] = True
    return here
