"""One epoch of adversarial BPR on one core where each triple has a shift of its own, of one step."""
# mypy: disable-error-code="no-untyped-def, call-arg, import-untyped"

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recpoison.training.apr_kernel import TINY
from recpoison.training.bpr_kernel import AHEAD, FAST, fold_likelihood, prefetch, slot_of, update_rows
from recpoison.training.magnitudes import RULES, SMALL

BY_LOSS, BY_MEAN_LOSS, BY_SQUARE, BY_LENGTH = range(len(RULES))


@njit(cache=True, nogil=True, inline="always")
def _ask_ahead(user_table, item_table, triples, order, place, stop):
    """Ask for the rows of the triple that comes a little later in the batch."""
    ahead = order[min(place + AHEAD, stop - 1)]
    prefetch(user_table, triples[ahead, 0])
    prefetch(item_table, triples[ahead, 1])
    prefetch(item_table, triples[ahead, 2])


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _margin(p, q, r):
    margin = np.float32(0)
    for k in range(len(p)):
        margin += p[k] * (q[k] - r[k])
    return margin


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _weigh(user_table, item_table, triples, order, start, stop, rule, ceiling, slots, touched, own, occurrences):
    """Give each user of the batch a slot and a factor in ``own``; return the number of users."""
    n_users, total = 0, 0.0
    for place in range(start, stop):
        _ask_ahead(user_table, item_table, triples, order, place, stop)
        user, item, other = triples[order[place]]
        before = n_users
        slot, n_users = slot_of(user, slots, touched, n_users)
        if slot == before:
            own[slot], occurrences[slot] = 0.0, 0.0
        p = user_table[user]
        occurrences[slot] += 1.0
        if rule >= BY_SQUARE:
            square = np.float32(0)
            for k in range(len(p)):
                square += p[k] * p[k]
            own[slot] = float(square) if rule == BY_SQUARE else math.sqrt(float(square))
            total += own[slot]
        else:
            margin = float(_margin(p, item_table[item], item_table[other]))
            own[slot] += max(-margin, 0.0) + math.log1p(math.exp(-abs(margin)))
    if rule < BY_SQUARE:
        for slot in range(n_users):
            if rule == BY_MEAN_LOSS:
                own[slot] /= occurrences[slot]
            total += own[slot]
    mean = total / (n_users if rule < BY_SQUARE else stop - start)
    for slot in range(n_users):
        ratio = own[slot] / (mean + SMALL) if rule >= BY_SQUARE else mean / (own[slot] + SMALL)
        own[slot] = ceiling / (1 + math.exp(1 - ratio))
    return n_users


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _scale(slope, length):
    """What makes ``slope`` as long as ``length``; 0 where it is 0."""
    square = np.float32(0)
    for k in range(len(slope)):
        square += slope[k] * slope[k]
    whole = float(square)
    if square < TINY:
        whole = 0.0
        for k in range(len(slope)):
            whole += np.float64(slope[k]) * np.float64(slope[k])
    return np.float32(length / math.sqrt(whole)) if whole > 0 else np.float32(0)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _slopes(p, q, r, pull, regularization, slopes):
    """The gradient of a triple's loss in its three rows."""
    for k in range(len(p)):
        slopes[0, k] = regularization * p[k] - pull * (q[k] - r[k])
        slopes[1, k] = regularization * q[k] - pull * p[k]
        slopes[2, k] = regularization * r[k] + pull * p[k]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def instance_epoch(
    user_table, item_table, user_sums, item_sums, triples, order, n_rows, batch_size, learning_rate, eps,
    regularization, adagrad, weight, length, rule, ceiling
):  # fmt: skip
    """Train on the first ``n_rows`` of ``order``; return the sum of -ln sigmoid(s_ui - s_uj), unperturbed.

    As ``bpr_epoch``, and the step is along the gradient at the tables plus ``weight`` times the gradient where each row
    of a triple is shifted by ``length`` along its own gradient of the triple's loss, times the user's factor: by
    ``rule``, a place in ``RULES``, and ``ceiling``; 1 where ``rule`` is below 0.
    """
    size = user_table.shape[1]
    user_slots = np.full(len(user_table), -1, dtype=np.int32)
    item_slots = np.full(len(item_table), -1, dtype=np.int32)
    user_touched = np.empty(batch_size, dtype=np.int32)
    item_touched = np.empty(2 * batch_size, dtype=np.int32)
    user_gradient = np.zeros((batch_size, size), dtype=np.float32)
    item_gradient = np.zeros((2 * batch_size, size), dtype=np.float32)
    slopes, adverse = np.empty((3, size), dtype=np.float32), np.empty((3, size), dtype=np.float32)
    point = np.empty((3, size), dtype=np.float32)
    factors, occurrences = np.ones(batch_size), np.empty(batch_size)
    log_likelihood, likelihood = 0.0, 1.0
    for start in range(0, n_rows, batch_size):
        stop = min(start + batch_size, n_rows)
        n_users, n_items = 0, 0
        if rule >= 0:
            n_users = _weigh(
                user_table, item_table, triples, order, start, stop, rule, ceiling, user_slots, user_touched, factors,
                occurrences
            )  # fmt: skip
        for place in range(start, stop):
            _ask_ahead(user_table, item_table, triples, order, place, stop)
            user, item, other = triples[order[place]]
            user_slot, n_users = slot_of(user, user_slots, user_touched, n_users)
            item_slot, n_items = slot_of(item, item_slots, item_touched, n_items)
            other_slot, n_items = slot_of(other, item_slots, item_touched, n_items)
            p, q, r = user_table[user], item_table[item], item_table[other]
            margin = _margin(p, q, r)
            odds = math.exp(np.float64(margin))
            log_likelihood, likelihood = fold_likelihood(margin, odds, log_likelihood, likelihood)
            _slopes(p, q, r, np.float32(1 / (1 + odds)), regularization, slopes)
            far = length * factors[user_slot] if rule >= 0 else length
            at_p, at_q, at_r = _scale(slopes[0], far), _scale(slopes[1], far), _scale(slopes[2], far)
            for k in range(size):
                point[0, k] = p[k] + at_p * slopes[0, k]
                point[1, k] = q[k] + at_q * slopes[1, k]
                point[2, k] = r[k] + at_r * slopes[2, k]
            pull = np.float32(1 / (1 + math.exp(np.float64(_margin(point[0], point[1], point[2])))))
            _slopes(point[0], point[1], point[2], pull, regularization, adverse)
            g, h, f = user_gradient[user_slot], item_gradient[item_slot], item_gradient[other_slot]
            for k in range(size):
                g[k] += slopes[0, k] + weight * adverse[0, k]
                h[k] += slopes[1, k] + weight * adverse[1, k]
                f[k] += slopes[2, k] + weight * adverse[2, k]
        update_rows(
            user_table, user_sums, user_gradient, user_touched, n_users, user_slots, learning_rate, eps, adagrad
        )
        update_rows(
            item_table, item_sums, item_gradient, item_touched, n_items, item_slots, learning_rate, eps, adagrad
        )
    return -log_likelihood - math.log(likelihood)
