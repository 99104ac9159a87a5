"""Drawing fillers, and the statistics that their ratings are drawn from."""

import numpy as np

from recpoison.data.interactions import Interactions

_CELLS = 1 << 22  # random keys held at once: 32 MiB


def draw_fillers(
    n_items: int, taken: np.ndarray, n_fakes: int, count: int, rng: np.random.Generator, cells: int = _CELLS
) -> np.ndarray:
    """Distinct fillers for each fake user, uniform over the items that are not ``taken``.

    The ``count`` smallest of one random key an item are a uniform draw without replacement. Fake users are drawn in
    blocks of at most
    ``cells`` keys (one user at least); the result does not depend on the block.

    Returns:
        ``(n_fakes, count)`` item ids, ascending in each row.
    """
    others = np.setdiff1d(np.arange(n_items), taken)
    if not 0 <= count <= len(others):
        raise ValueError(f"{count} fillers from {len(others)} items")
    if count == len(others):
        return np.tile(others, (n_fakes, 1))
    block = max(1, cells // len(others))
    drawn = np.empty((n_fakes, count), dtype=np.int64)
    for start in range(0, n_fakes, block):
        keys = rng.random((min(block, n_fakes - start), len(others)))
        drawn[start : start + block] = others[np.sort(np.argpartition(keys, count, axis=1)[:, :count], axis=1)]
    return drawn


def item_statistics(data: Interactions, std: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each item's ratings.

    An item that nobody rated takes the mean of all ratings; an item without a standard deviation takes that of all
    ratings.

    Args:
        data: Explicit ratings; every row counts.
        std: ``sample`` divides by n - 1 and needs two ratings; ``population`` divides by n and needs one.

    Returns:
        ``(n_items,)`` means and ``(n_items,)`` standard deviations.
    """
    counts = np.bincount(data.items, minlength=data.n_items)
    sums = np.bincount(data.items, data.values, data.n_items)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), data.values.mean())
    squares = np.bincount(data.items, (data.values - means[data.items]) ** 2, data.n_items)
    freedom = counts - 1 if std == "sample" else counts
    stds = np.where(freedom > 0, np.sqrt(squares / np.maximum(freedom, 1)), data.values.std())
    return means, stds


def most_popular(data: Interactions, excluded: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` items that most users have, most popular first, then by id, without ``excluded``."""
    order = np.argsort(-data.item_counts, kind="stable")
    return order[~np.isin(order, excluded)][:count]
