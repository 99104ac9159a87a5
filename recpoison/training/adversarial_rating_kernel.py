"""One epoch of adversarial squared error on observed ratings, on one core: both gradients of a batch by hand."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recpoison.training.bpr_kernel import FAST
from recpoison.training.rating_kernel import add_gradients, note_rows, update_rows

ROW_L2, MATRIX_L2, SIGN, VALUE = range(4)  # the places of ``recpoison.algebra.perturbation.DIRECTIONS``


@njit(cache=True, nogil=True)
def _square(row):
    """Squared length; squares of float32 do not underflow in float64."""
    total = 0.0
    for number in row:
        total += np.float64(number) * np.float64(number)
    return total


@njit(cache=True, nogil=True)
def _common_length(user_gradient, item_gradient, user_touched, item_touched):
    """L2 norm of both gradients together."""
    total = 0.0
    for place in range(len(user_gradient)):
        if user_touched[place]:
            total += _square(user_gradient[place])
    for place in range(len(item_gradient)):
        if item_touched[place]:
            total += _square(item_gradient[place])
    return math.sqrt(total)


@njit(cache=True, nogil=True)
def _climb(shift, gradient, touched, direction, common, step_size, radius, in_box, in_ball):
    """Move the shift of every touched row by a step up its gradient, then back into the box or ball of ``radius``."""
    for place in range(len(shift)):
        if not touched[place]:
            continue
        d, g = shift[place], gradient[place]
        length = math.sqrt(_square(g)) if direction == ROW_L2 else common if direction == MATRIX_L2 else 1.0
        scale = step_size / length if length > 0 else 0.0
        for k in range(len(d)):
            slope = np.sign(np.float64(g[k])) if direction == SIGN else np.float64(g[k])
            d[k] = np.float32(d[k] + scale * slope)
            if in_box:
                d[k] = min(max(d[k], np.float32(-radius)), np.float32(radius))
        length = math.sqrt(_square(d)) if in_ball else 0.0
        if length > radius:
            for k in range(len(d)):
                d[k] = np.float32(d[k] * radius / length)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _place(point, table, shift, touched, adverse):
    """Put ``point`` at the shifted rows, and clear their gradient there."""
    for place in range(len(table)):
        if touched[place]:
            for k in range(table.shape[1]):
                point[place, k] = table[place, k] + shift[place, k]
                adverse[place, k] = 0


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _add_rows(gradient, adverse, touched, weight):
    """The second term of the loss, on the touched rows."""
    for place in range(len(gradient)):
        if touched[place]:
            for k in range(gradient.shape[1]):
                gradient[place, k] += weight * adverse[place, k]


@njit(cache=True, nogil=True)
def _forget(shift, touched):
    """No row is shifted yet."""
    for place in range(len(shift)):
        if touched[place]:
            shift[place] = 0


@njit(cache=True, nogil=True)
def _buffers(table):
    """Gradient, shift, shifted rows and the gradient there; and which rows a batch speaks of."""
    zeros = np.zeros_like(table)
    touched = np.zeros(len(table), dtype=np.bool_)
    return zeros, np.zeros_like(table), np.zeros_like(table), np.zeros_like(table), touched


@njit(cache=True, nogil=True)
def adversarial_rating_epoch(
    user_table, item_table, user_sums, item_sums, users, items, ratings, n_rows, batch_size, learning_rate, eps,
    regularization, adagrad, weight, direction, n_steps, step_size, radius, in_box, in_ball
):  # fmt: skip
    """Train on the first ``n_rows`` ratings, as they stand; return the sum of squared errors before, unperturbed.

    As ``rating_epoch``, and the step is along the gradient at the tables plus ``weight`` times the gradient at the
    shifted tables. The shift starts at 0, climbs ``n_steps`` (1 or more) along the batch's gradient, and is a constant
    of the second gradient.
    """
    user_gradient, user_shift, user_point, user_adverse, user_touched = _buffers(user_table)
    item_gradient, item_shift, item_point, item_adverse, item_touched = _buffers(item_table)
    squared, common = 0.0, 0.0
    for start in range(0, n_rows, batch_size):
        stop = min(start + batch_size, n_rows)
        note_rows(users, start, stop, user_touched)
        note_rows(items, start, stop, item_touched)
        squared += add_gradients(
            user_table, item_table, user_gradient, item_gradient, users, items, ratings, start, stop,
            regularization
        )  # fmt: skip
        _forget(user_shift, user_touched)
        _forget(item_shift, item_touched)
        slopes = user_gradient, item_gradient
        for _ in range(n_steps):
            if direction == MATRIX_L2:
                common = _common_length(slopes[0], slopes[1], user_touched, item_touched)
            _climb(user_shift, slopes[0], user_touched, direction, common, step_size, radius, in_box, in_ball)
            _climb(item_shift, slopes[1], item_touched, direction, common, step_size, radius, in_box, in_ball)
            _place(user_point, user_table, user_shift, user_touched, user_adverse)
            _place(item_point, item_table, item_shift, item_touched, item_adverse)
            add_gradients(
                user_point, item_point, user_adverse, item_adverse, users, items, ratings, start, stop,
                regularization
            )  # fmt: skip
            slopes = user_adverse, item_adverse
        # the two terms of equation 2 of APT, and of the APR report's eq. 11
        _add_rows(user_gradient, user_adverse, user_touched, weight)
        _add_rows(item_gradient, item_adverse, item_touched, weight)
        update_rows(user_table, user_sums, user_gradient, user_touched, learning_rate, eps, adagrad)
        update_rows(item_table, item_sums, item_gradient, item_touched, learning_rate, eps, adagrad)
    return squared
