"""Sums over observed ratings in one pass on a CPU: each rating's rows are read once, and nothing of its size is stored.

One core adds up both sides, so that no two threads meet at an item's row. Ratings sorted by user are read quickest.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from numba import njit

from recpoison.algebra.gram_kernels import FAST


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def errors_of(user_table, item_table, users, items, ratings, errors):
    """Write p.q - r of each rating into ``errors``."""
    for place in range(len(users)):
        p, q = user_table[users[place]], item_table[items[place]]
        error = -ratings[place]
        for k in range(len(p)):
            error += p[k] * q[k]
        errors[place] = error


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_slopes(user_table, item_table, users, items, slopes, user_sums, item_sums):
    """Add s q to the user's and s p to the item's row of the sums, s being a rating's slope."""
    size = user_table.shape[1]
    for place in range(len(users)):
        user, item, slope = users[place], items[place], slopes[place]
        p, q, g, h = user_table[user], item_table[item], user_sums[user], item_sums[item]
        for k in range(size):
            g[k] += slope * q[k]
        for k in range(size):
            h[k] += slope * p[k]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def add_curvature(
    user_table, item_table, v_user, v_item, users, items, errors, chosen, scale, coupled, bent, user_sums, item_sums
):  # fmt: skip
    """Add the product of the curvature of the ratings ``chosen`` and (v_user, v_item) to the sums.

    A rating gives the user's row  scale [(v_p.q + p.v_q) q + e v_q]  and the item's row the mirror of it, without the
    change in the other table where they are not ``coupled``, and without the error e where it is not ``bent``.
    """
    size = user_table.shape[1]
    for number in range(len(chosen)):
        place = chosen[number]
        user, item = users[place], items[place]
        p, q, v_p, v_q = user_table[user], item_table[item], v_user[user], v_item[item]
        g, h = user_sums[user], item_sums[item]
        left, right = scale - scale, scale - scale
        for k in range(size):
            left += v_p[k] * q[k]
            right += p[k] * v_q[k]
        left, right = scale * left, scale * right
        if coupled:
            left = right = left + right
        for k in range(size):
            g[k] += left * q[k]
        for k in range(size):
            h[k] += right * p[k]
        if bent:
            bend = scale * errors[place]
            for k in range(size):
                g[k] += bend * v_q[k]
            for k in range(size):
                h[k] += bend * v_p[k]
