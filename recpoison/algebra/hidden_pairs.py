"""A network on all pairs of a user and an item, when its first layer is a sum of a user's part and an item's part."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit
from torch import Tensor

BLOCK = 512  # items whose parts stay in the second-level cache while all users pass
CELLS = 1 << 18  # hidden numbers at a time on a CPU, 1 MiB
DEVICE_CELLS = 1 << 26
FAST = {"reassoc", "contract", "arcp", "afn", "nsz"}  # what is not a number must stay visible


def pair_scores(users: Tensor, items: Tensor, layers: list[tuple[Tensor, Tensor]], output: Tensor) -> Tensor:
    """``(n_users, n_items)``: relu(users + items), then each of ``layers``, then the dot product with ``output``.

    Never more than a block of hidden numbers at once. With no further layer a pair costs three operations a hidden
    unit, by one kernel on a CPU: 13,149 x 14,007 pairs with 128 units are 7e10 of them. Differentiable.

    Args:
        users: ``(n_users, width)``, the users' part of the first layer.
        items: ``(n_items, width)``, the items'.
        layers: Weights ``(out, in)`` and biases ``(out,)`` of the layers after the first, each followed by a relu.
        output: ``(width of the last layer,)``.
    """
    learning = torch.is_grad_enabled() and any(t.requires_grad for t in (users, items, output, *sum(layers, ())))
    if not layers and not learning and users.device.type == "cpu" and users.dtype == torch.float32:
        scores = np.empty((len(users), len(items)), dtype=np.float32)
        rows, columns, weights = (part.detach().contiguous().numpy() for part in (users, items, output))
        _one_layer(rows, columns, weights, scores)
        return torch.from_numpy(scores)
    cells = CELLS if users.device.type == "cpu" else DEVICE_CELLS
    width = max(1, cells // max(1, users.numel()))
    return torch.cat([_block(users, part, layers, output) for part in items.split(width)], dim=1)


def _block(users: Tensor, items: Tensor, layers: list[tuple[Tensor, Tensor]], output: Tensor) -> Tensor:
    hidden = torch.relu(users.unsqueeze(1) + items)
    for weights, bias in layers:
        hidden = torch.relu(hidden @ weights.T + bias)
    return hidden @ output


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
