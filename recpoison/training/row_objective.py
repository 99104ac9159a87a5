"""Losses of a positive and several negatives, and steps of only the rows that a batch touches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.models.base import Params
from recpoison.seeds import Seeds
from recpoison.training.optimizers import State, gather, slots, step, write_back
from recpoison.training.sampling import DevicePairs, Pairs
from recpoison.training.trainer import BatchObjective, Trainer

Batch = tuple[Tensor, ...]
TABLES = ("user", "item")


class RowObjective(BatchObjective):
    """Any loss of tables named ``user`` and ``item`` and of small dense parameters, by autograd.

    A batch's rows are gathered into compact tables, the loss is taken of these, and the stepped rows are written back:
    at 13,149 x 14,007 and batches of 512 with 5 negatives that is an eighth of the numbers. For SGD and Adagrad the
    result is that of steps on whole tables, because a row without a gradient does not move. Adam moves it; with
    ``rows_only`` it does not, and neither do its moments: the rule of ``torch.optim.SparseAdam``.

    Args:
        data: Training data; pairs count once, ratings are not looked at.
        seeds: Streams ``epoch/0``, ``epoch/1``, ...
        loss: Sum over a batch, as ``GradientModel.loss``; must not depend on the tables' heights.
        model: Whose loss it is, to be known by.
        n_negatives: Unseen items drawn for each positive, afresh in every epoch.
        rows_only: Whether rows outside a batch stay.
        max_norm: Length to which longer rows are scaled after a step; None: they may have any.
        words: Whether batches also hold a random number of 32 bits for each positive and negative, for dropout.
    """

    def __init__(
        self,
        data: Interactions,
        seeds: Seeds,
        loss: Callable[[Params, Batch], Tensor],
        model: object,
        n_negatives: int,
        rows_only: bool = True,
        max_norm: float | None = None,
        words: bool = False,
    ) -> None:
        self.data, self.seeds, self.loss, self.model = data, seeds, loss, model
        self.n_negatives, self.rows_only, self.max_norm, self.words = n_negatives, rows_only, max_norm, words
        self.pairs = Pairs.of(data)
        self._on_device: DevicePairs | None = None

    def inputs(self) -> object:
        """Data, stream and model."""
        return self.data, self.seeds, self.model

    def n_rows(self, trainer: Trainer) -> int:
        """Pairs of an epoch: all, or the whole batches of them."""
        return trainer.n_rows(len(self.pairs))

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[Batch]:
        """Users and positives of each batch, ``(batch_size,)``, negatives ``(batch_size, n_negatives)``, and words."""
        if self._on_device is None or self._on_device.users.device != device:
            self._on_device = DevicePairs.of(self.pairs, device)
        columns: Batch = self._on_device.epoch_with(self.seeds, epoch, self.n_negatives)
        if self.words:
            shape = len(columns[0]), 1 + self.n_negatives
            generator = self.seeds.torch("dropout", epoch, device=device)
            columns = *columns, torch.randint(1 << 32, shape, generator=generator, device=device)
        n_rows = self.n_rows(trainer)
        for start in range(0, n_rows, trainer.batch_size):
            yield tuple(column[start : min(start + trainer.batch_size, n_rows)] for column in columns)

    def moved_rows(self, batch: Batch) -> dict[str, Tensor]:
        """With ``rows_only`` those that the batch speaks of."""
        return _compact(batch)[0] if self.rows_only else {}

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One step for each batch; returns the mean loss of a positive with its negatives."""
        device = state["param.user"].device
        total = torch.zeros((), device=device)
        for batch in self.batches(trainer, epoch, device):
            rows, alike, batch = _compact(batch) if self.rows_only else ({}, {}, batch)
            part = gather(state, rows)
            leaves = {name: tensor.detach().requires_grad_() for name, tensor in slots(part, "param").items()}
            loss = self.loss(leaves, batch)
            gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
            gradients |= {name: gradients[name].index_select(0, places) for name, places in alike.items()}
            step(trainer.optimizer, part, gradients, trainer.learning_rate, trainer.eps)
            if self.max_norm is not None:
                for name in TABLES:
                    shorten(part[f"param.{name}"], self.max_norm)
            write_back(state, part, rows)
            total += loss.detach()
        return float(total) / self.n_rows(trainer)


def only_for_adam(trainer: Trainer) -> dict[str, str]:
    """Why a model's ``rows_only`` may be idle."""
    if trainer.optimizer == "adam":
        return {}
    return {"rows_only": f"trainer.optimizer is {trainer.optimizer}, which never moves rows without a gradient"}


def _compact(batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor], Batch]:
    """The rows of each table, ascending, where to take the gradient of each, and the batch in terms of the rows.

    Further columns stay. On a CPU rows are distinct, and each has its own gradient.
    """
    users, positives, negatives, *others = batch
    if users.device.type == "cpu":
        user_rows, users = torch.unique(users, return_inverse=True)
        item_rows, items = torch.unique(torch.cat([positives, negatives.flatten()]), return_inverse=True)
        alike: dict[str, Tensor] = {}
    else:
        user_rows, users, of_users = padded_unique(users)
        item_rows, items, of_items = padded_unique(torch.cat([positives, negatives.flatten()]))
        alike = {"user": of_users, "item": of_items}
    n = len(positives)
    rows = {"user": user_rows, "item": item_rows}
    return rows, alike, (users, items[:n], items[n:].view(n, -1), *others)


def padded_unique(numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As ``torch.unique`` with its inverse, but as long as ``numbers``, so that no host waits to know how many.

    The first of the distinct numbers fills the places that are left. Third is the place of each: its own, and 0 for
    those that fill.
    """
    ascending, order = numbers.sort()
    rank = torch.zeros_like(ascending)
    rank[1:] = (ascending[1:] != ascending[:-1]).cumsum(0)
    inverse = torch.empty_like(rank).scatter_(0, order, rank)
    distinct = ascending[:1].repeat(len(numbers)).scatter_(0, rank, ascending)
    places = torch.arange(len(numbers), device=numbers.device)
    return distinct, inverse, places * (places <= rank[-1:])


def shorten(table: Tensor, max_norm: float) -> None:
    """Scale the longer rows of ``table`` to ``max_norm``, in place."""
    table.mul_(max_norm / table.norm(dim=1, keepdim=True).clamp_min(max_norm))
