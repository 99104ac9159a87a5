"""Initial embedding tables, drawn row after row: one with more rows (fake users) begins with the same ones."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import ndtr, ndtri
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.seeds import Seeds

CUT = 2.0  # standard deviations at which TensorFlow truncates


def truncated_normal(generator: np.random.Generator, rows: int, size: int, std: float) -> Tensor:
    """``(rows, size)`` float32 from N(0, std²) cut at two standard deviations: what comes out has 0.88 std."""
    share = generator.random((rows, size))
    return _table(std * ndtri(ndtr(-CUT) + share * (ndtr(CUT) - ndtr(-CUT))))


def normal(generator: np.random.Generator, rows: int, size: int, std: float) -> Tensor:
    """``(rows, size)`` float32 from N(0, std²)."""
    return _table(std * generator.standard_normal((rows, size)))


def xavier(generator: np.random.Generator, rows: int, size: int, n_items: int) -> Tensor:
    """``(rows, size)`` float32, uniform within ±sqrt(6 / (n_items + size)) (Glorot and Bengio 2010).

    The bound is the item table's for users too: the user table's own would shrink as fake users come, and with it the
    initial values of real ones.
    """
    return uniform(generator, (rows, size), math.sqrt(6 / (n_items + size)))


def glorot(generator: np.random.Generator, shape: tuple[int, int]) -> Tensor:
    """Weights of a layer, float32, uniform within ±sqrt(6 / (fan-in + fan-out)) (Glorot and Bengio 2010)."""
    return uniform(generator, shape, math.sqrt(6 / sum(shape)))


def uniform(generator: np.random.Generator, shape: tuple[int, ...], bound: float) -> Tensor:
    """``shape`` float32 between ``-bound`` and ``bound``."""
    return _table(bound * (2 * generator.random(shape) - 1))


def factor_tables(initial: str, data: Interactions, size: int, std: float, seeds: Seeds) -> dict[str, Tensor]:
    """Tables ``user`` ``(n_users, size)`` and ``item`` ``(n_items, size)``, each from its own stream of ``init``.

    Args:
        initial: ``truncated_normal``, ``normal``, ``xavier`` or ``xavier_own`` (within each table's own bound).
        data: Says how many rows there are.
        size: Length of an embedding.
        std: Standard deviation, of the two normal ones alone.
        seeds: The fit's.
    """
    tables = {}
    for name, rows in (("user", data.n_users), ("item", data.n_items)):
        generator = seeds.child("init").numpy(name)
        if initial in ("normal", "truncated_normal"):
            draw = normal if initial == "normal" else truncated_normal
            tables[name] = draw(generator, rows, size, std)
        else:
            tables[name] = xavier(generator, rows, size, rows if initial == "xavier_own" else data.n_items)
    return tables


def _table(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
