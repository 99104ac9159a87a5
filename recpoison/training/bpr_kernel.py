"""One epoch of BPR on one core: exact mini-batches, and only the rows of a batch are touched."""
# ruff: noqa: D103
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recpoison.training.sampling import unseen_item

# No "nnan" or "ninf": a loss that is not a number must stay visible.
FAST = {"reassoc", "contract", "arcp", "afn", "nsz"}


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _slot(row, slots, touched, n_touched):
    """Place of ``row`` in the batch's compact gradient, and whether it is new there."""
    slot = slots[row]
    if slot >= 0:
        return slot, n_touched, False
    slots[row] = n_touched
    touched[n_touched] = row
    return n_touched, n_touched + 1, True


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _add(gradient, slot, new, scale, direction, regularization, row):
    """Add ``scale * direction + regularization * row`` to a row of the compact gradient."""
    if new:
        for k in range(len(row)):
            gradient[slot, k] = scale * direction[k] + regularization * row[k]
    else:
        for k in range(len(row)):
            gradient[slot, k] += scale * direction[k] + regularization * row[k]


@njit(cache=True, nogil=True, fastmath=FAST, inline="always")
def _update(table, sums, gradient, touched, n_touched, slots, learning_rate, eps, adagrad):
    """Step the touched rows and forget them."""
    size = table.shape[1]
    for slot in range(n_touched):
        row = touched[slot]
        slots[row] = -1
        if adagrad:
            for k in range(size):
                g = gradient[slot, k]
                total = sums[row, k] + g * g
                sums[row, k] = total
                table[row, k] -= learning_rate * g / (np.sqrt(total) + eps)
        else:
            for k in range(size):
                table[row, k] -= learning_rate * gradient[slot, k]


@njit(cache=True, nogil=True, fastmath=FAST)
def bpr_epoch(
    user_table, item_table, user_sums, item_sums, users, items, indptr, gaps, n_unseen, order, uniforms, n_rows, batch_size,
    learning_rate, eps, regularization, adagrad,
):  # fmt: skip
    """Train on the first ``n_rows`` of ``order``; return the sum of -ln sigmoid(s_ui - s_uj) before each update.

    Tables and sums (of squared gradients, Adagrad's accumulators) are float32 ``(rows, embedding_size)`` and change in place. The gradient of
    a row that occurs several times in a batch is summed before it is squared, as in ``torch.optim.Adagrad`` on a dense table.
    Gradients are kept compactly (at most 3 x batch_size rows, which fit the second-level cache), never as a table.
    """
    size = user_table.shape[1]
    user_slots = np.full(len(user_table), -1, dtype=np.int32)
    item_slots = np.full(len(item_table), -1, dtype=np.int32)
    user_touched = np.empty(batch_size, dtype=np.int32)
    item_touched = np.empty(2 * batch_size, dtype=np.int32)
    user_gradient = np.empty((batch_size, size), dtype=np.float32)
    item_gradient = np.empty((2 * batch_size, size), dtype=np.float32)
    difference = np.empty(size, dtype=np.float32)
    one, log_likelihood = np.float32(1), 0.0
    for start in range(0, n_rows, batch_size):
        n_users, n_items, likelihood = 0, 0, 1.0
        for place in range(start, min(start + batch_size, n_rows)):
            pair = order[place]
            user, item = users[pair], items[pair]
            other = unseen_item(user, uniforms[place], indptr, gaps, n_unseen)
            p, q, r = user_table[user], item_table[item], item_table[other]
            margin = np.float32(0)
            for k in range(size):
                difference[k] = q[k] - r[k]
                margin += p[k] * difference[k]
            pull = one / (one + np.float32(math.exp(margin)))
            likelihood *= max(np.float64(1 - pull), 1e-36)
            if (place & 7) == 7:  # one logarithm for eight pairs; 1e-36 to the eighth is still a float64
                log_likelihood += math.log(likelihood)
                likelihood = 1.0
            slot, n_users, new = _slot(user, user_slots, user_touched, n_users)
            _add(user_gradient, slot, new, -pull, difference, regularization, p)
            slot, n_items, new = _slot(item, item_slots, item_touched, n_items)
            _add(item_gradient, slot, new, -pull, p, regularization, q)
            slot, n_items, new = _slot(other, item_slots, item_touched, n_items)
            _add(item_gradient, slot, new, pull, p, regularization, r)
        log_likelihood += math.log(likelihood)
        _update(user_table, user_sums, user_gradient, user_touched, n_users, user_slots, learning_rate, eps, adagrad)
        _update(item_table, item_sums, item_gradient, item_touched, n_items, item_slots, learning_rate, eps, adagrad)
    return -log_likelihood
