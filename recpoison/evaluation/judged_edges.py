"""What a model says of labelled pairs, and how right it is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from recpoison.data.arrays import save_arrays

LABELS = ("Accuracy", "AUROC", "LogLoss")


@dataclass(frozen=True, eq=False)
class JudgedEdges:
    """What a model says of every pair of real users, training pairs first.

    Args:
        users: ``(n,)``.
        items: ``(n,)``.
        logits: ``(n,)`` float32 log odds of an edge; the probability is 1 / (1 + exp(-logit)).
        labels: ``(n,)`` whether a pair is an edge, as before any attack.
        perturbed: ``(n,)`` whether an attack gave it the other label.
        unseen: ``(n,)`` whether it was held out.
    """

    users: np.ndarray
    items: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    perturbed: np.ndarray
    unseen: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def save(self, path: Path) -> None:
        """Write as npz, whole or not at all."""
        save_arrays(self.arrays(), path)

    @staticmethod
    def load(path: Path) -> JudgedEdges:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return JudgedEdges(**{field.name: file[field.name] for field in fields(JudgedEdges)})


def measure(label: str, labels: np.ndarray, logits: np.ndarray) -> float:
    """Accuracy, AUROC or LogLoss; not a number without pairs, or for AUROC without both signs.

    Args:
        label: Which.
        labels: ``(n,)`` whether a pair is an edge.
        logits: ``(n,)`` float64 log odds of it.
    """
    if label == "AUROC":
        both = labels.any() and not labels.all()
        return float(roc_auc_score(labels, logits)) if both else float("nan")
    if not len(labels):
        return float("nan")
    if label == "Accuracy":
        return float(((logits > 0) == labels).mean())
    return float(np.logaddexp(0, np.where(labels, -logits, logits)).mean())
