"""What a defense thought of users, held against who was fake: whom it took out, or how much it let each one count."""

from __future__ import annotations

import numpy as np

from recpoison.evaluation.base import Measure
from recpoison.evaluation.detection import auroc
from recpoison.evaluation.subjects import (
    FAKE_WEIGHT,
    LOST,
    PRECISION,
    RANKED,
    REAL_WEIGHT,
    RECALL,
    REMOVED,
    WEIGHED,
)
from recpoison.models.base import Fitted


def of_defense(fitted: Fitted, n_fakes: int) -> list[Measure]:
    """All that is told of the users of a fit; nothing where its defense neither removed nor weighed them.

    Args:
        fitted: Real users come first in its data, fake users after them.
        n_fakes: Number of fake users.
    """
    told: list[Measure] = []
    if fitted.removed is None and fitted.weights is None:
        return told  # a graph has no users
    n_real = fitted.data.n_users - n_fakes
    if fitted.removed is not None:
        told += caught(fitted.removed, n_real, n_fakes, fitted.suspicion)
    if fitted.weights is not None:
        told += weighed(fitted.weights, n_real, n_fakes)
    return told


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
        shares.append((RANKED, _ranked(suspicion, n_real), n_fakes))
    return [Measure(REMOVED, name, None, share, n) for name, share, n in shares]


def weighed(weights: np.ndarray, n_real: int, n_fakes: int) -> list[Measure]:
    """Mean weight of the fake and of the real users, and AUROC: a fake user should weigh less than a real one.

    Args:
        weights: ``(n_real + n_fakes,)`` by which each user's loss was multiplied.
        n_real: Number of real users.
        n_fakes: Number of fake users; without any only the real users' weight is told.
    """
    real, fake = weights[:n_real], weights[n_real:]
    told = [(REAL_WEIGHT, float(real.mean()), n_real)]
    if n_fakes:
        told = [(FAKE_WEIGHT, float(fake.mean()), n_fakes), *told, (RANKED, _ranked(-weights, n_real), n_fakes)]
    return [Measure(WEIGHED, name, None, value, n) for name, value, n in told]


def _ranked(suspicion: np.ndarray, n_real: int) -> float:
    return float(auroc(suspicion[:n_real], suspicion[n_real:]).mean())
