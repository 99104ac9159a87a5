"""One epoch of squared error on observed ratings, on one core: exact mini-batches."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from recpoison.training.bpr_kernel import FAST, step_row


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def update_rows(table, sums, gradient, touched, learning_rate, eps, adagrad):
    """Step the touched rows, then forget them and clear their gradient."""
    for place in range(len(table)):
        if not touched[place]:
            continue
        touched[place] = False
        step_row(table[place], sums[place], gradient[place], learning_rate, eps, adagrad)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_gradients(
    user_table, item_table, user_gradient, item_gradient, users, items, ratings, start, stop, regularization,
    weights=None
):  # fmt: skip
    """Add the gradient of a batch's mean loss at the tables; return the sum of its squared errors.

    ``weights`` ``(n_users,)`` float32 multiply both, of a user's ratings.
    """
    size = user_table.shape[1]
    share = np.float32(1 / (stop - start))
    shrink = share * regularization
    squared = 0.0
    for place in range(start, stop):
        user, item = users[place], items[place]
        p, q = user_table[user], item_table[item]
        error = -ratings[place]
        for k in range(size):
            error += p[k] * q[k]
        slope, shrunk = np.float32(2) * share * error, shrink
        if weights is None:
            squared += np.float64(error) * error
        else:
            squared += weights[user] * (np.float64(error) * error)
            slope, shrunk = slope * weights[user], shrunk * weights[user]
        g, h = user_gradient[user], item_gradient[item]
        for k in range(size):
            g[k] += slope * q[k] + shrunk * p[k]
            h[k] += slope * p[k] + shrunk * q[k]
    return squared


@njit(cache=True, nogil=True)
def note_rows(rows, start, stop, touched):
    """Mark the rows that a batch speaks of."""
    for place in range(start, stop):
        touched[rows[place]] = True


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def rating_epoch(
    user_table, item_table, user_sums, item_sums, users, items, ratings, n_rows, batch_size, learning_rate, eps,
    regularization, adagrad, weights=None
):  # fmt: skip
    """Train on the first ``n_rows`` ratings, as they stand; return the sum of squared errors before the updates.

    Tables and sums (of squared gradients, Adagrad's accumulators) are float32 ``(rows, embedding_size)`` and change in
    place. The loss of a batch is a mean. The gradient of a row that occurs several times in a batch is summed before
    it is squared, as ``torch.optim.Adagrad`` does on a dense table. ``weights`` ``(n_users,)`` float32 multiply the
    loss of a user's ratings, regulariser and sum included.
    """
    user_gradient, item_gradient = np.zeros_like(user_table), np.zeros_like(item_table)
    user_touched = np.zeros(len(user_table), dtype=np.bool_)
    item_touched = np.zeros(len(item_table), dtype=np.bool_)
    squared = 0.0
    for start in range(0, n_rows, batch_size):
        stop = min(start + batch_size, n_rows)
        note_rows(users, start, stop, user_touched)
        note_rows(items, start, stop, item_touched)
        squared += add_gradients(
            user_table, item_table, user_gradient, item_gradient, users, items, ratings, start, stop,
            regularization, weights
        )  # fmt: skip
        update_rows(user_table, user_sums, user_gradient, user_touched, learning_rate, eps, adagrad)
        update_rows(item_table, item_sums, item_gradient, item_touched, learning_rate, eps, adagrad)
    return squared
