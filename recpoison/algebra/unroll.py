"""Optimisers as functions, and differentiating through their last steps.

Equations are those of the injection paper (Tang, Wen and Wang 2020).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recpoison.algebra.adam_kernels import adam_backward, adam_forward

Tensors = tuple[Tensor, ...]
# From the number of a step (from 0), parameters and the outer problem's tensor to the gradient of each parameter.
InnerGradient = Callable[[int, Tensors, Tensor], Tensors]


@dataclass(frozen=True)
class Optimizer(ABC):
    """A rule for one step. Its state is a tuple of tensors: the parameters first, then what the rule remembers."""

    @abstractmethod
    def start(self, params: Tensors) -> Tensors:
        """The state before the first step."""

    @abstractmethod
    def step(self, number: int, state: Tensors, gradient: Tensors) -> Tensors:
        """The state after step ``number`` (from 0); differentiable once, and nothing is changed in place."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """Tensors of the state per parameter."""


@dataclass(frozen=True)
class SGD(Optimizer):
    """p <- p - learning_rate b, b <- momentum b + gradient + weight_decay p, as ``torch.optim.SGD``."""

    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0

    @property
    def slots(self) -> int:
        """Parameters, and their velocity."""
        return 2

    def start(self, params: Tensors) -> Tensors:
        """Parameters, then velocities of zero."""
        return (*params, *map(torch.zeros_like, params))

    def step(self, number: int, state: Tensors, gradient: Tensors) -> Tensors:
        """One step."""
        params, velocities = state[: len(gradient)], state[len(gradient) :]
        velocities = tuple(
            self.momentum * b + g + self.weight_decay * p for p, b, g in zip(params, velocities, gradient, strict=True)
        )
        return (*(p - self.learning_rate * b for p, b in zip(params, velocities, strict=True)), *velocities)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Kingma and Ba's Adam with weight decay added to the gradient, as ``torch.optim.Adam``.

    Where a second moment is exactly 0 (an entry that never had a gradient) its square root has no derivative; it is
    taken as constant there. The authors' code (``higher``) is not a number in that case.
    """

    learning_rate: float
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    @property
    def slots(self) -> int:
        """Parameters and two moments."""
        return 3

    def start(self, params: Tensors) -> Tensors:
        """Parameters, then moments of zero."""
        return (*params, *map(torch.zeros_like, params), *map(torch.zeros_like, params))

    def step(self, number: int, state: Tensors, gradient: Tensors) -> Tensors:
        """One step."""
        n = len(gradient)
        columns = zip(state[:n], state[n : 2 * n], state[2 * n :], gradient, strict=True)
        stepped = [_AdamStep.apply(*column, self.constants(number)) for column in columns]
        return tuple(column[slot] for slot in range(3) for column in stepped)

    def constants(self, number: int) -> tuple[float, ...]:
        """Rate, betas, correction of the root, epsilon and decay of step ``number``, and one."""
        rate = self.learning_rate / (1 - self.beta1 ** (number + 1))
        root = math.sqrt(1 - self.beta2 ** (number + 1))
        return rate, self.beta1, self.beta2, root, self.eps, self.weight_decay, 1.0


class _AdamStep(torch.autograd.Function):
    """One step for one tensor. Keeps two tensors besides the inputs and outputs of its neighbours."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, m: Tensor, v: Tensor, g: Tensor, constants: tuple[float, ...]) -> Tensors:
        if p.device.type == "cpu":
            outs = tuple(torch.empty_like(p, memory_format=torch.contiguous_format) for _ in range(3))
            adam_forward(*_flat(p, m, v, g), *_numbers(p, constants), *_flat(*outs))
        else:
            rate, beta1, beta2, root, eps, decay, _ = constants
            full = g + decay * p
            first = m.lerp(full, 1 - beta1)
            second = (beta2 * v).addcmul_(full, full, value=1 - beta2)
            outs = (p - rate * first / (second.sqrt() / root + eps), first, second)
        ctx.save_for_backward(p, g, outs[1], outs[2])
        ctx.constants = constants
        return outs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_p: Tensor, d_m: Tensor, d_v: Tensor) -> tuple[Tensor | None, ...]:
        # the step from theta(l) to theta(l+1) in eq. 8, of Adam; the Hessian there is the backward pass of ``gradient``
        p, g, first, second = ctx.saved_tensors
        if p.device.type == "cpu":
            grads = tuple(torch.empty_like(p, memory_format=torch.contiguous_format) for _ in range(4))
            inputs = _flat(p, g, first, second, d_p, d_m, d_v)
            adam_backward(*inputs, *_numbers(p, ctx.constants), *_flat(*grads))
        else:
            grads = adam_backward_in_bulk(p, g, first, second, d_p, d_m, d_v, ctx.constants)
        return (*grads, None)


def adam_backward_in_bulk(
    p: Tensor,
    g: Tensor,
    first: Tensor,
    second: Tensor,
    d_p: Tensor,
    d_m: Tensor,
    d_v: Tensor,
    constants: tuple[float, ...],
) -> Tensors:
    """What the kernel ``adam_backward`` does, for any device."""
    rate, beta1, beta2, root, eps, decay, _ = constants
    full, deviation = g + decay * p, second.sqrt()
    below = 1 / (deviation / root + eps)
    d_first = d_m - d_p * rate * below
    slope = torch.where(deviation > 0, rate * first * below.square() / (2 * root * deviation), 0.0)
    d_second = d_v + d_p * slope
    d_g = (1 - beta1) * d_first + 2 * (1 - beta2) * full * d_second
    return d_p + decay * d_g, beta1 * d_first, beta2 * d_second, d_g


def _flat(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().view(-1).numpy() for tensor in tensors]


def _numbers(tensor: Tensor, values: tuple[float, ...]) -> list[Any]:
    kind = np.float32 if tensor.dtype == torch.float32 else np.float64
    return [kind(value) for value in values]


def unroll(
    optimizer: Optimizer,
    gradient: InnerGradient,
    params: Tensors,
    outer: Tensor,
    steps: int,
    differentiable: int,
    segment: int | None = None,
) -> Tensors:
    """Take ``steps`` steps from ``params``; the last ``differentiable`` of them are differentiable in ``outer``.

    With no differentiable step the result does not depend on ``outer``, as in the paper's equation 9 with tau = 0.

    Args:
        optimizer: The rule.
        gradient: The inner problem; must be differentiable once.
        params: Where to start.
        outer: The tensor of the outer problem.
        steps: Steps in all.
        differentiable: How many of the last steps are differentiated, 0 to ``steps``.
        segment: Keep only the state before every ``segment``-th differentiable step and run the steps between again
            on the way back: less memory, one more run, the same gradient. None keeps everything.
    """
    n, first = len(params), steps - differentiable
    state = optimizer.start(tuple(p.detach() for p in params))
    with torch.no_grad():  # eq. 9 leaves out these terms of the sum in eq. 7
        state = _run(optimizer, gradient, n, 0, first, outer.detach(), state)
    for start in range(first, steps, segment or max(differentiable, 1)):
        stop = min(start + (segment or differentiable), steps)
        if segment is None:
            state = _run(optimizer, gradient, n, start, stop, outer, state)
        else:
            state = _Segment.apply(optimizer, gradient, n, start, stop, outer, *state)
    return state[:n]


def _run(
    optimizer: Optimizer, gradient: InnerGradient, n: int, start: int, stop: int, outer: Tensor, state: Tensors
) -> Tensors:
    for number in range(start, stop):
        state = optimizer.step(number, state, gradient(number, state[:n], outer))
    return state


class _Segment(torch.autograd.Function):
    """Some steps that are run again when their derivative is wanted."""

    @staticmethod
    def forward(
        ctx: Any,
        optimizer: Optimizer,
        gradient: InnerGradient,
        n: int,
        start: int,
        stop: int,
        outer: Tensor,
        *state: Tensor,
    ) -> Tensors:
        ctx.run = optimizer, gradient, n, start, stop
        ctx.save_for_backward(outer, *state)
        return _run(optimizer, gradient, n, start, stop, outer, state)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        inputs = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
        with torch.enable_grad():
            optimizer, gradient, n, start, stop = ctx.run
            outputs = _run(optimizer, gradient, n, start, stop, inputs[0], tuple(inputs[1:]))
        return (*[None] * 5, *torch.autograd.grad(outputs, inputs, cotangents, allow_unused=True))
