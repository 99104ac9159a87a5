"""What a defense that takes users out of training caught: a detector is judged by whom it should have found."""

from __future__ import annotations

import numpy as np

from recpoison.evaluation.base import Measure
from recpoison.evaluation.subjects import LOST, PRECISION, RECALL, REMOVED


def caught(removed: np.ndarray, n_real: int, n_fakes: int) -> list[Measure]:
    """Shares of the removed that are fake (precision), of the fake that are removed, of the real that are lost.

    Args:
        removed: Numbers of the users that the defense took out; real users come first, fake users after them.
        n_real: Number of real users.
        n_fakes: Number of fake users; without any there is nobody to find, and only the real users lost are told.
    """
    lost = int((removed < n_real).sum())
    found = len(removed) - lost
    shares = []
    if n_fakes and len(removed):
        shares.append((PRECISION, found, len(removed)))
    if n_fakes:
        shares.append((RECALL, found, n_fakes))
    return [Measure(REMOVED, name, None, hits / n, n) for name, hits, n in [*shares, (LOST, lost, n_real)]]
