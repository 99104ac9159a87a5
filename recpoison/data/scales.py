"""Rating scales: in words, and what a column of ratings shows of its own."""

from __future__ import annotations

import numpy as np

from recpoison.data.interactions import Scale

_STEPS = (1, 0.5, 0.25, 0.2, 0.1, 0.05, 0.01, 0.001)
_MARKS = (0, -1, 99)  # what known files write for "not rated"


def in_words(scale: Scale | None) -> str:
    """Such as ``explicit: ratings 1 to 5 in steps of 1``."""
    if scale is None:
        return "implicit"
    return f"explicit: ratings {scale.low:g} to {scale.high:g} in steps of {scale.step:g}"


def is_whole(number: float) -> bool:
    """Whether ``number`` is whole, but for rounding."""
    return abs(number - round(number)) < 1e-6


def proposal(values: np.ndarray) -> str:
    """What range and step a column has, and the settings that say so."""
    found = np.unique(values)
    low, high = float(found[0]), float(found[-1])
    step = next((step for step in _STEPS if all(is_whole(rest / step) for rest in found - low)), None)
    steps = f"in steps of {step:g}" if step else "in no common step"
    said = f"it holds {low:g} to {high:g} {steps}, so give dataset.low={low:g} dataset.high={high:g} dataset.step="
    said += f"{step:g}" if step else "..."
    if marks := [mark for mark in _MARKS if mark in (low, high)]:
        said += f" (and dataset.missing=[{marks[0]}] with a narrower scale if {marks[0]} means 'not rated')"
    return said
