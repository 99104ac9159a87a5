"""One epoch of adversarial BPR on one core: every batch is gathered, and both gradients are taken in the cache."""
# mypy: disable-error-code="no-untyped-def, call-arg, import-untyped"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recpoison.training.bpr_kernel import AHEAD, FAST, fold_likelihood, prefetch, slot_of, update_rows

TINY = np.float32(1e-20)  # squares below it lose digits in float32


@njit(cache=True, nogil=True)
def _buffers(n_rows, size):
    shape = (n_rows, size)
    zeros = np.zeros(shape, dtype=np.float32)
    return zeros, np.zeros_like(zeros), np.zeros_like(zeros), np.zeros_like(zeros)


@njit(cache=True, nogil=True)
def _collect(table, triples, order, start, stop, column, slots, touched, n_touched, places):
    """Give each row of ``column`` a place in the batch; return the number of places."""
    for place in range(start, stop):
        row = triples[order[place], column]
        slot, n_touched = slot_of(row, slots, touched, n_touched)
        places[place - start, column] = slot
        if slot == n_touched - 1:
            prefetch(table, row)
    return n_touched


@njit(cache=True, nogil=True)
def _note_first(places, n_pairs, user_first, item_first):
    """Where each row occurs first, among the users and then the items, positive and negative in turn."""
    for place in range(n_pairs - 1, -1, -1):
        user_first[places[place, 0]] = place
        item_first[places[place, 2]] = n_pairs + 2 * place + 1
        item_first[places[place, 1]] = n_pairs + 2 * place


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _add_gradients(users, items, user_gradient, item_gradient, places, n_pairs, regularization):
    """Add the gradient of the batch's loss at ``users`` and ``items``; return the sum of -ln sigmoid(s_ui - s_uj)."""
    size = users.shape[1]
    log_likelihood, likelihood = 0.0, 1.0
    for place in range(n_pairs):
        user, item, other = places[place]
        p, q, r = users[user], items[item], items[other]
        margin = np.float32(0)
        for k in range(size):
            margin += p[k] * (q[k] - r[k])
        odds = math.exp(np.float64(margin))
        pull = np.float32(1 / (1 + odds))
        log_likelihood, likelihood = fold_likelihood(margin, odds, log_likelihood, likelihood)
        g = user_gradient[user]
        for k in range(size):
            g[k] += regularization * p[k] - pull * (q[k] - r[k])
        g = item_gradient[item]
        for k in range(size):
            g[k] += regularization * q[k] - pull * p[k]
        g = item_gradient[other]
        for k in range(size):
            g[k] += regularization * r[k] + pull * p[k]
    return -log_likelihood - math.log(likelihood)


@njit(cache=True, nogil=True)
def _begin(shift, first, n_rows, starts, offset):
    """Every row's shift before the first step: its own part of ``starts``, or none."""
    for slot in range(n_rows):
        if len(starts):
            shift[slot] = starts[offset + first[slot]]
        else:
            shift[slot] = 0


@njit(cache=True, nogil=True)
def _enlarge(row):
    """Give a row whose squares are lost in float32 a largest number of 1, so that it keeps its direction."""
    largest = 0.0
    for k in range(len(row)):
        largest = max(largest, abs(np.float64(row[k])))
    square = 0.0
    for k in range(len(row)):
        number = np.float64(row[k]) / largest if largest > 0 else 0.0
        row[k] = np.float32(number)
        square += number * number
    return math.sqrt(square)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _climb(shift, gradient, n_rows, step_size, radius, in_box, in_ball):
    """Move every row's shift ``step_size`` along its gradient, then back into the box or the ball of ``radius``."""
    size = shift.shape[1]
    small = np.empty(size, dtype=np.float32)
    for slot in range(n_rows):
        d, g = shift[slot], gradient[slot]
        square = np.float32(0)
        for k in range(size):
            square += g[k] * g[k]
        length = np.sqrt(np.float64(square))
        if square < TINY:
            small[:] = g
            g = small
            length = _enlarge(g)
        scale = np.float32(step_size / length) if length > 0 else np.float32(0)
        square = np.float32(0)
        for k in range(size):
            d[k] += scale * g[k]
            if in_box:
                d[k] = min(max(d[k], -radius), radius)
            square += d[k] * d[k]
        if in_ball and square > radius * radius:
            scale = radius / np.sqrt(square)
            for k in range(size):
                d[k] *= scale


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _place(point, table, shift, touched, n_rows, adverse):
    """Put ``point`` at the shifted rows, and clear their gradient there."""
    size = table.shape[1]
    for slot in range(n_rows):
        prefetch(table, touched[min(slot + AHEAD, n_rows - 1)])
        row, d, x, g = table[touched[slot]], shift[slot], point[slot], adverse[slot]
        for k in range(size):
            x[k] = row[k] + d[k]
            g[k] = 0


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _add_rows(gradient, adverse, n_rows, weight):
    size = gradient.shape[1]
    for slot in range(n_rows):
        g, a = gradient[slot], adverse[slot]
        for k in range(size):
            g[k] += weight * a[k]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def apr_batches(
    user_table, item_table, user_sums, item_sums, triples, order, first, last, batch_size, learning_rate, eps,
    regularization, adagrad, weight, radius, starts, n_steps, step_size, in_box, in_ball
):  # fmt: skip
    """Train on places ``first`` to ``last`` of ``order``; return the sum of -ln sigmoid(s_ui - s_uj), unperturbed.

    As ``bpr_epoch``, and the step is along the gradient at the tables plus ``weight`` times the gradient at the shifted
    tables. The shift climbs ``n_steps`` along the batch's gradient, each row by ``step_size``, and is a constant of the
    second gradient. Where ``n_steps`` is 0 it stays where it starts.

    ``starts`` is float32 ``(3 * (last - first), embedding_size)``: for each batch a row for every user, then one for
    every positive and negative in turn; a row of a table takes that of its first occurrence. Empty: no shift.
    """
    size = user_table.shape[1]
    places = np.empty((batch_size, 3), dtype=np.int32)
    user_slots = np.full(len(user_table), -1, dtype=np.int32)
    item_slots = np.full(len(item_table), -1, dtype=np.int32)
    user_rows, user_first = np.empty(batch_size, dtype=np.int32), np.empty(batch_size, dtype=np.int32)
    item_rows, item_first = np.empty(2 * batch_size, dtype=np.int32), np.empty(2 * batch_size, dtype=np.int32)
    user_point, user_shift, user_gradient, user_adverse = _buffers(batch_size, size)
    item_point, item_shift, item_gradient, item_adverse = _buffers(2 * batch_size, size)
    total = 0.0
    for start in range(first, last, batch_size):
        stop = min(start + batch_size, last)
        n_pairs = stop - start
        n_users = _collect(user_table, triples, order, start, stop, 0, user_slots, user_rows, 0, places)
        n_items = _collect(item_table, triples, order, start, stop, 1, item_slots, item_rows, 0, places)
        n_items = _collect(item_table, triples, order, start, stop, 2, item_slots, item_rows, n_items, places)
        _note_first(places, n_pairs, user_first, item_first)
        user_shift[:n_users] = 0
        item_shift[:n_items] = 0
        _place(user_point, user_table, user_shift, user_rows, n_users, user_adverse)
        _place(item_point, item_table, item_shift, item_rows, n_items, item_adverse)
        total += _add_gradients(user_point, item_point, user_gradient, item_gradient, places, n_pairs, regularization)
        _begin(user_shift, user_first, n_users, starts, 3 * (start - first))
        _begin(item_shift, item_first, n_items, starts, 3 * (start - first))
        slopes = user_gradient, item_gradient  # where nothing is shifted yet, the first step has its gradient
        for number in range(n_steps + 1):
            if number > 0 or len(starts) > 0:
                _place(user_point, user_table, user_shift, user_rows, n_users, user_adverse)
                _place(item_point, item_table, item_shift, item_rows, n_items, item_adverse)
                _add_gradients(user_point, item_point, user_adverse, item_adverse, places, n_pairs, regularization)
                slopes = user_adverse, item_adverse
            if number < n_steps:
                _climb(user_shift, slopes[0], n_users, step_size, radius, in_box, in_ball)
                _climb(item_shift, slopes[1], n_items, step_size, radius, in_box, in_ball)
        # the two terms of the APR report's eq. 11
        _add_rows(user_gradient, user_adverse, n_users, weight)
        _add_rows(item_gradient, item_adverse, n_items, weight)
        update_rows(user_table, user_sums, user_gradient, user_rows, n_users, user_slots, learning_rate, eps, adagrad)
        update_rows(item_table, item_sums, item_gradient, item_rows, n_items, item_slots, learning_rate, eps, adagrad)
    return total
