"""What lists look like beyond their hits: novelty, diversity and coverage (section 4.3 of the MSAP paper)."""

from __future__ import annotations

import numpy as np

from recpoison.evaluation.metrics import HeldOut, discount


def novelty(item_counts: np.ndarray) -> np.ndarray:
    """Bits of surprise of each item, -log2 of its share of all training pairs.

    An item nobody has counts as if one user had it, as its surprise would be infinite.
    """
    counts = np.maximum(item_counts, 1)
    return -np.log2(counts / max(item_counts.sum(), 1))


def expected_free_discovery(held: HeldOut, item_counts: np.ndarray, k: int) -> np.ndarray:
    """EFD (Vargas and Castells 2011): novelty of the hits in the first k, discounted by place; ``(n_users,)``.

    EFD = sum over hits of discount(place) novelty(item) / sum over the k places of discount(place). MSAP prints only
    the name; this form fits its table 1, where EFD x 4.54 / nDCG (one held-out item, k = 10) is 9.9 bits on ML-1M, the
    novelty of an item with a thousandth of all pairs.
    """
    gain = held.worth(discount, k) * novelty(item_counts)[held.items]
    return held.total(gain) / discount(np.arange(k)).sum()


def recommended(lists: np.ndarray, n_items: int, k: int) -> np.ndarray:
    """``(n_items,)`` how often each item is in the first k of a list."""
    top = lists[:, :k]
    return np.bincount(top[top >= 0], minlength=n_items)


def shannon_entropy(lists: np.ndarray, n_items: int, k: int) -> float:
    """Entropy: bits of the distribution of recommendations over items; log2(n_items) if all are shown equally often."""
    counts = recommended(lists, n_items, k)
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def item_coverage(lists: np.ndarray, n_items: int, k: int) -> float:
    """Coverage: how many items are in the first k of at least one list (Ge et al. 2010); a count, as MSAP prints it."""
    return float((recommended(lists, n_items, k) > 0).sum())
