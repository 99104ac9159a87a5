"""Small labelled pairs, for tests of attacks on edges."""

import numpy as np
import torch

from recpoison.data.interactions import Edges, Interactions

CPU = torch.device("cpu")
NO_TARGETS = np.zeros(0, dtype=np.int64)


def odd_blocks(n: int = 12) -> Interactions:
    """Two blocks of users who have all items of their own, but for user 0 and item 0; all other pairs are zeros."""
    users, items = np.divmod(np.arange(n * n), n)
    edge = users // (n // 2) == items // (n // 2)
    edge[0] = False
    return Interactions(users[edge], items[edge], np.ones(edge.sum()), n, n, zeros=Edges(users[~edge], items[~edge]))


def some_edges(n_users: int = 30, n_items: int = 20) -> Interactions:
    """A third of all pairs are edges, a third zeros, the rest unlabelled."""
    drawn = np.random.default_rng(3).integers(0, 3, (n_users, n_items))
    users, items = np.nonzero(drawn == 0)
    return Interactions(users, items, np.ones(len(users)), n_users, n_items, zeros=Edges(*np.nonzero(drawn == 1)))
