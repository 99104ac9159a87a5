"""What becomes of candidates of the same score, where metrics are counted.

- ``half``: they stand in random order, and a metric is its expected value over all orders, in closed form: the usual
  area under the ROC curve, where a tie counts half. No chance is involved;
- ``against``: they stand before the item, as in APR's code;
- ``for``: they stand after it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

TIES = {
    "half": "half: expected value over a random order of candidates with the same score",
    "against": "against the item",
    "for": "for the item",
}
"""The rules, and what a protocol calls them."""

_WITHOUT_CUTOFF = {"AUC", "MeanRank", "RankShift"}
_BY_PLACE = {"NDCG", "MRR", "MAP", "EFD"}
_BY_HITS = {"HR", "Precision", "Recall"}


def expected_worth(
    places: np.ndarray, widths: np.ndarray, worth: Callable[[np.ndarray], np.ndarray], k: int
) -> np.ndarray:
    """``(n,)`` what each item's place is worth, 0 from place k on: the mean over the places that it may have.

    Args:
        places: ``(n,)`` the first place that an item may have, from 0.
        widths: ``(n,)`` how many places from there it may have, all equally likely.
        worth: Maps places to what a hit there is worth.
        k: Length of the list.
    """
    values = np.where(places < k, worth(places), 0.0)
    wide = widths > 1
    if wide.any():
        sums = np.concatenate([[0.0], np.cumsum(worth(np.arange(k)))])
        first, end = np.minimum(places[wide], k), np.minimum(places[wide] + widths[wide], k)
        values[wide] = (sums[end] - sums[first]) / widths[wide]
    return values


def one(places: np.ndarray) -> np.ndarray:
    """Worth of a hit that counts the same at every place."""
    return np.ones(len(places))


def chance_of_none(widths: np.ndarray, sharing: np.ndarray, first: np.ndarray) -> np.ndarray:
    """``(n,)`` chance that none of ``sharing`` items in random order among ``widths`` is in the ``first`` places.

    C(width - first, sharing) / C(width, sharing), as a product over the sharing items.
    """
    none = np.ones(len(widths))
    for i in range(int(sharing.max(initial=0))):
        mine = i < sharing
        none[mine] *= np.maximum(widths - first - i, 0)[mine] / (widths - i)[mine]
    return none


def expected_reciprocal(places: np.ndarray, widths: np.ndarray, sharing: np.ndarray, k: int) -> np.ndarray:
    """``(n,)`` expected 1 / (place from 1) of the first of ``sharing`` items, 0 where that is not in the first k.

    Sum over i of P(the first is i places below the top of the tie) / (place + i + 1); the chance that it is below i is
    the product over l < i of (width - sharing - l) / (width - l).
    """
    expected, below = np.zeros(len(places)), np.ones(len(places))
    for i in range(int(min(k, widths.max(initial=0)))):
        further = below * np.maximum(widths - sharing - i, 0) / np.maximum(widths - i, 1)
        expected += np.where(places + i < k, (below - further) / (places + i + 1), 0.0)
        below = further
    return expected


def share_decided(above: np.ndarray, ties: np.ndarray, metrics: Collection[str], cutoffs: Collection[int]) -> float:
    """Share of ranked items whose part in one of the ``metrics`` differs between ``for`` and ``against``.

    Without a cutoff each tie makes a difference; a metric by place sees those of the first k, and a metric by hits
    those that lie across the end of a list.

    Args:
        above: ``(n,)`` candidates above each item.
        ties: ``(n,)`` other candidates with its score.
        metrics: Labels of metrics on these items.
        cutoffs: List lengths.
    """
    differs = np.zeros(len(above), dtype=bool)
    if _WITHOUT_CUTOFF & set(metrics):
        differs |= ties > 0
    if _BY_PLACE & set(metrics):
        differs |= (ties > 0) & (above < max(cutoffs))
    if _BY_HITS & set(metrics):
        for k in cutoffs:
            differs |= (above < k) & (above + ties >= k)
    return float(differs.mean()) if len(differs) else 0.0
