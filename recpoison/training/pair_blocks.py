"""Every training pair once with one negative, block by block, and the gradient of BPR over them on one core."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numba import njit

from recpoison.data.interactions import Interactions
from recpoison.seeds import Seeds
from recpoison.training.bpr_kernel import FAST

BLOCK = 1 << 16  # pairs; the stream of a block depends on its number, so this is no setting
Triples = tuple[np.ndarray, np.ndarray, np.ndarray]


class PairBlocks:
    """Distinct training pairs in the order of their users, each with a uniform unseen item of its user.

    Nothing is kept but the data: a block's negatives come from the stream (draw, block) and are drawn again each time.
    The distribution is that of ``training.sampling.Pairs``. Pairs of a user who has seen every item are left out.

    Args:
        data: Training data.
        seeds: Streams ``draw/0``, ``draw/1``, ...
    """

    def __init__(self, data: Interactions, seeds: Seeds) -> None:
        self.seen, self.seeds = data.seen, seeds

    def __len__(self) -> int:
        return math.ceil(self.seen.nnz / BLOCK)

    def draw(self, draw: int) -> Iterator[Triples]:
        """Users, positive and negative items of each block, at most ``BLOCK`` int32 numbers each."""
        for number in range(len(self)):
            start = number * BLOCK
            uniforms = self.seeds.numpy("draw", draw, number).random(min(BLOCK, self.seen.nnz - start))
            yield _triples(self.seen.indptr, self.seen.indices, self.seen.shape[1], start, uniforms)


@njit(cache=True, nogil=True)
def _triples(indptr, indices, n_items, start, uniforms):
    """The triples of the pairs from ``start``; a negative is found by binary search among its user's gaps."""
    users = np.empty(len(uniforms), dtype=np.int32)
    items, negatives = users.copy(), users.copy()
    count = 0
    user = np.searchsorted(indptr, start, side="right") - 1
    for place in range(len(uniforms)):
        pair = start + place
        while pair >= indptr[user + 1]:
            user += 1
        first, length = indptr[user], indptr[user + 1] - indptr[user]
        if length == n_items:
            continue
        rank = np.int64(uniforms[place] * (n_items - length))
        low = first
        while length > 0:  # unseen items before the j-th seen one: its id - j
            half = (length + 1) >> 1
            middle = low + half - 1
            low += half * (indices[middle] - (middle - first) <= rank)
            length -= half
        users[count], items[count], negatives[count] = user, indices[pair], rank + low - first
        count += 1
    return users[:count], items[:count], negatives[:count]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_bpr_gradient(
    user_table, item_table, users, positives, negatives, regularization, user_gradient, item_gradient
):  # fmt: skip
    """Add the gradient of the sum of -ln sigmoid(s_ui - s_uj) + regularization/2 (squared lengths) over the triples.

    Tables and gradients are ``(rows, size)`` of one float type; returns the sum. ``users`` may repeat: neighbours that
    are equal share a row of the gradient in the first-level cache.
    """
    size = user_table.shape[1]
    total, squares = 0.0, 0.0
    for place in range(len(users)):
        p, q, r = user_table[users[place]], item_table[positives[place]], item_table[negatives[place]]
        g_p, g_q, g_r = user_gradient[users[place]], item_gradient[positives[place]], item_gradient[negatives[place]]
        margin = user_table.dtype.type(0)
        for k in range(size):
            margin += p[k] * (q[k] - r[k])
        exact = np.float64(margin)
        small = math.exp(-abs(exact))
        total += math.log1p(small) + max(-exact, 0.0)
        pull = user_table.dtype.type((small if exact > 0 else 1.0) / (1.0 + small))
        for k in range(size):
            g_p[k] -= pull * (q[k] - r[k])
            g_q[k] -= pull * p[k]
            g_r[k] += pull * p[k]
        if regularization:
            for k in range(size):
                squares += p[k] * p[k] + q[k] * q[k] + r[k] * r[k]
                g_p[k] += regularization * p[k]
                g_q[k] += regularization * q[k]
                g_r[k] += regularization * r[k]
    return total + regularization / 2 * squares
