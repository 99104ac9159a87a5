"""From one table to training, validation and test rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recpoison.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to learn from and rows to be judged by; all tables share users and items.

    Args:
        train: What models are fitted on.
        test: What they are judged by.
        valid: What an epoch may be chosen by; None where no share was set aside.
        negatives: ``(len(test), n)`` given negatives of each test row, where the source ships them.
    """

    train: Interactions
    test: Interactions
    valid: Interactions | None = None
    negatives: np.ndarray | None = None
