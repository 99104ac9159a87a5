"""Adam's step and its derivative in one pass over the numbers each."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def adam_forward(p, m, v, g, rate, beta1, beta2, root, eps, decay, one, p_out, m_out, v_out):
    """Write the next parameters and moments. ``rate`` holds the first moment's correction, ``root`` the second's."""
    for k in range(len(p)):
        full = g[k] + decay * p[k]
        first = beta1 * m[k] + (one - beta1) * full
        second = beta2 * v[k] + (one - beta2) * full * full
        m_out[k], v_out[k] = first, second
        p_out[k] = p[k] - rate * first / (np.sqrt(second) / root + eps)


@njit(cache=True, nogil=True, error_model="numpy")
def adam_backward(
    p, g, m_out, v_out, d_p, d_m, d_v, rate, beta1, beta2, root, eps, decay, one, p_grad, m_grad, v_grad, g_grad
):  # fmt: skip
    """Carry cotangents of the outputs back to the inputs; where the second moment is 0 its root counts as constant."""
    for k in range(len(p)):
        full = g[k] + decay * p[k]
        deviation = np.sqrt(v_out[k])
        below = one / (deviation / root + eps)
        first = d_m[k] - d_p[k] * rate * below
        second = d_v[k]
        if deviation > 0:
            second += d_p[k] * rate * m_out[k] * below * below / (2 * root * deviation)
        d_g = (one - beta1) * first + 2 * (one - beta2) * full * second
        p_grad[k] = d_p[k] + decay * d_g
        m_grad[k], v_grad[k], g_grad[k] = beta1 * first, beta2 * second, d_g
