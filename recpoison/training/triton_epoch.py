"""An epoch of mini-batches on a CUDA device: Triton kernels, captured as one graph of many batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from recpoison.algebra.current import captured, current, on_triton
from recpoison.training.joint_tables import fill, give_back
from recpoison.training.optimizers import State
from recpoison.training.trainer import Trainer

PER_GRAPH = 64  # batches of a graph: capturing and replaying are paid once for so many
PAIRS = 4  # of a program that takes gradients
OCCURRENCES = 16  # of a row that a program adds at once
TABLES = ("user", "item")


def runs_on_triton(trainer: Trainer, state: State) -> bool:
    """Whether a trainer runs this fit by Triton kernels: on CUDA, where Triton is, unless ``backend=torch``."""
    return trainer.backend == "auto" and trainer.optimizer != "adam" and on_triton(state["param.user"].device)


class TritonEpoch(ABC):
    """Batches of occurrences of rows of one table, users above items; the same update as the numba kernels'.

    It holds a copy of both tables and of their sums, two tables of a batch's gradients, and twelve bytes for each
    occurrence of a row in an epoch. The host waits once an epoch, for the loss.

    Args:
        trainer: How rows are stepped, by SGD or Adagrad.
        state: Whose shapes and device it has; not kept.
        n_pairs: Pairs of an epoch.
        columns: Rows that a pair has part in.
    """

    def __init__(self, trainer: Trainer, state: State, n_pairs: int, columns: int) -> None:
        user, item = (state[f"param.{name}"] for name in TABLES)
        device, self.size = user.device, user.shape[1]
        self.made_for = trainer, user.shape, item.shape, device
        self.trainer, self.n_users, self.n_rows = trainer, len(user), len(user) + len(item)
        self.batch_size = min(trainer.batch_size, n_pairs)
        self.n_pairs, self.columns, self.n_batches = n_pairs, columns, -(-n_pairs // self.batch_size)
        kinds = ("param", "sum") if trainer.optimizer == "adagrad" else ("param",)
        self.tables = {kind: user.new_empty(self.n_rows, self.size) for kind in kinds}
        self.slopes = user.new_empty(columns * self.batch_size, self.size)
        self.rows, self.sorted_rows, self.slots = (
            torch.empty(columns, n_pairs, dtype=torch.int32, device=device) for _ in range(3)
        )
        pairs = torch.arange(n_pairs, device=device)
        self.first_key = (pairs // self.batch_size) * self.n_rows
        starts = torch.arange(columns, device=device).unsqueeze(1) * self.batch_size
        self.slot = (starts + pairs % self.batch_size).int()
        self.programs = -(-self.batch_size // PAIRS)
        self.losses = torch.empty(self.programs, dtype=torch.float64, device=device)
        self.batch = torch.empty(2, dtype=torch.int32, device=device)
        self._graph: Any = None

    @abstractmethod
    def launch(self) -> None:
        """All kernels of one batch."""

    def serves(self, trainer: Trainer, state: State) -> bool:
        """Whether it was made for such a fit."""
        user, item = (state[f"param.{name}"] for name in TABLES)
        return self.made_for == (trainer, user.shape, item.shape, user.device)

    def run(self, state: State, users: Tensor, *items: Tensor) -> float:
        """Train ``state`` in place on pairs in the order given; return the sum of their losses before the steps.

        Args:
            state: Tables and sums.
            users: ``(n_pairs,)`` or longer; the rest is left out.
            items: As many columns of items.
        """
        fill(self.tables, state)
        self.rows[0].copy_(users[: self.n_pairs])
        for number, column in enumerate(items, 1):
            self.rows[number].copy_(column[: self.n_pairs] + self.n_users)
        self._sort()
        with current(self.batch.device):
            self._launch_all()
        give_back(self.tables, state)
        return float(self.losses.sum())

    def _sort(self) -> None:
        """Sort each batch's occurrences by row; equal rows stay in their order, so that sums do too."""
        order = (self.rows + self.first_key).flatten().sort(stable=True).indices
        torch.index_select(self.rows.flatten(), 0, order, out=self.sorted_rows.view(-1))
        torch.index_select(self.slot.flatten(), 0, order, out=self.slots.view(-1))

    def _launch_all(self) -> None:
        if self.batch.device.type == "cuda" and self._graph is None:
            self._graph = self._captured()
        self.batch.zero_()
        self.losses.zero_()
        if self._graph is None:
            for _ in range(self.n_batches):
                self.launch()
            return
        for _ in range(-(-self.n_batches // PER_GRAPH)):
            self._graph.replay()

    def _captured(self) -> Any:
        self.batch.fill_(self.n_batches)  # the first launch trains nothing: it is past the last batch
        return captured(self._launch_many, warm_up=self.launch)

    def _launch_many(self) -> None:
        for _ in range(min(PER_GRAPH, self.n_batches)):
            self.launch()

    @property
    def width(self) -> int:
        """Length of an embedding, up to a power of two."""
        from triton import next_power_of_2

        return int(next_power_of_2(self.size))

    def sorted_places(self) -> tuple[tuple[Any, ...], dict[str, int]]:
        """What a kernel over sorted occurrences reads them by, and its tiles."""
        places = (self.slopes, self.sorted_rows, self.slots, self.batch)
        sizes = (self.columns * self.n_pairs, self.columns * self.batch_size, self.size)
        return (*places, *sizes), {"TILE": OCCURRENCES, "WIDTH": self.width, "num_warps": 1}

    def step(self) -> None:
        """Launch the step of a batch's rows."""
        from recpoison.training.triton_kernels import step_rows

        param, sums, trainer = self.tables["param"], self.tables.get("sum", self.tables["param"]), self.trainer
        places, tiles = self.sorted_places()
        figures = (trainer.learning_rate, trainer.eps)
        adagrad = trainer.optimizer == "adagrad"
        step_rows[(self.columns * self.batch_size,)](param, sums, *places, *figures, ADAGRAD=adagrad, **tiles)


class TritonBPR(TritonEpoch):
    """BPR of triples, and where ``reach`` is given its loss at shifted rows (``AdversarialBPR``, one step from 0).

    Args:
        trainer: As in ``TritonEpoch``.
        state: Likewise.
        n_pairs: Likewise.
        regularization: Half the weight of the squared rows of a triple is this.
        reach: How long a row's shift is, up the gradient of its batch; None: no second loss.
        weight: Of the second loss.
    """

    def __init__(
        self,
        trainer: Trainer,
        state: State,
        n_pairs: int,
        regularization: float,
        reach: float | None = None,
        weight: float = 0.0,
    ) -> None:
        super().__init__(trainer, state, n_pairs, 3)
        self.regularization, self.reach, self.weight = regularization, reach, weight
        self.shift = self.slopes if reach is None else torch.empty_like(self.tables["param"])

    def launch(self) -> None:
        """Gradients, the adversary's where there is one, and the step."""
        self._slopes(shifted=False)
        if self.reach is not None:
            self._shift()
            self._slopes(shifted=True)
        self.step()

    def _slopes(self, shifted: bool) -> None:
        from recpoison.training.triton_kernels import bpr_slopes

        tensors = (self.tables["param"], self.shift, self.slopes, self.rows, self.losses, self.batch)
        figures = (self.n_pairs, self.batch_size, self.size, self.regularization, self.weight)
        tiles = {"SHIFTED": shifted, "TILE": PAIRS, "WIDTH": self.width, "num_warps": 1}
        bpr_slopes[(self.programs,)](*tensors, *figures, **tiles)

    def _shift(self) -> None:
        from recpoison.training.triton_kernels import shift_rows

        places, tiles = self.sorted_places()
        shift_rows[(self.columns * self.batch_size,)](self.shift, *places, self.reach, **tiles)


class TritonRatings(TritonEpoch):
    """Squared error of ratings, a mean over the batch.

    Args:
        trainer: As in ``TritonEpoch``.
        state: Likewise.
        n_pairs: Likewise.
        regularization: Half the weight of the squared rows of a rating is this.
    """

    def __init__(self, trainer: Trainer, state: State, n_pairs: int, regularization: float) -> None:
        super().__init__(trainer, state, n_pairs, 2)
        self.regularization = regularization
        self.ratings = self.slopes.new_empty(n_pairs)

    def run_rated(self, state: State, users: Tensor, items: Tensor, ratings: Tensor) -> float:
        """``run``, with a rating of each pair."""
        self.ratings.copy_(ratings[: self.n_pairs])
        return self.run(state, users, items)

    def launch(self) -> None:
        """Gradients and the step."""
        from recpoison.training.triton_kernels import rating_slopes

        tensors = (self.tables["param"], self.ratings, self.slopes, self.rows, self.losses, self.batch)
        figures = (self.n_pairs, self.batch_size, self.size, self.regularization)
        tiles = {"TILE": PAIRS, "WIDTH": self.width, "num_warps": 1}
        rating_slopes[(self.programs,)](*tensors, *figures, **tiles)
        self.step()
