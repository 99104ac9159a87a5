"""The nearest point with entries between 0 and 1 and a given sum."""

import torch
from torch import Tensor

_HALVINGS = 60


def onto_capped_simplex(rows: Tensor, total: float) -> Tensor:
    """The nearest rows, in L2, whose entries lie in [0, 1] and add up to ``total``.

    They are ``rows`` less one number a row, cut at 0 and 1 (the conditions of Karush, Kuhn and Tucker); halving finds
    the number.

    Args:
        rows: ``(n, size)``; minus infinity stays 0.
        total: From 0 to the number of finite entries.
    """
    finite = rows.masked_fill(rows.isinf(), torch.inf)
    low, high = finite.amin(1, keepdim=True) - 1, rows.amax(1, keepdim=True)  # all are 1; all are 0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = (rows - middle).clamp(0, 1).sum(1, keepdim=True) > total
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return (rows - high).clamp(0, 1)
