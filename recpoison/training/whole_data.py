"""A training loss over all data and its gradient, in chunks: what attacks on a fitted model climb."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.models.base import DataLoss, Params
from recpoison.seeds import Seeds
from recpoison.training.pair_blocks import BLOCK, PairBlocks, add_bpr_gradient
from recpoison.training.ratings import shares_of_scale

Batch = tuple[Tensor, ...]
Loss = Callable[[Params, Batch], Tensor]


class ChunkedLoss(DataLoss):
    """Any loss by autograd, a chunk at a time: peak memory is one chunk's.

    Args:
        loss: Sum over a batch.
        chunks: Maps a draw to the batches, which hold every training example once.
    """

    def __init__(self, loss: Loss, chunks: Callable[[int], Iterator[Batch]]) -> None:
        self.loss, self.chunks = loss, chunks

    def gradient(self, params: Params, draw: int = 0) -> tuple[float, Params]:
        """Sums over the chunks of draw ``draw``."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in params.items()}
        gradient = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
        total = torch.zeros((), dtype=torch.float64, device=next(iter(params.values())).device)
        for batch in self.chunks(draw):
            loss = self.loss(leaves, batch)
            for sums, part in zip(
                gradient.values(), torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True), strict=True
            ):
                sums += part
            total += loss.detach()
        return float(total), gradient


class BPRDataLoss(DataLoss):
    """BPR of two tables named ``user`` and ``item``: every training pair with one negative.

    By a kernel where the tables are on a CPU, else by autograd on the same triples.

    Args:
        data: Training data.
        seeds: Where negatives come from.
        device: Where batches go.
        loss: The model's loss, a sum, for devices without a kernel.
        regularization: As in ``loss``.
    """

    def __init__(
        self, data: Interactions, seeds: Seeds, device: torch.device, loss: Loss, regularization: float = 0.0
    ) -> None:
        self.blocks, self.device, self.regularization = PairBlocks(data, seeds), device, regularization
        self.plain = ChunkedLoss(loss, self.chunks)

    def chunks(self, draw: int) -> Iterator[Batch]:
        """Users, positives and negatives of each block, as the model's loss takes them."""
        for triples in self.blocks.draw(draw):
            yield tuple(torch.from_numpy(column).to(self.device, torch.int64, non_blocking=True) for column in triples)

    def gradient(self, params: Params, draw: int = 0) -> tuple[float, Params]:
        """The sum over all pairs, and its gradient."""
        if params["user"].device.type != "cpu":
            return self.plain.gradient(params, draw)
        tables = [params[name].detach().contiguous().numpy() for name in ("user", "item")]
        gradients = [np.zeros_like(table) for table in tables]
        weight, total = tables[0].dtype.type(self.regularization), 0.0
        for block in self.blocks.draw(draw):
            arguments = (*tables, *block, weight, *gradients)
            total += float(add_bpr_gradient(*arguments))
        return total, {name: torch.from_numpy(g) for name, g in zip(("user", "item"), gradients, strict=True)}


def rating_chunks(data: Interactions, device: torch.device) -> Iterator[Batch]:
    """Users, items and ratings as shares of the scale's maximum, ``BLOCK`` rows of ``data`` at a time."""
    for start in range(0, len(data), BLOCK):
        rows = data.take(np.arange(start, min(start + BLOCK, len(data))))
        columns = (rows.users, rows.items, shares_of_scale(rows).astype(np.float32))
        yield tuple(torch.from_numpy(np.array(column)).to(device, non_blocking=True) for column in columns)
