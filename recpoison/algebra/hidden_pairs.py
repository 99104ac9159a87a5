"""Networks on all pairs of a user and an item, whose first layer is a sum of a part of each, or takes their product."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numba import njit
from torch import Tensor

Layer = tuple[Tensor, Tensor]
"""Weights ``(out, in)`` and biases ``(out,)``."""

BLOCK = 512  # items whose parts stay in the second-level cache while all users pass
CELLS = 1 << 18  # hidden numbers at a time on a CPU, 1 MiB
DEVICE_CELLS = 1 << 26
FAST = {"reassoc", "contract", "arcp", "afn", "nsz"}  # what is not a number must stay visible


def pair_scores(
    users: Tensor,
    items: Tensor,
    layers: list[Layer],
    output: Tensor,
    activation: Callable[[Tensor], Tensor] = torch.relu,
) -> Tensor:
    """``(n_users, n_items)``: activation(users + items), then each of ``layers``, then the dot product with ``output``.

    Never more than a block of hidden numbers at once. With no further layer and relu a pair costs three operations a
    hidden unit, by one kernel on a CPU: 13,149 x 14,007 pairs with 128 units are 7e10 of them. Differentiable.

    Args:
        users: ``(n_users, width)``, the users' part of the first layer.
        items: ``(n_items, width)``, the items'.
        layers: Those after the first, each followed by the activation.
        output: ``(width of the last layer,)``.
        activation: Of each number.
    """
    learning = torch.is_grad_enabled() and any(t.requires_grad for t in (users, items, output, *sum(layers, ())))
    by_kernel = not layers and not learning and activation is torch.relu
    if by_kernel and users.device.type == "cpu" and users.dtype == torch.float32:
        scores = np.empty((len(users), len(items)), dtype=np.float32)
        rows, columns, weights = (part.detach().contiguous().numpy() for part in (users, items, output))
        _one_layer(rows, columns, weights, scores)
        return torch.from_numpy(scores)

    def block(part: Tensor) -> Tensor:
        hidden = activation(users.unsqueeze(1) + part)
        for weights, bias in layers:
            hidden = activation(hidden @ weights.T + bias)
        return hidden @ output

    return torch.cat([block(part) for part in _blocks(items, users.numel())], dim=1)


def product_scores(
    users: Tensor, items: Tensor, layers: list[Layer], output: Tensor, activation: Callable[[Tensor], Tensor]
) -> Tensor:
    """``(n_users, n_items)``: users * items through ``layers``, then the dot product with ``output``.

    W (p * q) is taken as (W * p) q: a user's own first layer, once for all items. Differentiable.

    Args:
        users: ``(n_users, size)``.
        items: ``(n_items, size)``.
        layers: One or more, each followed by the activation.
        output: ``(width of the last layer,)``.
        activation: Of each number.
    """
    first = (users.unsqueeze(1) * layers[0][0]).flatten(0, 1)

    def block(part: Tensor) -> Tensor:
        hidden = (first @ part.T).view(len(users), -1, len(part))  # users, units, items
        for number, (weights, bias) in enumerate(layers):
            hidden = activation((weights @ hidden if number else hidden) + bias.unsqueeze(1))
        return output @ hidden

    return torch.cat([block(part) for part in _blocks(items, len(first))], dim=1)


def _blocks(items: Tensor, numbers: int) -> tuple[Tensor, ...]:
    """``items`` in parts of which each makes, at so many ``numbers`` an item, no more than a block of them."""
    cells = CELLS if items.device.type == "cpu" else DEVICE_CELLS
    return items.split(max(1, cells // max(1, numbers)))


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _one_layer(users, items, output, scores):  # type: ignore[no-untyped-def]
    width = len(output)
    for start in range(0, len(items), BLOCK):
        for user in range(len(users)):
            p = users[user]
            for item in range(start, min(start + BLOCK, len(items))):
                q = items[item]
                total = np.float32(0)
                for k in range(width):
                    x = p[k] + q[k]
                    total += output[k] * (np.float32(0) if x < 0 else x)  # also where x is not a number
                scores[user, item] = total
