"""Sum of softmax normalisers over all users without keeping a users x items matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Inspect = Callable[[slice, Tensor], None]


def total_log_normalizer(left: Tensor, right: Tensor, inspect: Inspect | None = None, block: int = 256) -> Tensor:
    """Sum over users of log sum over items of exp(p.q); may be differentiated once.

    The value is a scalar, so both gradients are made while a block of scores is in the cache: three matrix products
    and one pass of exponentials in all, where autograd stores every score and passes over them about eight times.

    Args:
        left: ``(n_users, size)``.
        right: ``(n_items, size)``.
        inspect: Sees the users of a block and their scores ``(block, n_items)`` before they are overwritten.
        block: Users handled at once.
    """
    return _TotalLogNormalizer.apply(left, right, inspect, block)


class _TotalLogNormalizer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, inspect: Inspect | None, block: int) -> Tensor:
        g_left, g_right = torch.empty_like(left), torch.zeros_like(right)
        scores = left.new_empty(min(block, len(left)), len(right))
        total = torch.zeros((), dtype=torch.float64, device=left.device)
        for start in range(0, len(left), block):
            users = slice(start, min(start + block, len(left)))
            p = left[users]
            part = torch.mm(p, right.T, out=scores[: len(p)])
            if inspect is not None:
                inspect(users, part)
            highest = part.amax(dim=1, keepdim=True)
            masses = part.sub_(highest).exp_().sum(dim=1, keepdim=True)
            total += (masses.log() + highest).sum(dtype=torch.float64)
            # d log sum exp(p.q): in p the softmax's mean of q, in an item's q its probability times p
            torch.mm(part, right, out=g_left[users]).div_(masses)
            g_right.addmm_(part.T, p / masses)
        ctx.save_for_backward(g_left, g_right)
        return total.to(left.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        g_left, g_right = ctx.saved_tensors
        return grad * g_left, grad * g_right, None, None
