"""Sums over observed cells in one pass on a CPU: each cell's rows are read once, and nothing of its size is stored."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

# No "nnan" or "ninf": a loss that is not a number must stay visible.
FAST = {"reassoc", "contract", "arcp", "nsz"}


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def observed_products(left, right, indptr, indices, found):
    """Write the product of each observed cell's row of ``left`` and row of ``right`` into ``found``."""
    for row in range(len(indptr) - 1):
        p = left[row]
        for cell in range(indptr[row], indptr[row + 1]):
            q = right[indices[cell]]
            r = found.dtype.type(0)
            for k in range(len(p)):
                r += p[k] * q[k]
            found[cell] = r


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def observed_value(left, right, indptr, indices, weight):
    """Sum of weight (1 - r)^2 - r^2 over the observed cells, accumulated in double precision."""
    total = 0.0
    for row in range(len(indptr) - 1):
        p = left[row]
        for cell in range(indptr[row], indptr[row + 1]):
            q = right[indices[cell]]
            r = weight - weight
            for k in range(len(p)):
                r += p[k] * q[k]
            total += weight * (1 - r) * (1 - r) - r * r
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_observed_gradient(left, right, indptr, indices, slope, shift, g_left, g_right):
    """Add S right to ``g_left`` and S' left to ``g_right``, s = slope r - shift on observed cells."""
    size = left.shape[1]
    for row in range(len(indptr) - 1):
        p, g_p = left[row], g_left[row]
        for cell in range(indptr[row], indptr[row + 1]):
            column = indices[cell]
            q, g_q = right[column], g_right[column]
            s = -shift
            for k in range(size):
                s += slope * p[k] * q[k]
            for k in range(size):
                g_p[k] += s * q[k]
            for k in range(size):
                g_q[k] += s * p[k]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_observed_curvature(left, right, v_left, v_right, indptr, indices, slope, shift, h_left, h_right):
    """Add S v_right + dS right to ``h_left`` and S' v_left + dS' left to ``h_right``, ds = slope (v_p.q + p.v_q)."""
    size = left.shape[1]
    for row in range(len(indptr) - 1):
        p, v_p, h_p = left[row], v_left[row], h_left[row]
        for cell in range(indptr[row], indptr[row + 1]):
            column = indices[cell]
            q, v_q, h_q = right[column], v_right[column], h_right[column]
            s, ds = -shift, shift - shift
            for k in range(size):
                s += slope * p[k] * q[k]
                ds += slope * (v_p[k] * q[k] + p[k] * v_q[k])
            for k in range(size):
                h_p[k] += s * v_q[k] + ds * q[k]
            for k in range(size):
                h_q[k] += s * v_p[k] + ds * p[k]
