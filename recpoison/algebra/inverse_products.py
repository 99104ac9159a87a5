"""The product of an inverse matrix and a vector, from products of the matrix alone.

The matrix is symmetric, such as the damped curvature of ``recpoison.algebra.curvature``; vectors are tensors of any
shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from recpoison.errors import UserError


class NotSolved(UserError):
    """A matrix is not of the kind that a method can invert."""


class Solution(NamedTuple):
    """What conjugate gradient found.

    Args:
        x: The solution, of the shape of b.
        residual: Length of b - A x as a share of that of b.
        iterations: Products taken.
    """

    x: Tensor
    residual: float
    iterations: int


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], b: Tensor, tolerance: float, max_iterations: int, damping: str = "damping"
) -> Solution:
    """Solve A x = b for a symmetric A without a negative eigenvalue (Hestenes and Stiefel 1952).

    Args:
        product: Maps v to A v.
        b: Right-hand side.
        tolerance: Residual, as a share of the length of b, at which it stops.
        max_iterations: Products at most; the residual of the solution tells whether they were enough.
        damping: What the user calls the number on A's diagonal, for the error.

    Raises:
        NotSolved: If A is negative along a direction taken.
    """
    x, rest = torch.zeros_like(b), b.clone()
    direction, square = rest.clone(), _dot(rest, rest)
    start, iterations = square, 0
    while iterations < max_iterations and square > tolerance**2 * start:
        along = product(direction)
        bend = _dot(direction, along)
        if not bend > 0:
            raise NotSolved(
                f"the curvature is negative ({bend / _dot(direction, direction):.2g}) along a direction that conjugate "
                f"gradient takes: raise {damping} by more than that, or choose gauss_newton, which is never negative"
            )
        step = square / bend
        x.add_(direction, alpha=step)
        rest.sub_(along, alpha=step)
        square, before = _dot(rest, rest), square
        direction.mul_(square / before).add_(rest)
        iterations += 1
    return Solution(x, (square / start) ** 0.5 if start else 0.0, iterations)


def lissa(
    product: Callable[[Tensor, int], Tensor],
    b: Tensor,
    scale: float,
    iterations: int,
    settings: tuple[str, str] = ("scale", "damping"),
) -> Tensor:
    """The first ``iterations`` terms of the Neumann series of A x = b (Agarwal, Bullins and Hazan, JMLR 2017, LiSSA).

    From x = b, each step is x <- b + x - A x / scale; the answer is x / scale. A step may take the product with a
    batch's matrix in place of A. It converges where all eigenvalues of A lie between 0 and twice ``scale``; then x is
    never longer than steps times b, and what grows beyond twice that is told to diverge.

    Args:
        product: Maps (v, number of the step) to A v.
        b: Right-hand side.
        scale: Divides A; above half of its largest eigenvalue.
        iterations: Steps.
        settings: What the user calls the scale, and the number on A's diagonal, for the error.

    Raises:
        NotSolved: If it diverges.
    """
    x, length = b.clone(), b.norm().item()
    for number in range(iterations):
        x.sub_(product(x, number), alpha=1 / scale).add_(b)
        if number % 10 == 9 or number == iterations - 1:
            grown = x.norm().item()
            if not grown <= 2 * (number + 2) * length:
                raise NotSolved(
                    f"LiSSA diverges (its vector is {grown / length:.2g} times as long as at its start after "
                    f"{number + 1} iterations): raise {settings[0]}, now {scale:g}, above half of the curvature's "
                    f"largest eigenvalue, or {settings[1]} where the curvature is negative"
                )
    return x / scale


def _dot(one: Tensor, other: Tensor) -> float:
    return float((one.double() * other).sum())
