"""One epoch of BPR on one core: exact mini-batches, and only the rows of a batch are touched."""
# mypy: disable-error-code="no-untyped-def, call-arg, import-untyped"

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# No "nnan" or "ninf": a loss that is not a number must stay visible.
FAST = {"reassoc", "contract", "arcp", "afn", "nsz"}
LINE = 16  # float32 numbers in a cache line
AHEAD = 4  # pairs or rows between asking for memory and using it
FAR_AHEAD = 16  # the same of triples, which are looked at more quickly


@intrinsic
def _prefetch_line(context, table, row, column):
    """Ask for the cache line of ``table[row, column]``: LLVM's ``prefetch``, which numba does not offer."""

    def generate(context, builder, signature, arguments):
        table_type, index_type = signature.args[0], ir.IntType(64)
        array = context.make_array(table_type)(context, builder, arguments[0])
        row, column = (builder.sext(x, index_type) if x.type.width < 64 else x for x in arguments[1:])
        width = cgutils.unpack_tuple(builder, array.shape, 2)[1]
        byte = ir.IntType(8).as_pointer()
        address = builder.bitcast(builder.gep(array.data, [builder.add(builder.mul(row, width), column)]), byte)
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(table, row, column), generate


@njit(cache=True, nogil=True, inline="always")
def prefetch(table, row):
    """Ask for a row; a random row comes from the third-level cache, and waiting for it was a third of the epoch."""
    for column in range(0, table.shape[1], LINE):
        _prefetch_line(table, row, column)


@njit(cache=True, nogil=True, inline="always")
def slot_of(row, slots, touched, n_touched):
    """Place of ``row`` in the batch's compact gradient, and the number of rows there."""
    slot = slots[row]
    if slot < 0:
        slot = n_touched
        slots[row] = slot
        touched[slot] = row
        n_touched += 1
    return slot, n_touched


@njit(cache=True, nogil=True, inline="always")
def fold_likelihood(margin, odds, log_likelihood, likelihood):
    """Take in ln sigmoid(margin): as a factor of ``likelihood``, with one logarithm for hundreds of pairs."""
    if abs(margin) < 200:
        likelihood *= odds * (1 / (1 + odds))  # the quotient is the pair's pull, which is there already
    elif margin < 0:  # the factor is exp(margin), or 1
        log_likelihood += float(margin)
    if likelihood < 1e-200:
        log_likelihood += math.log(likelihood)
        likelihood = 1.0
    return log_likelihood, likelihood


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", inline="always")
def step_row(row, total, g, learning_rate, eps, adagrad):
    """Step one row against its gradient, and clear that."""
    size = len(row)
    if adagrad:
        for k in range(size):
            square = total[k] + g[k] * g[k]
            total[k] = square
            row[k] -= learning_rate * g[k] / (np.sqrt(square) + eps)
    else:
        for k in range(size):
            row[k] -= learning_rate * g[k]
    for k in range(size):
        g[k] = 0


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def update_rows(table, sums, gradient, touched, n_touched, slots, learning_rate, eps, adagrad):
    """Step the touched rows, then forget them and clear their gradient."""
    for slot in range(n_touched):
        ahead = touched[min(slot + AHEAD, n_touched - 1)]
        prefetch(sums, ahead)
        prefetch(table, ahead)
        slots[touched[slot]] = -1
        row = touched[slot]
        step_row(table[row], sums[row], gradient[slot], learning_rate, eps, adagrad)


@njit(cache=True, nogil=True, inline="always")
def take_batch(triples, order, start, stop, batch, user_counts, item_counts):
    """Copy a batch's triples to ``batch``, and count how often each row is in it."""
    for place in range(start, stop):
        _prefetch_line(triples, order[min(place + FAR_AHEAD, len(order) - 1)], 0)
        user, item, other = triples[order[place]]
        batch[place - start, 0], batch[place - start, 1], batch[place - start, 2] = user, item, other
        user_counts[user] += 1
        item_counts[item] += 1
        item_counts[other] += 1


@njit(cache=True, nogil=True, inline="always")
def forget_counts(counts, touched, n_touched):
    """The rows that are in a batch several times are in the next one no time yet."""
    for slot in range(n_touched):
        counts[touched[slot]] = 0


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def bpr_epoch(
    user_table, item_table, user_sums, item_sums, triples, order, n_rows, batch_size, learning_rate, eps,
    regularization, adagrad, weights=None
):  # fmt: skip
    """Train on the first ``n_rows`` of ``order``; return the sum of -ln sigmoid(s_ui - s_uj) before the updates.

    Tables and sums (of squared gradients, Adagrad's accumulators) are float32 ``(rows, embedding_size)`` and change in
    place. The gradient of a row that occurs several times in a batch is summed before it is squared, as
    ``torch.optim.Adagrad`` does on a dense table: such gradients are kept compactly (at most 3 x ``batch_size`` rows,
    which fit the second-level cache), never as a table. A row that occurs once, as most do, is needed by nobody else
    in the batch: it steps at once, while it is at hand.

    ``triples`` is ``(n, 3)`` int32: user, positive, negative. ``weights`` ``(n_users,)`` float32 multiply the loss of a
    user's triples, regulariser and sum included; without them the code for them is not there.
    """
    size = user_table.shape[1]
    user_counts, item_counts = np.zeros(len(user_table), dtype=np.int32), np.zeros(len(item_table), dtype=np.int32)
    user_slots = np.full(len(user_table), -1, dtype=np.int32)
    item_slots = np.full(len(item_table), -1, dtype=np.int32)
    batch = np.empty((batch_size, 3), dtype=np.int32)
    user_touched = np.empty(batch_size, dtype=np.int32)
    item_touched = np.empty(2 * batch_size, dtype=np.int32)
    user_gradient = np.zeros((batch_size, size), dtype=np.float32)
    item_gradient = np.zeros((2 * batch_size, size), dtype=np.float32)
    once = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    log_likelihood, likelihood = 0.0, 1.0
    for start in range(0, n_rows, batch_size):
        n_users, n_items, n_pairs = 0, 0, min(batch_size, n_rows - start)
        take_batch(triples, order, start, start + n_pairs, batch, user_counts, item_counts)
        for place in range(n_pairs):
            ahead = batch[min(place + AHEAD, n_pairs - 1)]
            prefetch(user_table, ahead[0])
            prefetch(item_table, ahead[1])
            prefetch(item_table, ahead[2])
            prefetch(user_sums, ahead[0])
            prefetch(item_sums, ahead[1])
            prefetch(item_sums, ahead[2])
            user, item, other = batch[place]
            p, q, r = user_table[user], item_table[item], item_table[other]
            margin = np.float32(0)
            for k in range(size):
                margin += p[k] * (q[k] - r[k])
            odds = math.exp(np.float64(margin))
            pull, shrink = np.float32(1 / (1 + odds)), regularization
            if weights is None:
                log_likelihood, likelihood = fold_likelihood(margin, odds, log_likelihood, likelihood)
            else:
                far = float(margin)
                log_likelihood -= weights[user] * (max(-far, 0.0) + math.log1p(math.exp(-abs(far))))
                pull, shrink = pull * weights[user], shrink * weights[user]
            g_user, g_item, g_other = once  # as every gradient, 0 but while it is in use
            if user_counts[user] > 1:
                slot, n_users = slot_of(user, user_slots, user_touched, n_users)
                g_user = user_gradient[slot]
            if item_counts[item] > 1:
                slot, n_items = slot_of(item, item_slots, item_touched, n_items)
                g_item = item_gradient[slot]
            if item_counts[other] > 1:
                slot, n_items = slot_of(other, item_slots, item_touched, n_items)
                g_other = item_gradient[slot]
            for k in range(size):
                g_user[k] += shrink * p[k] - pull * (q[k] - r[k])
            for k in range(size):
                g_item[k] += shrink * q[k] - pull * p[k]
            for k in range(size):
                g_other[k] += shrink * r[k] + pull * p[k]
            if user_counts[user] == 1:
                user_counts[user] = 0
                step_row(p, user_sums[user], g_user, learning_rate, eps, adagrad)
            if item_counts[item] == 1:
                item_counts[item] = 0
                step_row(q, item_sums[item], g_item, learning_rate, eps, adagrad)
            if item_counts[other] == 1:
                item_counts[other] = 0
                step_row(r, item_sums[other], g_other, learning_rate, eps, adagrad)
        forget_counts(user_counts, user_touched, n_users)
        forget_counts(item_counts, item_touched, n_items)
        update_rows(
            user_table, user_sums, user_gradient, user_touched, n_users, user_slots, learning_rate, eps, adagrad
        )
        update_rows(
            item_table, item_sums, item_gradient, item_touched, n_items, item_slots, learning_rate, eps, adagrad
        )
    return -log_likelihood - math.log(likelihood)
