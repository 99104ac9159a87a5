"""How a gradient becomes a perturbation of tables, and how a perturbation is kept within its bound.

Functions of named tables ``(n_rows, size)``: attacks shift a fitted model by them, adversarial training perturbs a
batch. Nothing is changed in place.
"""

from __future__ import annotations

import torch
from torch import Tensor

Tables = dict[str, Tensor]

DIRECTIONS = ("row_l2", "matrix_l2", "sign", "value")
PROJECTIONS = ("box", "row_l2", "none")


def row_lengths(table: Tensor) -> Tensor:
    """L2 norm of each row, ``(n_rows,)``; right also where squares would underflow."""
    largest = table.abs().amax(1).clamp_min(torch.finfo(table.dtype).tiny)
    return largest * (table / largest.unsqueeze(1)).norm(dim=1)


def direction(gradient: Tables, kind: str) -> Tables:
    """A step of size 1 up the ``gradient``.

    - ``row_l2``: each row divided by its own L2 norm (the code of the APR and MSAP authors, not a sign method);
    - ``matrix_l2``: all tables divided by their common L2 norm (equation 4 of MSAP as it is written);
    - ``sign``: the sign of each number (Goodfellow et al. 2015; equation 5 of the APR report);
    - ``value``: the gradient itself (the "fast gradient value" of the APR report), so that 1 is no size.

    A row without a gradient stays exactly 0. Departure: TensorFlow's ``l2_normalize`` shortens rows whose norm is below
    1e-6; here every other row has norm 1, whatever the scale of the loss.
    """
    if kind == "row_l2":
        return {name: _unit_rows(table) for name, table in gradient.items()}
    if kind == "matrix_l2":
        length = torch.stack([table.norm() for table in gradient.values()]).norm()
        return {name: table / length.clamp_min(torch.finfo(table.dtype).tiny) for name, table in gradient.items()}
    if kind == "sign":
        return {name: table.sign() for name, table in gradient.items()}
    if kind == "value":
        return {name: table.clone() for name, table in gradient.items()}
    raise ValueError(f"{kind!r} is no direction: choose one of {', '.join(DIRECTIONS)}")


def _unit_rows(table: Tensor) -> Tensor:
    tiny = torch.finfo(table.dtype).tiny
    scaled = table / table.abs().amax(1, keepdim=True).clamp_min(tiny)
    return scaled / scaled.norm(dim=1, keepdim=True).clamp_min(tiny)


def project(shift: Tables, epsilon: float, kind: str) -> Tables:
    """The nearest shift within the bound ``epsilon``.

    - ``box``: every number within [-epsilon, epsilon] (the MSAP authors; a row may be epsilon sqrt(size) long);
    - ``row_l2``: every row at most ``epsilon`` long;
    - ``none``: no bound.
    """
    if kind == "box":
        return {name: table.clamp(-epsilon, epsilon) for name, table in shift.items()}
    if kind == "row_l2":
        return {name: _short_rows(table, epsilon) for name, table in shift.items()}
    if kind == "none":
        return dict(shift)
    raise ValueError(f"{kind!r} is no projection: choose one of {', '.join(PROJECTIONS)}")


def _short_rows(table: Tensor, epsilon: float) -> Tensor:
    lengths = row_lengths(table).unsqueeze(1)
    return torch.where(lengths > epsilon, table * (epsilon / lengths.clamp_min(torch.finfo(table.dtype).tiny)), table)
