"""What a defense that takes users out of training caught: a detector is judged by whom it should have found."""

from __future__ import annotations

import numpy as np

from recpoison.evaluation.base import Measure
from recpoison.evaluation.detection import auroc
from recpoison.evaluation.subjects import LOST, PRECISION, RANKED, RECALL, REMOVED


def caught(removed: np.ndarray, n_real: int, n_fakes: int, suspicion: np.ndarray | None = None) -> list[Measure]:
    """Shares of the removed that are fake (precision), of the fake that are removed, of the real that are lost.

    With them stands the detector's AUROC, which does not depend on how many are removed: the share of pairs of a fake
    user and a real one in which the fake one is the more suspicious, ties counting half.

    Args:
        removed: Numbers of the users that the defense took out; real users come first, fake users after them.
        n_real: Number of real users.
        n_fakes: Number of fake users; without any there is nobody to find, and only the real users lost are told.
        suspicion: ``(n_real + n_fakes,)`` by which they were chosen, if known.
    """
    lost = int((removed < n_real).sum())
    found = len(removed) - lost
    shares = []
    if n_fakes and len(removed):
        shares.append((PRECISION, found / len(removed), len(removed)))
    if n_fakes:
        shares.append((RECALL, found / n_fakes, n_fakes))
    shares.append((LOST, lost / n_real, n_real))
    if n_fakes and suspicion is not None:
        shares.append((RANKED, float(auroc(suspicion[:n_real], suspicion[n_real:]).mean()), n_fakes))
    return [Measure(REMOVED, name, None, share, n) for name, share, n in shares]
