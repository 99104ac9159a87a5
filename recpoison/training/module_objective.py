"""Batches of pairs, triples or ratings for a ``torch.nn.Module``, and how an epoch minimises its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recpoison.data.interactions import Interactions
from recpoison.models.base import Params
from recpoison.seeds import Seeds
from recpoison.training.objectives import LossObjective
from recpoison.training.optimizers import State, slots
from recpoison.training.sampling import DevicePairs, Pairs
from recpoison.training.trainer import BatchObjective, Trainer

FORMS = ("triples", "pairs", "ratings")


class ModuleBatch(tuple[Tensor, ...]):
    """Columns of a batch, and what a pure loss needs beside the parameters.

    Attributes:
        module: Whose ``forward`` is called with the parameters.
        seed: Of what the module itself leaves to chance, such as dropout; None where it is not being trained.
    """

    module: nn.Module
    seed: int | None

    @staticmethod
    def of(columns: Sequence[Tensor], module: nn.Module, seed: int | None) -> ModuleBatch:
        """A batch of ``columns``."""
        batch = ModuleBatch(columns)
        batch.module, batch.seed = module, seed
        return batch


class Columns:
    """What an epoch walks: users and items, int64, and a third column by form.

    - ``triples``: an unseen item of each user;
    - ``pairs``: 1 for what the user has, 0 for each of ``negatives`` unseen items that follow it;
    - ``ratings``: the values as in the data, in random order, and nothing that is not in the data.

    Args:
        form: Which.
        data: Training data; pairs count once but in ``ratings``.
        seeds: Streams ``epoch/0``, ``epoch/1``, ...
        negatives: Unseen items a positive in ``pairs``.
        device: Where columns go.
    """

    def __init__(self, form: str, data: Interactions, seeds: Seeds, negatives: int, device: torch.device) -> None:
        self.form, self.data, self.seeds, self.negatives, self.device = form, data, seeds, negatives, device
        if form == "ratings":
            order = np.lexsort((data.values, data.items, data.users))
            self.rows = data.take(order)
        else:
            self.pairs = DevicePairs.of(Pairs.of(data), device)

    def __len__(self) -> int:
        """Positives, or ratings."""
        return len(self.rows) if self.form == "ratings" else len(self.pairs.users)

    def draw(self, epoch: int, size: int, n: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The first ``n`` positives or ratings of an epoch, ``size`` a batch."""
        columns = self._whole(epoch)
        for start in range(0, n, size):
            users, items, others = (column[start : min(start + size, n)] for column in columns)
            yield self._labelled(users, items, others) if self.form == "pairs" else (users, items, others)

    def _whole(self, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        if self.form == "triples":
            return self.pairs.epoch(self.seeds, epoch)
        if self.form == "pairs":
            return self.pairs.epoch_with(self.seeds, epoch, self.negatives)
        rows = self.rows.take(self.seeds.numpy("epoch", epoch).permutation(len(self.rows)))
        columns = (rows.users, rows.items, rows.values.astype(np.float32))
        users, items, values = (torch.from_numpy(np.array(column)).to(self.device) for column in columns)
        return users, items, values

    def _labelled(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        items = torch.cat([positives.unsqueeze(1), negatives], dim=1)
        labels = torch.zeros(items.shape, device=items.device)
        labels[:, 0] = 1
        return users.repeat_interleave(items.shape[1]), items.flatten(), labels.flatten()


class ModuleObjective(BatchObjective):
    """A module's loss by autograd, with a step on whole tables for each batch.

    Args:
        model: Whose loss it is, to be known by.
        loss: Sum over a batch, as ``GradientModel.loss``.
        module: Whose ``forward`` it calls, on the device of the columns.
        columns: What an epoch walks; its stream is the objective's.
    """

    def __init__(
        self, model: object, loss: Callable[[Params, tuple[Tensor, ...]], Tensor], module: nn.Module, columns: Columns
    ) -> None:
        self.model, self.loss, self.module, self.columns, self.seeds = model, loss, module, columns, columns.seeds

    def inputs(self) -> object:
        """Data, stream and model."""
        return self.columns.data, self.seeds, self.model

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[ModuleBatch]:
        """The epoch's columns, with a seed a batch for the module's own draws."""
        n_rows = trainer.n_rows(len(self.columns))
        for number, columns in enumerate(self.columns.draw(epoch, trainer.batch_size, n_rows)):
            yield ModuleBatch.of(columns, self.module, self.seeds.integer("module", epoch, number))

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One step for each batch; returns the mean loss of a positive (with its negatives) or rating."""
        device = next(iter(slots(state, "param").values())).device
        plain = LossObjective(
            self.loss, lambda rule, number: self.batches(rule, number, device), trainer.n_rows(len(self.columns))
        )
        return plain.epoch(trainer, state, epoch)
