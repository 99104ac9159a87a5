"""What models share that are trained on the weighted squared loss over all cells, never built."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.algebra.unroll import Optimizer, Tensors
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.trained import TrainedModel
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.inner_problem import InnerProblem, first_tables
from recpoison.training.optimizers import State, slots
from recpoison.training.row_batches import RowBatches, Rows, functional_optimizer, step_functionally
from recpoison.training.trainer import BatchObjective, Trainer


@dataclass(frozen=True, kw_only=True)
class WholeMatrixModel(TrainedModel):
    """Every cell of users x items counts, a seen one ``weight`` times; learned attacks differentiate its training.

    Steps are taken by a functional optimiser on batches of rows: users or items, as the model says. Fake users may be
    given as dense values after the real users, in which gradient and scores are differentiable.

    Args:
        weight: Weight of a seen cell, at least 1.
        regularization: Weight of half the squared length of all parameters, added at every step (torch's
            ``weight_decay``).
        trainer: How the loss, a sum over the batch, is minimised; ``sgd`` or ``adam``.

    Raises:
        ConfigError: If a value is out of range.
    """

    reads_values: ClassVar[bool] = False

    weight: float = ranged(20.0, low=1.0, note=" (1: all cells alike)")
    regularization: float = ranged(0.0, low=0.0)
    trainer: Trainer

    def __post_init__(self) -> None:
        check_ranges(self, "model")
        if self.trainer.optimizer not in ("sgd", "adam"):
            raise ConfigError(f"model.trainer.optimizer is {self.trainer.optimizer!r}: this model takes sgd or adam")
        if self.trainer.backend == "numba":
            raise ConfigError("model.trainer.backend=numba trains on pairs, and this model on all cells: set auto")

    def idle(self, parts: Together) -> dict[str, str]:
        """There is one way to train it."""
        return super().idle(parts) | {"trainer.backend": f"{type(self).__name__} has no numba kernel"}

    @property
    @abstractmethod
    def parameters(self) -> tuple[str, ...]:
        """Names of what ``init`` gives; tables as tuples are in this order."""

    @property
    @abstractmethod
    def latent_size(self) -> int:
        """Numbers in which the model holds what a user likes."""

    @abstractmethod
    def by_row(self, seen: Observed) -> Observed:
        """``seen`` (users x items) with the rows of which batches are made."""

    @abstractmethod
    def gradient(self, tables: Tensors, seen: Observed, rows: Rows | None, dense: Tensor | None = None) -> Tensors:
        """Gradient of the loss of ``rows`` (ascending; None means all) in all tables; may be differentiated once.

        Args:
            tables: In the order of ``parameters``.
            seen: What the real users have seen.
            rows: Whose loss it is.
            dense: ``(n_fakes, n_items)`` values of the users after the real ones, where these are to be differentiated.
        """

    @abstractmethod
    def factors(self, tables: Tensors, seen: Observed, dense: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Real users' and items' vectors, whose dot products are the scores; differentiable in all that is given."""

    def kept_numbers(self, rows: int, n_fakes: int) -> int:
        """Numbers besides tables that a differentiated step on so many rows keeps, about."""
        return 0

    @property
    def optimizer(self) -> Optimizer:
        """The trainer's rule as a function."""
        return functional_optimizer(self.trainer, self.regularization)

    def batches(self, seen: Observed, n_fakes: int, seeds: Seeds) -> RowBatches:
        """The batches of a fit on the real users ``seen`` and ``n_fakes`` more; draws from ``seeds``."""
        n_users = seen.n_rows + n_fakes
        by_users = self.by_row(seen) is seen
        return RowBatches(n_users if by_users else seen.n_columns, self.trainer, seeds, seen.indptr.device)

    def inner_problem(self, data: Interactions, n_fakes: int, seeds: Seeds, device: torch.device) -> InnerProblem:
        """Fake values count inside the square and, for a model that reads them, as its input.

        The gradient equals that of the injection paper's dense code: the weight of a cell is not differentiated.
        """
        first = first_tables(self, self.parameters, data, n_fakes, seeds, device)
        return WholeMatrixInner(self, Observed.of(data.seen, device), first, n_fakes, seeds.child("train"))

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> BatchObjective:
        """What ``fit`` minimises on ``data``, with draws from the stream ``train``."""
        return WholeMatrixObjective(self, Observed.of(data.seen, device), seeds.child("train"))


class WholeMatrixInner(InnerProblem):
    """The model's steps on real users ``seen`` and ``n_fakes`` dense ones."""

    def __init__(self, model: WholeMatrixModel, seen: Observed, first: Tensors, n_fakes: int, seeds: Seeds) -> None:
        self.model, self.seen, self.first, self.n_fakes = model, seen, first, n_fakes
        self.batches, self.optimizer = model.batches(seen, n_fakes, seeds), model.optimizer
        self.per_epoch = self.batches.per_epoch

    @property
    def kept_numbers(self) -> int:
        """What the model says of a batch."""
        return self.model.kept_numbers(min(self.batches.n_rows, self.model.trainer.batch_size), self.n_fakes)

    def gradient(self, number: int, tables: Tensors, fakes: Tensor) -> Tensors:
        """Of the loss of the step's rows."""
        return self.model.gradient(tables, self.seen, self.batches(number), fakes)

    def factors(self, tables: Tensors, fakes: Tensor) -> tuple[Tensor, Tensor]:
        """The model's own."""
        return self.model.factors(tables, self.seen, fakes)


class WholeMatrixObjective(BatchObjective):
    """An epoch by the functional optimiser, so that an attack that differentiates through it sees the same numbers."""

    def __init__(self, model: WholeMatrixModel, seen: Observed, seeds: Seeds) -> None:
        self.model, self.seen, self.seeds = model, seen, seeds
        self.weight_decay = model.regularization

    def inputs(self) -> object:
        """Model, data and stream."""
        return self.model, self.seen.indptr, self.seen.indices, self.seeds

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rows of each batch, where each begins in the third, and the columns in which they have a one."""
        batches = self.model.batches(self.seen, 0, self.seeds)
        for number in batches.steps(epoch):
            yield self._batch(batches, number)

    def _batch(self, batches: RowBatches, number: int) -> tuple[Tensor, Tensor, Tensor]:
        by_row, rows = self.model.by_row(self.seen), batches(number)
        if rows is None:
            return torch.arange(by_row.n_rows, device=by_row.indptr.device), by_row.indptr, by_row.indices
        part = by_row.take(*rows)
        return rows.tensor, part.indptr, part.indices

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One step a batch; returns the mean loss of a cell of the last batch after the epoch."""
        batches = self.model.batches(self.seen, 0, self.seeds)
        step_functionally(
            self.model.optimizer, state, self.model.parameters, batches.steps(epoch),
            lambda number, tables: self.model.gradient(tables, self.seen, batches(number)),
        )  # fmt: skip
        last = self._batch(batches, batches.steps(epoch)[-1])
        with torch.no_grad():
            loss = self.model.loss(slots(state, "param"), last)
        return float(loss) / (len(last[0]) * self.model.by_row(self.seen).n_columns)
