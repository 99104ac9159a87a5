"""Weighted squared loss over a whole users x items matrix, its gradient and its curvature, without that matrix.

With weight w on observed cells (value 1) and 1 elsewhere (value 0), r = p.q and S the sparse matrix of s = 2 [(w - 1)
r - w],

    sum over all cells of w (x - r)^2  =  tr((P'P) (Q'Q)) + sum over observed cells of [w (1 - r)^2 - r^2]
    gradient                           :  2 P (Q'Q) + S Q,  2 Q (P'P) + S'P
    Hessian times (V_P, V_Q)           :  2 V_P (Q'Q) + 2 P (V_Q'Q + Q'V_Q) + S V_Q + dS Q,  and its mirror for Q,

with ds = 2 (w - 1) (v_p.q + p.v_q). The Hessian is symmetric, so its product with a vector is also the backward pass
of the gradient: differentiating through any number of optimiser steps costs a few sparse passes a step. Equations in
comments are those of the injection paper (Tang, Wen and Wang 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recpoison.algebra.gram_kernels import add_observed_curvature, add_observed_gradient, observed_value
from recpoison.algebra.observed import Observed


def whole_matrix_loss(
    left: Tensor, right: Tensor, observed: Observed, weight: float, dense: Tensor | None = None
) -> Tensor:
    """Sum of w (x - left right')^2 over all cells; may be differentiated twice.

    Rows of ``left`` beyond those of ``observed`` are the rows of ``dense``: few, and differentiable in their values.
    As in the authors' code the weight of a dense cell is ``weight`` where its value is positive, else 1, and is not
    differentiated: the value inside the square is the only way from a fake user's row to the model.

    Args:
        left: ``(n_rows + n_dense, size)``.
        right: ``(n_columns, size)``.
        observed: Ones of the first ``n_rows`` rows.
        weight: Weight of a one, at least 1.
        dense: ``(n_dense, n_columns)`` values of the last rows.
    """
    return _Loss.apply(left, right, _or_nothing(dense, right), observed, weight)


def whole_matrix_gradient(
    left: Tensor, right: Tensor, observed: Observed, weight: float, dense: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Gradient of ``whole_matrix_loss`` in ``left`` and ``right``; may be differentiated once, in ``dense`` too."""
    g_left, g_right, _ = _Gradient.apply(left, right, _or_nothing(dense, right), observed, weight)
    return g_left, g_right


class _Loss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor, dense: Tensor, observed: Observed, weight: float) -> Tensor:
        ctx.save_for_backward(left, right, dense)
        ctx.observed, ctx.weight = observed, weight
        real, fake = left[: observed.n_rows], left[observed.n_rows :]  # eq. 5: P and F, without the regulariser
        value = ((real.T @ real) * (right.T @ right)).sum() + _observed_value(real, right, observed, weight)
        return value + (_weights(dense, weight) * (dense - fake @ right.T).square()).sum()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        parts = _Gradient.apply(*ctx.saved_tensors, ctx.observed, ctx.weight)
        return (*(grad * part for part in parts), None, None)


class _Gradient(torch.autograd.Function):
    """The gradient as a function of its own; its backward pass is the Hessian-vector product."""

    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, dense: Tensor, observed: Observed, weight: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(left, right, dense)
        ctx.observed, ctx.weight = observed, weight
        n = observed.n_rows
        real, fake = left[:n], left[n:]
        g_left = torch.empty_like(left, memory_format=torch.contiguous_format)
        torch.mm(real, 2 * (right.T @ right), out=g_left[:n])
        g_right = right @ (2 * (real.T @ real))
        sums = (g_left[:n], g_right)
        _add_over_cells(add_observed_gradient, add_gradient_in_bulk, (real, right), observed, weight, sums)
        slopes = (fake @ right.T).sub_(dense).mul_(_weights(dense, weight)).mul_(2)
        torch.mm(slopes, right, out=g_left[n:])
        g_right.addmm_(slopes.T, fake)
        return g_left, g_right, -slopes  # the derivative in x is minus that in r

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v_left: Tensor, v_right: Tensor, v_dense: Tensor) -> tuple[Any, ...]:
        # both second derivatives: in the tables (eq. 8), and in the tables and ``dense`` (eq. 6)
        left, right, dense = ctx.saved_tensors
        observed, weight, n = ctx.observed, ctx.weight, ctx.observed.n_rows
        real, fake, v_real, v_fake = left[:n], left[n:], v_left[:n], v_left[n:]
        h_left = torch.empty_like(left, memory_format=torch.contiguous_format)
        torch.mm(v_real, 2 * (right.T @ right), out=h_left[:n])
        h_left[:n].addmm_(real, _symmetric(v_right.T @ right))
        h_right = v_right @ (2 * (real.T @ real))
        h_right.addmm_(right, _symmetric(v_real.T @ real))
        tables, sums = (real, right, v_real, v_right), (h_left[:n], h_right)
        _add_over_cells(add_observed_curvature, add_curvature_in_bulk, tables, observed, weight, sums)
        weights = _weights(dense, weight).mul_(2)
        slopes = (fake @ right.T).sub_(dense).mul_(weights)
        changes = (v_fake @ right.T).addmm_(fake, v_right.T).sub_(v_dense).mul_(weights)
        torch.mm(slopes, v_right, out=h_left[n:]).addmm_(changes, right)
        h_right.addmm_(slopes.T, v_fake).addmm_(changes.T, fake)
        return h_left, h_right, changes.neg_(), None, None


def _or_nothing(dense: Tensor | None, right: Tensor) -> Tensor:
    return right.new_zeros(0, len(right)) if dense is None else dense


def _weights(dense: Tensor, weight: float) -> Tensor:
    return torch.where(dense > 0, weight, 1.0).to(dense.dtype)


def _symmetric(matrix: Tensor) -> Tensor:
    return 2 * (matrix + matrix.T)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    """Views for a kernel."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _numbers(tensor: Tensor, *values: float) -> list[Any]:
    """``values`` in the precision of ``tensor``, so that a kernel does not widen its loops."""
    kind = np.float32 if tensor.dtype == torch.float32 else np.float64
    return [kind(value) for value in values]


def _observed_value(left: Tensor, right: Tensor, observed: Observed, weight: float) -> Tensor:
    if left.device.type == "cpu":
        arrays = _arrays(left, right, observed.indptr, observed.indices)
        return left.new_tensor(observed_value(*arrays, *_numbers(left, weight)))
    r = observed.products(left, right)
    return (weight * (1 - r).square() - r.square()).sum()


def _add_over_cells(
    kernel: Callable[..., None],
    in_bulk: Callable[..., None],
    tables: Sequence[Tensor],
    observed: Observed,
    weight: float,
    sums: Sequence[Tensor],
) -> None:
    """Add what the observed cells contribute to ``sums``: by the kernel on a CPU, else by what does the same."""
    if tables[0].device.type == "cpu":
        arrays = _arrays(*tables, observed.indptr, observed.indices)
        kernel(*arrays, *_numbers(tables[0], 2 * (weight - 1), 2 * weight), *_arrays(*sums))
    else:
        in_bulk(*tables, observed, weight, *sums)


def add_gradient_in_bulk(
    left: Tensor, right: Tensor, observed: Observed, weight: float, g_left: Tensor, g_right: Tensor
) -> None:
    """What the kernel of this name does, for any device."""
    slopes = observed.products(left, right).mul_(2 * (weight - 1)).sub_(2 * weight)
    by_column, order = observed.transposed
    g_left += observed.times(slopes, right)
    g_right += by_column.times(slopes[order], left)


def add_curvature_in_bulk(
    left: Tensor,
    right: Tensor,
    v_left: Tensor,
    v_right: Tensor,
    observed: Observed,
    weight: float,
    h_left: Tensor,
    h_right: Tensor,
) -> None:
    """What the kernel of this name does, for any device."""
    slopes = observed.products(left, right).mul_(2 * (weight - 1)).sub_(2 * weight)
    changes = observed.products(v_left, right).add_(observed.products(left, v_right)).mul_(2 * (weight - 1))
    by_column, order = observed.transposed
    h_left += observed.times(slopes, v_right) + observed.times(changes, right)
    h_right += by_column.times(slopes[order], v_left) + by_column.times(changes[order], left)
