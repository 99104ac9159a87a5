"""One pass over labelled pairs sorted by user, a block at a time: logits and the gradient, or their derivatives.

A network comes as arrays. ``flat`` holds the weights of the dense layers, the output and the bias. A row of ``layers``
is (input row, inputs, first row, width, start of weights, start of biases) in the block's table of units; a layer with
no inputs is the sum part's first, whose sums are gathered. A row of ``ends`` is (first row, width, start of output
weights) of what the output weighs.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

from recpoison.training.bpr_kernel import FAST
from recpoison.training.edges.block_kernels import (
    activate,
    add_outer,
    add_product,
    add_sums,
    back,
    drop,
    exponential,
    fill,
    turn,
)

BLOCK = 256  # pairs; what is kept of them stays in the second-level cache
LANES = 4  # columns at a time between tables and blocks: tables and parts are this much, or times it, wide


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def gather(of_users, of_items, runs, first_run, last_run, items, start, size, sums, h, q):
    """Write what pairs bring to the network: products p * q and q itself, and sums from row ``sums`` on."""
    for run in range(first_run, last_run):
        user, a, b = runs[run, 0], runs[run, 1], runs[run + 1, 1]
        for k in range(0, size, LANES):
            p0, p1, p2, p3 = of_users[user, k], of_users[user, k + 1], of_users[user, k + 2], of_users[user, k + 3]
            for place in range(a, b):
                item, s = items[place], place - start
                q0, q1, q2, q3 = of_items[item, k], of_items[item, k + 1], of_items[item, k + 2], of_items[item, k + 3]
                q[k, s], q[k + 1, s], q[k + 2, s], q[k + 3, s] = q0, q1, q2, q3
                h[k, s], h[k + 1, s], h[k + 2, s], h[k + 3, s] = p0 * q0, p1 * q1, p2 * q2, p3 * q3
        for k in range(size, of_users.shape[1], LANES):
            p0, p1, p2, p3 = of_users[user, k], of_users[user, k + 1], of_users[user, k + 2], of_users[user, k + 3]
            r = sums + k - size
            for place in range(a, b):
                item, s = items[place], place - start
                h[r, s] = p0 + of_items[item, k]
                h[r + 1, s] = p1 + of_items[item, k + 1]
                h[r + 2, s] = p2 + of_items[item, k + 2]
                h[r + 3, s] = p3 + of_items[item, k + 3]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_other_half(v_users, runs, first_run, last_run, start, size, q, rh):
    """After ``gather`` of tangents with the users' own rows, which made p q': add p' q."""
    for run in range(first_run, last_run):
        user, a, b = runs[run, 0], runs[run, 1] - start, runs[run + 1, 1] - start
        for k in range(size):
            v = v_users[user, k]
            for s in range(a, b):
                rh[k, s] += v * q[k, s]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def scatter(of_users, runs, first_run, last_run, items, start, size, sums, d, q, user_sums, item_sums):
    """Add to users' sums d q and to items' d p of the products, and d of the sums to both."""
    zero = d.dtype.type(0)
    for run in range(first_run, last_run):
        user, a, b = runs[run, 0], runs[run, 1], runs[run + 1, 1]
        for k in range(0, size, LANES):
            p0, p1, p2, p3 = of_users[user, k], of_users[user, k + 1], of_users[user, k + 2], of_users[user, k + 3]
            t0 = t1 = t2 = t3 = zero
            for place in range(a, b):
                item, s = items[place], place - start
                d0, d1, d2, d3 = d[k, s], d[k + 1, s], d[k + 2, s], d[k + 3, s]
                t0 += d0 * q[k, s]
                t1 += d1 * q[k + 1, s]
                t2 += d2 * q[k + 2, s]
                t3 += d3 * q[k + 3, s]
                item_sums[item, k] += d0 * p0
                item_sums[item, k + 1] += d1 * p1
                item_sums[item, k + 2] += d2 * p2
                item_sums[item, k + 3] += d3 * p3
            user_sums[user, k] += t0
            user_sums[user, k + 1] += t1
            user_sums[user, k + 2] += t2
            user_sums[user, k + 3] += t3
        for k in range(size, user_sums.shape[1], LANES):
            t0 = t1 = t2 = t3 = zero
            r = sums + k - size
            for place in range(a, b):
                item, s = items[place], place - start
                d0, d1, d2, d3 = d[r, s], d[r + 1, s], d[r + 2, s], d[r + 3, s]
                t0 += d0
                t1 += d1
                t2 += d2
                t3 += d3
                item_sums[item, k] += d0
                item_sums[item, k + 1] += d1
                item_sums[item, k + 2] += d2
                item_sums[item, k + 3] += d3
            user_sums[user, k] += t0
            user_sums[user, k + 1] += t1
            user_sums[user, k + 2] += t2
            user_sums[user, k + 3] += t3


@njit(cache=True, nogil=True, error_model="numpy")
def forward(flat, layers, ends, h, slope, n, kind, samples, start, keys, limit, scale, words, z):
    """Fill the table of units from what was gathered, and the logits."""
    for layer in range(len(layers)):
        x_row, inputs, row, width, weights, biases = layers[layer]
        if inputs:
            fill(flat, biases, h, row, width, n)
            add_product(flat, weights, inputs, 1, h, x_row, inputs, h, row, width, n)
        activate(h, slope, row, width, n, kind)
        if limit:
            drop(h, slope, row, width, samples, start, n, keys[layer], limit, scale, words)
    fill(flat, len(flat) - 1, z, 0, 1, n)
    for end in range(len(ends)):
        add_product(flat, ends[end, 2], 0, 1, h, ends[end, 0], ends[end, 1], z, 0, 1, n)


@njit(cache=True, nogil=True, error_model="numpy")
def forward_tangent(flat, v_flat, layers, ends, h, slope, rh, n, rz):
    """Tangents of units and logits, after ``forward``."""
    for layer in range(len(layers)):
        x_row, inputs, row, width, weights, biases = layers[layer]
        if inputs:
            fill(v_flat, biases, rh, row, width, n)
            add_product(flat, weights, inputs, 1, rh, x_row, inputs, rh, row, width, n)
            add_product(v_flat, weights, inputs, 1, h, x_row, inputs, rh, row, width, n)
        back(rh, slope, row, width, n)
    fill(v_flat, len(v_flat) - 1, rz, 0, 1, n)
    for end in range(len(ends)):
        row, width, output = ends[end]
        add_product(flat, output, 0, 1, rh, row, width, rz, 0, 1, n)
        add_product(v_flat, output, 0, 1, h, row, width, rz, 0, 1, n)


@njit(cache=True, nogil=True, error_model="numpy")
def backward(flat, layers, ends, h, slope, d, e, n, weighted, gradient):
    """Carry errors e back to what was gathered, and add up the gradient in ``flat``."""
    add_sums(e, 0, 1, n, gradient, len(flat) - 1)
    for end in range(len(ends)):
        row, width, output = ends[end]
        d[row : row + width] = 0
        add_product(flat, output, 1, 0, e, 0, 1, d, row, width, n)
        if weighted:
            add_outer(h, row, width, e, 0, 1, n, gradient, output)
    for layer in range(len(layers) - 1, -1, -1):
        x_row, inputs, row, width, weights, biases = layers[layer]
        back(d, slope, row, width, n)
        if inputs:
            add_sums(d, row, width, n, gradient, biases)
            add_outer(h, x_row, inputs, d, row, width, n, gradient, weights)
            d[x_row : x_row + inputs] = 0
            add_product(flat, weights, 1, inputs, d, row, width, d, x_row, inputs, n)


@njit(cache=True, nogil=True, error_model="numpy")
def backward_tangent(flat, v_flat, layers, ends, h, slope, rh, d, rd, e, re, n, kind, stays, weighted, gradient):
    """``backward`` and its tangent, whose gradient alone is added up."""
    add_sums(re, 0, 1, n, gradient, len(flat) - 1)
    for end in range(len(ends)):
        row, width, output = ends[end]
        d[row : row + width] = 0
        rd[row : row + width] = 0
        add_product(flat, output, 1, 0, e, 0, 1, d, row, width, n)
        add_product(flat, output, 1, 0, re, 0, 1, rd, row, width, n)
        if weighted:
            add_product(v_flat, output, 1, 0, e, 0, 1, rd, row, width, n)
            add_outer(h, row, width, re, 0, 1, n, gradient, output)
            add_outer(rh, row, width, e, 0, 1, n, gradient, output)
    for layer in range(len(layers) - 1, -1, -1):
        x_row, inputs, row, width, weights, biases = layers[layer]
        turn(d, rd, h, rh, slope, row, width, n, kind, stays)
        back(d, slope, row, width, n)
        if inputs:
            add_sums(rd, row, width, n, gradient, biases)
            add_outer(h, x_row, inputs, rd, row, width, n, gradient, weights)
            add_outer(rh, x_row, inputs, d, row, width, n, gradient, weights)
            d[x_row : x_row + inputs] = 0
            rd[x_row : x_row + inputs] = 0
            add_product(flat, weights, 1, inputs, d, row, width, d, x_row, inputs, n)
            add_product(flat, weights, 1, inputs, rd, row, width, rd, x_row, inputs, n)
            add_product(v_flat, weights, 1, inputs, d, row, width, rd, x_row, inputs, n)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def errors(z, labels, samples, start, n, e):
    """Write sigmoid z - label, and the sigmoid in the place of z."""
    one = z.dtype.type(1)
    for s in range(n):
        z[0, s] = one / (one + exponential(-z[0, s]))
    for s in range(n):
        e[0, s] = z[0, s] - labels[samples[start + s]]


@njit(cache=True, nogil=True, error_model="numpy")
def put(line, samples, start, n, out):
    """Write a line's numbers where the pairs stood before they were sorted."""
    for s in range(n):
        out[samples[start + s]] = line[0, s]


@njit(cache=True, nogil=True, error_model="numpy")
def gradient_pass(
    runs, block_runs, first, last, items, samples, labels, of_users, of_items, flat, layers, ends, size, sums, units,
    kind, keys, limit, scale, weighted, logits, user_sums, item_sums, gradient
):  # fmt: skip
    """Blocks ``first`` to ``last``: write logits, add up the gradient of the sum of losses.

    Args: ``runs`` (user, first pair) of neighbours of one user in one block, and a last one where all end;
    ``block_runs`` the first run of each block; ``samples`` where a pair stood; ``size`` columns of the product part;
    ``sums`` the row where the sum part begins, of ``units``; ``kind`` of activation; ``keys``, ``limit`` and ``scale``
    of dropout.
    """
    kept = np.zeros((4, units, BLOCK), dtype=flat.dtype)
    h, slope, d, q = kept[0], kept[1], kept[2], kept[3]
    lines = np.empty((2, 1, BLOCK), dtype=flat.dtype)
    z, e, words = lines[0], lines[1], np.empty(BLOCK, dtype=np.uint64)
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, len(items) - start)
        a, b = block_runs[block], block_runs[block + 1]
        gather(of_users, of_items, runs, a, b, items, start, size, sums, h, q)
        forward(flat, layers, ends, h, slope, n, kind, samples, start, keys, limit, scale, words, z)
        put(z, samples, start, n, logits)
        errors(z, labels, samples, start, n, e)
        backward(flat, layers, ends, h, slope, d, e, n, weighted, gradient)
        scatter(of_users, runs, a, b, items, start, size, sums, d, q, user_sums, item_sums)


@njit(cache=True, nogil=True, error_model="numpy")
def product_pass(
    runs, block_runs, first, last, items, samples, labels, of_users, of_items, flat, v_users, v_items, v_flat, mixed,
    layers, ends, size, sums, units, kind, keys, limit, scale, weighted, tangents, user_sums, item_sums, user_tangents,
    item_tangents, gradient
):  # fmt: skip
    """The derivative of ``gradient_pass`` along ``v_...``: write logits' ``tangents``, add up the gradient's.

    Args: ``mixed`` holds users' own columns of the product part and tangents of the sum part. ``user_sums`` and
    ``item_sums`` get the part that comes from the tables' own tangents (of products) and the gradient itself (of sums),
    ``user_tangents`` and ``item_tangents`` all else.
    """
    kept = np.zeros((7, units, BLOCK), dtype=flat.dtype)
    h, slope, d, q, rh, rd, rq = kept[0], kept[1], kept[2], kept[3], kept[4], kept[5], kept[6]
    lines = np.empty((4, 1, BLOCK), dtype=flat.dtype)
    z, e, rz, re = lines[0], lines[1], lines[2], lines[3]
    words, one = np.empty(BLOCK, dtype=np.uint64), flat.dtype.type(1)
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, len(items) - start)
        a, b = block_runs[block], block_runs[block + 1]
        gather(of_users, of_items, runs, a, b, items, start, size, sums, h, q)
        gather(mixed, v_items, runs, a, b, items, start, size, sums, rh, rq)
        add_other_half(v_users, runs, a, b, start, size, q, rh)
        forward(flat, layers, ends, h, slope, n, kind, samples, start, keys, limit, scale, words, z)
        forward_tangent(flat, v_flat, layers, ends, h, slope, rh, n, rz)
        put(rz, samples, start, n, tangents)
        errors(z, labels, samples, start, n, e)
        for s in range(n):
            re[0, s] = z[0, s] * (one - z[0, s]) * rz[0, s]
        backward_tangent(
            flat, v_flat, layers, ends, h, slope, rh, d, rd, e, re, n, kind, one / scale, weighted, gradient
        )
        scatter(v_users, runs, a, b, items, start, size, sums, d, rq, user_sums, item_sums)
        scatter(of_users, runs, a, b, items, start, size, sums, rd, q, user_tangents, item_tangents)
