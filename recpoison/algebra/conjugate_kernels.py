"""Conjugate gradients for one row of a sparse matrix after the other, on one core: nothing is gathered or stored."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

# No "nnan" or "ninf": a row that is not a number must stay visible.
FAST = {"reassoc", "contract", "arcp", "nsz"}


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", inline="always")
def _dot(left, right):
    total = left[0] * right[0]
    for k in range(1, len(left)):
        total += left[k] * right[k]
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", inline="always")
def _times_gram(gram, p, out):
    """Write ``gram`` p into ``out``, four rows of the symmetric ``gram`` at a time."""
    size = len(p)
    whole = size - size % 4
    out[:] = 0
    for j in range(0, whole, 4):
        a, b, c, d = p[j], p[j + 1], p[j + 2], p[j + 3]
        for k in range(size):
            out[k] += (a * gram[j, k] + b * gram[j + 1, k]) + (c * gram[j + 2, k] + d * gram[j + 3, k])
    for j in range(whole, size):
        for k in range(size):
            out[k] += p[j] * gram[j, k]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", inline="always")
def _add_observed(factors, columns, p, slope, shift, out):
    """Add the sum over ``columns`` of (slope q.p + shift) q to ``out``; four factors q share one pass over it."""
    size = len(p)
    whole = len(columns) - len(columns) % 4
    for cell in range(0, whole, 4):
        q0, q1 = factors[columns[cell]], factors[columns[cell + 1]]
        q2, q3 = factors[columns[cell + 2]], factors[columns[cell + 3]]
        a = b = c = d = p[0] - p[0]
        for k in range(size):
            a += q0[k] * p[k]
            b += q1[k] * p[k]
            c += q2[k] * p[k]
            d += q3[k] * p[k]
        a, b, c, d = slope * a + shift, slope * b + shift, slope * c + shift, slope * d + shift
        for k in range(size):
            out[k] += (a * q0[k] + b * q1[k]) + (c * q2[k] + d * q3[k])
    for cell in range(whole, len(columns)):
        q = factors[columns[cell]]
        a = slope * _dot(q, p) + shift
        for k in range(size):
            out[k] += a * q[k]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy", inline="always")
def _squares(factors, columns, p):
    """The sum over ``columns`` of (q.p)^2."""
    total = p[0] - p[0]
    whole = len(columns) - len(columns) % 4
    for cell in range(0, whole, 4):
        q0, q1 = factors[columns[cell]], factors[columns[cell + 1]]
        q2, q3 = factors[columns[cell + 2]], factors[columns[cell + 3]]
        a = b = c = d = p[0] - p[0]
        for k in range(len(p)):
            a += q0[k] * p[k]
            b += q1[k] * p[k]
            c += q2[k] * p[k]
            d += q3[k] * p[k]
        total += (a * a + b * b) + (c * c + d * d)
    for cell in range(whole, len(columns)):
        a = _dot(factors[columns[cell]], p)
        total += a * a
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def improve(rows, factors, gram, indptr, indices, weight, extra, steps):
    """Move each row of ``rows`` by ``steps`` steps towards the solution x of (gram + extra Q'Q) x = weight Q'1.

    Q are the factors of the row's columns. A row without columns becomes 0, its solution. The last step needs no
    product with the whole left side, only p'Ap.
    """
    size = rows.shape[1]
    nothing = weight - weight
    residual, direction, product = np.empty_like(rows[:1])[0], np.empty_like(rows[:1])[0], np.empty_like(rows[:1])[0]
    for row in range(len(rows)):
        columns, x = indices[indptr[row] : indptr[row + 1]], rows[row]
        if len(columns) == 0:
            x[:] = 0
            continue
        _times_gram(gram, x, residual)
        for k in range(size):
            residual[k] = -residual[k]
        _add_observed(factors, columns, x, -extra, weight, residual)
        direction[:] = residual
        left = _dot(residual, residual)
        for step in range(steps):
            if left == nothing:  # solved: a step would divide by 0
                break
            _times_gram(gram, direction, product)
            if step == steps - 1:
                curvature = _dot(direction, product) + extra * _squares(factors, columns, direction)
            else:
                _add_observed(factors, columns, direction, extra, nothing, product)
                curvature = _dot(direction, product)
            length = left / curvature
            for k in range(size):
                x[k] += length * direction[k]
            if step == steps - 1:
                break
            for k in range(size):
                residual[k] -= length * product[k]
            before = left
            left = _dot(residual, residual)
            turn = left / before
            for k in range(size):
                direction[k] = residual[k] + turn * direction[k]
