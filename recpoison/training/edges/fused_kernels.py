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
from recpoison.training.edges.lanes import WIDTH
from recpoison.training.edges.pair_kernels import (
    gather,
    gather_tangents,
    scatter_product_tangents,
    scatter_products,
    scatter_sums,
)

BLOCK = 256  # pairs; what is kept of them stays in the second-level cache


@njit(cache=True, nogil=True)
def whole(n):
    """The next multiple of a register's width."""
    return (n + WIDTH - 1) // WIDTH * WIDTH


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
def errors(z, labels, samples, start, n, wide, e):
    """Write sigmoid z - label, 0 beyond the ``n`` pairs that there are, and the sigmoid in the place of z."""
    one = z.dtype.type(1)
    for s in range(wide):
        z[0, s] = one / (one + exponential(-z[0, s]))
        e[0, s] = 0
    for s in range(n):
        e[0, s] = z[0, s] - labels[samples[start + s]]


@njit(cache=True, nogil=True, error_model="numpy")
def put(line, samples, start, n, out):
    """Write a line's numbers where the pairs stood before they were sorted."""
    for s in range(n):
        out[samples[start + s]] = line[0, s]


@njit(cache=True, nogil=True, error_model="numpy")
def gradient_pass(
    first, last, users, items, samples, labels, of_users, of_items, flat, layers, ends, size, sums, units, kind, keys,
    limit, scale, weighted, logits, user_sums, item_sums, gradient
):  # fmt: skip
    """Blocks ``first`` to ``last``: write logits, add up the gradient of the sum of losses.

    Args: ``samples`` where a pair stood; ``size`` columns of the product part; ``sums`` the row where the sum part
    begins, of ``units``; ``kind`` of activation; ``keys``, ``limit`` and ``scale`` of dropout.
    """
    kept = np.zeros((3, units, BLOCK), dtype=flat.dtype)
    h, slope, d = kept[0], kept[1], kept[2]
    lines = np.zeros((2, 1, BLOCK), dtype=flat.dtype)
    z, e, words = lines[0], lines[1], np.empty(BLOCK, dtype=np.uint64)
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, len(logits) - start)
        wide = whole(n)
        gather(of_users, of_items, users, items, start, n, size, sums, h)
        forward(flat, layers, ends, h, slope, wide, kind, samples, start, keys, limit, scale, words, z)
        put(z, samples, start, n, logits)
        errors(z, labels, samples, start, n, wide, e)
        backward(flat, layers, ends, h, slope, d, e, wide, weighted, gradient)
        scatter_products(of_users, of_items, users, items, start, n, size, d, user_sums, item_sums)
        scatter_sums(users, items, start, n, size, sums, d, user_sums, item_sums)


@njit(cache=True, nogil=True, error_model="numpy")
def product_pass(
    first, last, users, items, samples, labels, of_users, of_items, flat, v_users, v_items, v_flat, layers, ends, size,
    sums, units, kind, keys, limit, scale, weighted, tangents, user_sums, item_sums, user_tangents, item_tangents,
    gradient
):  # fmt: skip
    """The derivative of ``gradient_pass`` along ``v_...``: write logits' ``tangents``, add up the gradient's.

    ``user_sums`` and ``item_sums`` get the gradient itself in the columns of the sum part, which its caller needs.
    """
    kept = np.zeros((5, units, BLOCK), dtype=flat.dtype)
    h, slope, d, rh, rd = kept[0], kept[1], kept[2], kept[3], kept[4]
    lines = np.zeros((4, 1, BLOCK), dtype=flat.dtype)
    z, e, rz, re = lines[0], lines[1], lines[2], lines[3]
    words, one = np.empty(BLOCK, dtype=np.uint64), flat.dtype.type(1)
    for block in range(first, last):
        start = block * BLOCK
        n = min(BLOCK, len(tangents) - start)
        wide = whole(n)
        gather(of_users, of_items, users, items, start, n, size, sums, h)
        gather_tangents(of_users, of_items, v_users, v_items, users, items, start, n, size, sums, rh)
        forward(flat, layers, ends, h, slope, wide, kind, samples, start, keys, limit, scale, words, z)
        forward_tangent(flat, v_flat, layers, ends, h, slope, rh, wide, rz)
        put(rz, samples, start, n, tangents)
        errors(z, labels, samples, start, n, wide, e)
        re[0, n:wide] = 0
        for s in range(n):
            re[0, s] = z[0, s] * (one - z[0, s]) * rz[0, s]
        backward_tangent(
            flat, v_flat, layers, ends, h, slope, rh, d, rd, e, re, wide, kind, one / scale, weighted, gradient
        )
        scatter_product_tangents(
            of_users, of_items, v_users, v_items, users, items, start, n, size, d, rd, user_tangents, item_tangents
        )
        scatter_sums(users, items, start, n, size, sums, d, user_sums, item_sums)
        scatter_sums(users, items, start, n, size, sums, rd, user_tangents, item_tangents)
