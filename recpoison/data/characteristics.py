"""The shape of a dataset in a few numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from recpoison.data.interactions import Interactions


@dataclass(frozen=True)
class Characteristics:
    """What influences how well attacks work (Anelli et al., MSAP, section on structural characteristics and figure 3).

    Density, size and shape are the paper's |F| / (|U| |I|), |U| |I| and |U| / |I|, with F the distinct pairs.

    Args:
        n_users: |U|.
        n_items: |I|.
        n_rows: Rows, duplicates counted.
        n_pairs: |F|, distinct pairs of user and item.
        density: Share of the cells that are filled.
        size: Cells of the matrix.
        log_size: log10 of ``size``, the axis that figures use.
        shape: Users per item.
        gini_users: How unevenly pairs are spread over users: 0 is evenly, near 1 all on one.
        gini_items: The same over items.
    """

    n_users: int
    n_items: int
    n_rows: int
    n_pairs: int
    density: float
    size: int
    log_size: float
    shape: float
    gini_users: float
    gini_items: float


def characterise(data: Interactions) -> Characteristics:
    """The characteristics of ``data``; users and items without a row count too."""
    size = data.n_users * data.n_items
    return Characteristics(
        n_users=data.n_users,
        n_items=data.n_items,
        n_rows=len(data),
        n_pairs=data.n_pairs,
        density=data.n_pairs / size,
        size=size,
        log_size=math.log10(size),
        shape=data.n_users / data.n_items,
        gini_users=gini(data.user_counts),
        gini_items=gini(data.item_counts),
    )


def gini(counts: np.ndarray) -> float:
    """Gini coefficient: the mean absolute difference of two units, over twice the mean; 0 where all counts are 0."""
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    if not ordered.sum():
        return 0.0
    n = len(ordered)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))
