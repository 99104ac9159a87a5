"""One batch of BPR, of its adversary or of squared error on a table in a device's memory, by Triton.

A batch is two launches: the gradient in each occurrence of a row, then one program for each row of the batch, which
adds its occurrences in a fixed order and steps. Nothing is added atomically, so equal input gives equal bytes. The
adversary puts two launches between: the rows' shifts, and the gradient at the shifted rows.

Which batch it is the kernels read from memory, so that one CUDA graph serves all batches: ``batch[0]`` is the next one,
which the first launch copies to ``batch[1]`` for the others, and the last launch moves on. A launch past the last
batch does nothing.
"""
# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _places(batch, FIRST: tl.constexpr, batch_size, n_pairs, TILE: tl.constexpr):
    """Places of this program in its batch, the pairs there, and which of them exist."""
    if FIRST:
        number = tl.load(batch).to(tl.int64)
        if tl.program_id(0) == 0:
            tl.store(batch + 1, number.to(tl.int32))
    else:
        number = tl.load(batch + 1).to(tl.int64)
    places = tl.program_id(0) * TILE + tl.arange(0, TILE)
    pairs = number * batch_size + places
    return places, pairs, (places < batch_size) & (pairs < n_pairs)


@triton.jit
def _cells(rows, columns, size):
    return rows.to(tl.int64)[:, None] * size + columns[None, :]


@triton.jit
def bpr_slopes(
    table, shift, slopes, rows, losses, batch, n_pairs, batch_size, size, regularization, weight,
    SHIFTED: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Gradient of -ln sigmoid(p·q - p·r), with the regulariser, in p, q and r of each triple.

    ``rows`` is ``(3, n_pairs)``; ``slopes`` ``(3 * batch_size, size)`` is written, or where ``SHIFTED`` grows by
    ``weight`` times the gradient at ``table + shift``. ``losses`` has a sum for each program.
    """
    places, pairs, here = _places(batch, not SHIFTED, batch_size, n_pairs, TILE)
    columns = tl.arange(0, WIDTH)
    inside = here[:, None] & (columns < size)[None, :]
    users = _cells(tl.load(rows + pairs, mask=here, other=0), columns, size)
    items = _cells(tl.load(rows + n_pairs + pairs, mask=here, other=0), columns, size)
    others = _cells(tl.load(rows + 2 * n_pairs + pairs, mask=here, other=0), columns, size)
    p = tl.load(table + users, mask=inside, other=0.0)
    q = tl.load(table + items, mask=inside, other=0.0)
    r = tl.load(table + others, mask=inside, other=0.0)
    if SHIFTED:
        p += tl.load(shift + users, mask=inside, other=0.0)
        q += tl.load(shift + items, mask=inside, other=0.0)
        r += tl.load(shift + others, mask=inside, other=0.0)
    margin = tl.sum(p * (q - r), 1)
    pull = (1 / (1 + tl.exp(margin)))[:, None]
    at, of_items, of_others = (
        _cells(places, columns, size),
        _cells(places + batch_size, columns, size),
        _cells(places + 2 * batch_size, columns, size),
    )
    of_p = regularization * p - pull * (q - r)
    of_q = regularization * q - pull * p
    of_r = regularization * r + pull * p
    if SHIFTED:
        of_p = tl.load(slopes + at, mask=inside, other=0.0) + weight * of_p
        of_q = tl.load(slopes + of_items, mask=inside, other=0.0) + weight * of_q
        of_r = tl.load(slopes + of_others, mask=inside, other=0.0) + weight * of_r
    else:
        loss = tl.maximum(-margin, 0.0) + tl.log(1 + tl.exp(-tl.abs(margin)))
        total = tl.sum(tl.where(here, loss, 0.0), 0)
        tl.store(losses + tl.program_id(0), tl.load(losses + tl.program_id(0)) + total.to(tl.float64))
    tl.store(slopes + at, of_p, mask=inside)
    tl.store(slopes + of_items, of_q, mask=inside)
    tl.store(slopes + of_others, of_r, mask=inside)


@triton.jit
def rating_slopes(
    table, ratings, slopes, rows, losses, batch, n_pairs, batch_size, size, regularization,
    TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Gradient of the batch's mean of (p·q - rating)² + regularization/2 (|p|² + |q|²) in p and q of each pair.

    ``rows`` is ``(2, n_pairs)`` and ``slopes`` ``(2 * batch_size, size)``; ``losses`` has a sum of squared errors for
    each program.
    """
    places, pairs, here = _places(batch, True, batch_size, n_pairs, TILE)
    columns = tl.arange(0, WIDTH)
    inside = here[:, None] & (columns < size)[None, :]
    users = _cells(tl.load(rows + pairs, mask=here, other=0), columns, size)
    items = _cells(tl.load(rows + n_pairs + pairs, mask=here, other=0), columns, size)
    p = tl.load(table + users, mask=inside, other=0.0)
    q = tl.load(table + items, mask=inside, other=0.0)
    error = tl.sum(p * q, 1) - tl.load(ratings + pairs, mask=here, other=0.0)
    square = tl.where(here, error.to(tl.float64) * error, 0.0)
    tl.store(losses + tl.program_id(0), tl.load(losses + tl.program_id(0)) + tl.sum(square, 0))
    share = 1 / tl.minimum(n_pairs - (pairs - places), batch_size).to(tl.float32)
    pull = (2 * share * error)[:, None]
    shrink = (share * regularization)[:, None]
    at = _cells(places, columns, size)
    tl.store(slopes + at, pull * q + shrink * p, mask=inside)
    tl.store(slopes + _cells(places + batch_size, columns, size), pull * p + shrink * q, mask=inside)


@triton.jit
def _sum_of_row(slopes, rows, slots, here, end, size, TILE: tl.constexpr, WIDTH: tl.constexpr):
    """The sum of ``slopes`` over all places from ``here`` that have its row; places are sorted by row."""
    columns = tl.arange(0, WIDTH)
    row = tl.load(rows + here)
    total = tl.zeros([WIDTH], dtype=slopes.dtype.element_ty)
    at = here
    while at < end:
        places = at + tl.arange(0, TILE)
        same = (places < end) & (tl.load(rows + places, mask=places < end, other=-1) == row)
        cells = _cells(tl.load(slots + places, mask=same, other=0), columns, size)
        total += tl.sum(tl.load(slopes + cells, mask=same[:, None] & (columns < size)[None, :], other=0.0), 0)
        at = tl.where(tl.sum(same.to(tl.int32), 0) == TILE, at + TILE, end)
    return total


@triton.jit
def _segment(rows, batch, n_places, per_batch):
    """Where this program's row begins in its batch, where the batch ends, and whether a row begins there."""
    first = tl.load(batch + 1).to(tl.int64) * per_batch
    here = first + tl.program_id(0)
    end = tl.minimum(first + per_batch, n_places)
    before = tl.load(rows + here - 1, mask=(here > first) & (here < end), other=-1)
    return here, end, (here < end) & (tl.load(rows + here, mask=here < end, other=-1) != before)


@triton.jit
def shift_rows(
    shift, slopes, rows, slots, batch, n_places, per_batch, size, reach, TILE: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    """``shift`` of each row of the batch: ``reach`` long, up the sum of its ``slopes``; 0 where that is 0."""
    here, end, begins = _segment(rows, batch, n_places, per_batch)
    if begins:
        columns = tl.arange(0, WIDTH)
        total = _sum_of_row(slopes, rows, slots, here, end, size, TILE, WIDTH)
        total /= tl.maximum(tl.max(tl.abs(total), 0), 1.17549435e-38)  # squares of small numbers would be lost
        total *= reach / tl.maximum(tl.sqrt(tl.sum(total * total, 0)), 1.17549435e-38)
        tl.store(shift + tl.load(rows + here).to(tl.int64) * size + columns, total, mask=columns < size)


@triton.jit
def step_rows(
    table, sums, slopes, rows, slots, batch, n_places, per_batch, size, learning_rate, eps,
    ADAGRAD: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Step each row of the batch against the sum of its ``slopes``, by SGD or Adagrad; the last launch of a batch."""
    here, end, begins = _segment(rows, batch, n_places, per_batch)
    if begins:
        columns = tl.arange(0, WIDTH)
        total = _sum_of_row(slopes, rows, slots, here, end, size, TILE, WIDTH)
        cells = tl.load(rows + here).to(tl.int64) * size + columns
        inside = columns < size
        values = tl.load(table + cells, mask=inside, other=0.0)
        if ADAGRAD:
            squares = tl.load(sums + cells, mask=inside, other=0.0) + total * total
            tl.store(sums + cells, squares, mask=inside)
            total /= tl.sqrt(squares) + eps
        tl.store(table + cells, values - learning_rate * total, mask=inside)
    if tl.program_id(0) == 0:
        tl.store(batch, tl.load(batch + 1) + 1)


@triton.jit
def adam(
    table, first, second, gradient, powers, n, learning_rate, eps, beta_1, beta_2,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Adam's step on all numbers; ``powers`` has both betas to the number of steps, this one included."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = places < n
    slope = tl.load(gradient + places, mask=here, other=0.0)
    mean = tl.load(first + places, mask=here, other=0.0)
    mean += (1 - beta_1) * (slope - mean)
    square = beta_2 * tl.load(second + places, mask=here, other=0.0) + (1 - beta_2) * slope * slope
    tl.store(first + places, mean, mask=here)
    tl.store(second + places, square, mask=here)
    of_first, of_second = (1 - tl.load(powers)).to(tl.float32), (1 - tl.load(powers + 1)).to(tl.float32)
    values = tl.load(table + places, mask=here, other=0.0)
    values -= learning_rate / of_first * mean / (tl.sqrt(square / of_second) + eps)
    tl.store(table + places, values, mask=here)
