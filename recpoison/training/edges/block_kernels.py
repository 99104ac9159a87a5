"""Arithmetic on a block of pairs: a row a unit, a column a pair, so that every inner loop runs along pairs.

Layers, however narrow, then cost what their multiplications cost.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

from recpoison.training.bpr_kernel import FAST

RELU, TANH, SIGMOID = 0, 1, 2


def exponential(x):
    """Give exp x, to a rounding error or two, in a form that a compiler can do for many numbers at once."""
    return np.exp(x)


@overload(exponential, jit_options={"error_model": "numpy"})  # not fast: the two parts of log 2 must stay apart
def _exponential(x):
    return _exponential_32 if x == types.float32 else _exponential_64


def _exponential_32(x):
    if x < np.float32(-87):  # not a number is neither below nor above, and stays what it is
        x = np.float32(-87)
    if x > np.float32(88):
        x = np.float32(88)
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)  # the polynomial of Cephes
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * (r * r) + r + np.float32(1)
    return p * np.int32((np.int32(n) + 127) << 23).view(np.float32)


def _exponential_64(x):
    if x < -708.0:
        x = -708.0
    if x > 709.0:
        x = 709.0
    n = np.floor(x * 1.4426950408889634 + 0.5)
    r = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6
    p = 1 / 6227020800.0  # of degree 13: what is left is below 1e-17
    p = p * r + 1 / 479001600.0
    p = p * r + 1 / 39916800.0
    p = p * r + 1 / 3628800.0
    p = p * r + 1 / 362880.0
    p = p * r + 1 / 40320.0
    p = p * r + 1 / 5040.0
    p = p * r + 1 / 720.0
    p = p * r + 1 / 120.0
    p = p * r + 1 / 24.0
    p = p * r + 1 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    return p * np.int64((np.int64(np.int32(n)) + 1023) << 52).view(np.float64)


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def fill(flat, start, y, y_row, width, n):
    """Set each row to its number in ``flat``."""
    for row in range(width):
        value = flat[start + row]
        for s in range(n):
            y[y_row + row, s] = value


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_product(flat, start, stride, step, x, x_row, x_width, y, y_row, y_width, n):
    """Add to each row r of y the sum over rows c of x of flat[start + stride r + step c] x_c."""
    for row in range(y_width):
        w, r, c = start + stride * row, y_row + row, 0
        while c + 8 <= x_width:
            a, b = w + step * c, x_row + c
            w0, w1, w2, w3 = flat[a], flat[a + step], flat[a + 2 * step], flat[a + 3 * step]
            a += 4 * step
            w4, w5, w6, w7 = flat[a], flat[a + step], flat[a + 2 * step], flat[a + 3 * step]
            for s in range(n):
                low = w0 * x[b, s] + w1 * x[b + 1, s] + w2 * x[b + 2, s] + w3 * x[b + 3, s]
                high = w4 * x[b + 4, s] + w5 * x[b + 5, s] + w6 * x[b + 6, s] + w7 * x[b + 7, s]
                y[r, s] += low + high
            c += 8
        while c < x_width:
            weight = flat[w + step * c]
            for s in range(n):
                y[r, s] += weight * x[x_row + c, s]
            c += 1


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_outer(x, x_row, x_width, y, y_row, y_width, n, flat, start):
    """Add to flat[start + x_width r + c] the sum along pairs of rows r of y and c of x."""
    zero = flat.dtype.type(0)
    for row in range(y_width):
        w, r, c = start + x_width * row, y_row + row, 0
        while c + 4 <= x_width:
            b = x_row + c
            s0 = s1 = s2 = s3 = zero
            for s in range(n):
                value = y[r, s]
                s0 += value * x[b, s]
                s1 += value * x[b + 1, s]
                s2 += value * x[b + 2, s]
                s3 += value * x[b + 3, s]
            flat[w + c] += s0
            flat[w + c + 1] += s1
            flat[w + c + 2] += s2
            flat[w + c + 3] += s3
            c += 4
        while c < x_width:
            total = zero
            for s in range(n):
                total += y[r, s] * x[x_row + c, s]
            flat[w + c] += total
            c += 1


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_sums(y, y_row, width, n, flat, start):
    """Add the sum of each row to its number in ``flat``."""
    for row in range(width):
        total = flat.dtype.type(0)
        for s in range(n):
            total += y[y_row + row, s]
        flat[start + row] += total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def activate(h, slope, row, width, n, kind):
    """Put rows through the activation, in place, and write its slope there."""
    one = h.dtype.type(1)
    for r in range(row, row + width):
        if kind == RELU:
            for s in range(n):
                stays = h.dtype.type(h[r, s] > 0)
                slope[r, s] = stays
                h[r, s] *= stays
        elif kind == TANH:
            for s in range(n):
                value = one - (one + one) / (one + exponential(h[r, s] + h[r, s]))
                slope[r, s] = one - value * value
                h[r, s] = value
        else:
            for s in range(n):
                value = one / (one + exponential(-h[r, s]))
                slope[r, s] = value * (one - value)
                h[r, s] = value


@njit(cache=True, nogil=True, inline="always")
def mixed(word):
    """``network.mixed``, in the lower half of 64 bits."""
    low = np.uint64(0xFFFFFFFF)
    word = ((word ^ (word >> np.uint64(16))) * np.uint64(0x7FEB352D)) & low
    word = ((word ^ (word >> np.uint64(15))) * np.uint64(0x846CA68B)) & low
    return word ^ (word >> np.uint64(16))


@njit(cache=True, nogil=True, error_model="numpy")
def drop(h, slope, row, width, samples, start, n, key, limit, scale, words):
    """Leave units out as ``network.Drops`` does; a slope is that of what comes out."""
    zero = h.dtype.type(0)
    for s in range(n):
        words[s] = mixed(np.uint64(samples[start + s]) ^ key)
    for unit in range(width):
        r, at = row + unit, np.uint64(unit) * np.uint64(0x9E3779B9)
        for s in range(n):
            word = mixed((words[s] + at) & np.uint64(0xFFFFFFFF))
            factor = scale if word >= limit else zero
            h[r, s] *= factor
            slope[r, s] *= factor


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def back(d, slope, row, width, n):
    """Carry the derivative in what comes out of units back to what goes in."""
    for r in range(row, row + width):
        for s in range(n):
            d[r, s] *= slope[r, s]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def turn(d, rd, h, rh, slope, row, width, n, kind, stays):
    """The derivative of ``back`` along the tangent: call it first. ``stays`` undoes the scale of dropout."""
    one = d.dtype.type(1)
    two = one + one
    for r in range(row, row + width):
        if kind == RELU:
            for s in range(n):
                rd[r, s] *= slope[r, s]
        elif kind == TANH:  # slope' = -2 tanh slope
            for s in range(n):
                rd[r, s] = rd[r, s] * slope[r, s] - two * stays * h[r, s] * rh[r, s] * d[r, s]
        else:  # slope' = (1 - 2 sigmoid) slope
            for s in range(n):
                rd[r, s] = rd[r, s] * slope[r, s] + (one - two * stays * h[r, s]) * rh[r, s] * d[r, s]
