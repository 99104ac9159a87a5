"""One epoch of collaborative metric learning on one core: only the nearest negative of a pair has a gradient."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from recpoison.training.bpr_kernel import AHEAD, FAST, prefetch, slot_of, update_rows


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def shorten_rows(table, touched, n_touched, max_norm):
    """Scale the touched rows that are longer than ``max_norm`` to that length."""
    for slot in range(n_touched):
        row = table[touched[slot]]
        square = np.float32(0)
        for k in range(len(row)):
            square += row[k] * row[k]
        if square > max_norm * max_norm:
            factor = max_norm / np.sqrt(square)
            for k in range(len(row)):
                row[k] *= factor


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def squared_distance(p, q):
    """|p - q|²."""
    square = np.float32(0)
    for k in range(len(p)):
        step = p[k] - q[k]
        square += step * step
    return square


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def cml_epoch(
    user_table, item_table, user_sums, item_sums, pairs, negatives, order, n_rows, batch_size, learning_rate, eps,
    regularization, margin, warp, max_norm, adagrad
):  # fmt: skip
    """Train on the first ``n_rows`` of ``order``; return the loss before the updates, summed.

    Tables and sums are float32 ``(rows, embedding_size)`` and change in place, as in ``bpr_epoch``. ``pairs`` is
    ``(n, 2)`` int32 and ``negatives`` ``(n, n_negatives)``. ``max_norm`` 0 leaves lengths alone.
    """
    size, n_negatives, n_catalogue = user_table.shape[1], negatives.shape[1], len(item_table)
    user_slots = np.full(len(user_table), -1, dtype=np.int32)
    item_slots = np.full(n_catalogue, -1, dtype=np.int32)
    user_touched = np.empty(batch_size, dtype=np.int32)
    item_touched = np.empty(2 * batch_size, dtype=np.int32)
    user_gradient = np.zeros((batch_size, size), dtype=np.float32)
    item_gradient = np.zeros((2 * batch_size, size), dtype=np.float32)
    total = 0.0
    for start in range(0, n_rows, batch_size):
        n_users, n_items = 0, 0
        for place in range(start, min(start + batch_size, n_rows)):
            pair = order[place]
            user, item = pairs[pair]
            p, q = user_table[user], item_table[item]
            near = squared_distance(p, q)
            other, far, n_closer = negatives[pair, 0], np.float32(np.inf), 0
            for number in range(n_negatives):
                prefetch(item_table, negatives[pair, min(number + AHEAD, n_negatives - 1)])
                distance = squared_distance(p, item_table[negatives[pair, number]])
                n_closer += margin + near - distance > 0
                if distance < far:
                    other, far = negatives[pair, number], distance
            hinge = margin + near - far
            if hinge <= 0 and regularization == 0:
                continue
            weight = np.float32(0)
            if not hinge <= 0:  # what is not a number goes on, and is seen
                weight = np.float32(np.log1p(n_catalogue * n_closer // n_negatives)) if warp else np.float32(1)
                total += np.float64(weight * hinge)
            r, pull = item_table[other], 2 * weight
            if regularization > 0:
                squares = np.float32(0)
                for k in range(size):
                    squares += p[k] * p[k] + q[k] * q[k] + r[k] * r[k]
                total += np.float64(regularization / 2 * squares)
            slot, n_users = slot_of(user, user_slots, user_touched, n_users)
            g = user_gradient[slot]
            for k in range(size):
                g[k] += regularization * p[k] + pull * (r[k] - q[k])
            slot, n_items = slot_of(item, item_slots, item_touched, n_items)
            g = item_gradient[slot]
            for k in range(size):
                g[k] += regularization * q[k] + pull * (q[k] - p[k])
            slot, n_items = slot_of(other, item_slots, item_touched, n_items)
            g = item_gradient[slot]
            for k in range(size):
                g[k] += regularization * r[k] + pull * (p[k] - r[k])
        update_rows(
            user_table, user_sums, user_gradient, user_touched, n_users, user_slots, learning_rate, eps, adagrad
        )
        update_rows(
            item_table, item_sums, item_gradient, item_touched, n_items, item_slots, learning_rate, eps, adagrad
        )
        if max_norm > 0:
            shorten_rows(user_table, user_touched, n_users, max_norm)
            shorten_rows(item_table, item_touched, n_items, max_norm)
    return total
