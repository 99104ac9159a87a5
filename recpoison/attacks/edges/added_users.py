"""Users that an attack on edges adds: empty ones, or such as are like real ones (sections 3.11 and 3.12 of the report).

"Meta-gradient based adversarial attacks on recommendation systems", the meta-gradient report.
"""

from __future__ import annotations

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin

from recpoison.data.interactions import Edges, Interactions
from recpoison.errors import ConfigError


def sampled_users(data: Interactions, count: int, share: float, rng: np.random.Generator) -> Edges:
    """Rows of ``count`` added users: each has a share of the items of a real user of its own, at least one.

    Args:
        data: Real users.
        count: How many; as many of those who have a row are drawn.
        share: In (0, 1], rounded to the nearest number of items.
        rng: Draws users, then items.

    Raises:
        ConfigError: If too few users have a row.
    """
    models = rng.choice(_with_rows(data, count), count, replace=False)
    return _rows(data, [_some(data.seen[user].indices, share, rng) for user in models])


def central_users(data: Interactions, embeddings: np.ndarray, count: int, seed: int) -> Edges:
    """Rows of ``count`` added users, one a centre of K-means: each has all items of the real user nearest to it.

    The report gives such users an embedding and says nothing of edges, without which they would be empty; these are
    ours. Of equally near users it is the first.

    Args:
        data: Real users.
        embeddings: ``(n_users, size)`` trained ones.
        count: Centres, of those who have a row.
        seed: Of K-means.

    Raises:
        ConfigError: If too few users have a row.
    """
    users = _with_rows(data, count)
    points = np.ascontiguousarray(embeddings[users], dtype=np.float64)
    means = KMeans(count, n_init=1, random_state=seed % 2**32).fit(points).cluster_centers_
    nearest = users[pairwise_distances_argmin(means, points)]
    return _rows(data, [data.seen[user].indices for user in nearest])


def _with_rows(data: Interactions, count: int) -> np.ndarray:
    users = np.flatnonzero(data.user_counts)
    if count > len(users):
        raise ConfigError(
            f"attack.similar_users is {count:,}, but {len(users):,} users have edges to be similar to: lower it"
        )
    return users


def _some(items: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    return np.sort(rng.choice(items, max(1, round(share * len(items))), replace=False))


def _rows(data: Interactions, items: list[np.ndarray]) -> Edges:
    numbers = data.n_users + np.arange(len(items))
    return Edges(np.repeat(numbers, [len(own) for own in items]), np.concatenate(items).astype(np.int64))
