"""Contenders in turn, and their times as rows of the benchmark's table."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int, per: int = 1) -> dict[str, list[float]]:
    """CPU seconds of each way, over ``per``, round by round, so that a busy machine slows all of them."""
    taken: dict[str, list[float]] = {label: [] for label in ways}
    for _ in range(rounds):
        for label, way in ways.items():
            start = time.process_time()
            way()
            taken[label].append((time.process_time() - start) / per)
    return taken


def rows_of(name: str, unit: str, taken: Mapping[str, Sequence[float]]) -> list[dict[str, object]]:
    """A row for each contender: median, lowest, highest, and the ratio of its median to the first one's."""
    ours = float(np.median(next(iter(taken.values()))))
    return [
        {
            "benchmark": name,
            "contender": label,
            "value": float(np.median(seconds)),
            "low": min(seconds),
            "high": max(seconds),
            "unit": unit,
            "ratio": float(np.median(seconds)) / ours,
        }
        for label, seconds in taken.items()
    ]
