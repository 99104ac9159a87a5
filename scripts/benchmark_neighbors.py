"""Fitting ``item_knn``: only the similarities that are not zero, against whole rows of the catalogue block by block."""

from __future__ import annotations

import time

import numpy as np
import torch
from benchmark_rows import rows_of

from recpoison.data.interactions import Interactions
from recpoison.models.item_knn import BLOCK_BYTES, ItemKNN
from recpoison.progress import Progress
from recpoison.seeds import Seeds

USERS, ITEMS, ROWS, NEIGHBORS = 5_000, 20_000, 200_000, 20


def neighbors_benchmark(rounds: int) -> list[dict[str, object]]:
    """CPU seconds of a fit, ours and the plain way in turn; the ratio is to ours."""
    rng = np.random.default_rng(0)
    popularity = 1 / (np.arange(ITEMS) + 20) ** 0.7
    items = rng.choice(ITEMS, ROWS, p=popularity / popularity.sum())
    data = Interactions(rng.integers(0, USERS, ROWS), items, np.ones(ROWS), USERS, ITEMS)
    ways = {"recpoison": _ours, "plain numpy, dense rows": _plain}
    taken: dict[str, list[float]] = {label: [] for label in ways}
    sums: dict[str, float] = {}
    for _ in range(rounds):
        for label, way in ways.items():
            start = time.process_time()
            sums[label] = way(data)
            taken[label].append(time.process_time() - start)
    if not np.isclose(*sums.values(), rtol=1e-5):
        raise AssertionError(f"the two ways find other neighbours: {sums}")
    return rows_of("neighbors", "s a fit", taken)


def _ours(data: Interactions) -> float:
    params = ItemKNN(NEIGHBORS).fit(data, Seeds(0), torch.device("cpu"), Progress())
    return float(params["similarity"].double().sum())


def _plain(data: Interactions) -> float:
    """The summed similarities of each item's nearest, from all of its row, zeros too."""
    by_item, counts = data.seen.T.tocsr(), np.maximum(data.item_counts, 1).astype(np.float32)
    block, total = BLOCK_BYTES // (8 * ITEMS), 0.0
    for start in range(0, ITEMS, block):
        rows = np.arange(start, min(start + block, ITEMS))
        similarity = (by_item[rows] @ data.seen).toarray() / np.sqrt(np.outer(counts[rows], counts))
        similarity[np.arange(len(rows)), rows] = 0
        total += float(np.partition(similarity, ITEMS - NEIGHBORS, axis=1)[:, -NEIGHBORS:].sum(dtype=np.float64))
    return total
