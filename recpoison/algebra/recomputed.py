"""Functions that keep what goes in alone, and are computed again when their derivative is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def recomputed(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``function(*inputs)``, differentiable once; without a generator of its own, as it is called twice.

    Example:
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> torch.autograd.grad(recomputed(torch.square, x), x)
        (tensor([6.]),)
    """
    found: Tensor = _Recomputed.apply(function, *inputs)
    return found


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(*inputs)
        return function(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[1:]
        inputs = [x.detach().requires_grad_(asked) for x, asked in zip(ctx.saved_tensors, wanted, strict=True)]
        with torch.enable_grad():
            found = ctx.function(*inputs)
        slopes = iter(torch.autograd.grad(found, [x for x in inputs if x.requires_grad], grad))
        return (None, *(next(slopes) if asked else None for asked in wanted))
