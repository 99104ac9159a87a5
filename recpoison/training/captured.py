"""The same torch operations for every batch of an epoch on CUDA, captured once as a graph and replayed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from recpoison.algebra.current import alone, captured, current, on_triton
from recpoison.training.joint_tables import JointTables, fill
from recpoison.training.optimizers import BETAS, State
from recpoison.training.trainer import Trainer

BLOCK = 1 << 12  # numbers that a program steps
Body = Callable[[Tensor], None]
"""Trains on the rows ``(columns, batch_size)`` of a batch."""
Train = Callable[[JointTables, Tensor], None]


def captures(trainer: Trainer, device: torch.device) -> bool:
    """Whether batches are captured: on CUDA, where Triton is, unless ``backend=torch``."""
    return trainer.backend == "auto" and on_triton(device)


class LastingTables(JointTables):
    """``JointTables`` that stay in their place from epoch to epoch; Adam counts its steps on the device.

    The sum of the epoch's losses is float64.
    """

    def __init__(self, trainer: Trainer, state: State) -> None:
        super().__init__(trainer, state)
        self.powers = torch.ones(2, dtype=torch.float64, device=self.device)
        self.betas = torch.tensor(BETAS, dtype=torch.float64, device=self.device)
        self.loss = torch.zeros((), dtype=torch.float64, device=self.device)

    def load(self, state: State) -> None:
        """Begin an epoch of this ``state``."""
        self.state = state
        fill(self.tables, state)
        for number, beta in enumerate(BETAS if "step" in state else ()):
            self.powers[number].fill_(beta ** int(state["step"]))
        self.loss.zero_()

    def step_all(self, gradient: Tensor) -> None:
        """Step all rows; the host counts Adam's steps in ``count``."""
        if self.trainer.optimizer != "adam":
            return super().step_all(gradient)
        from recpoison.training.triton_kernels import adam

        self.powers.mul_(self.betas)
        tables = (self.tables[kind] for kind in ("param", "first", "second"))
        n, trainer = gradient.numel(), self.trainer
        figures = (n, trainer.learning_rate, trainer.eps, *BETAS)
        adam[(-(-n // BLOCK),)](*tables, gradient, self.powers, *figures, BLOCK=BLOCK, num_warps=8)

    def count(self, steps: int) -> None:
        """That so many steps were taken."""
        if "step" in self.state:
            self.state["step"] += steps


class CapturedBatches:
    """An epoch's batches of equal size by one graph each, and a last smaller one without.

    Args:
        body: What a batch does, on tensors that stay in their place; it asks the device nothing.
        columns: Rows that a pair has part in.
        n_pairs: Pairs of an epoch.
        batch_size: Pairs of a batch.
        device: Where.
    """

    def __init__(self, body: Body, columns: int, n_pairs: int, batch_size: int, device: torch.device) -> None:
        self.body, self.n_pairs, self.batch_size = body, n_pairs, min(batch_size, n_pairs)
        self.rows = torch.zeros(columns, n_pairs, dtype=torch.int64, device=device)
        self.places = torch.arange(self.batch_size, device=device)
        self.start = torch.zeros((), dtype=torch.int64, device=device)
        self._graph: Any = None

    def warm_up(self) -> None:
        """Run the first batch once, so that everything is compiled and allocated, and capture it.

        It trains; call it before tables are loaded. Beside other threads batches are launched instead: a capture that
        allocates was ended by what they do (seen on an H100).
        """
        if self.start.device.type != "cuda":
            return
        with current(self.start.device):
            if alone():
                self._graph = captured(self._one, warm_up=self._one)

    def run(self, columns: tuple[Tensor, ...]) -> None:
        """Walk an epoch's ``columns``, ``(n_pairs,)`` or longer each."""
        for row, column in zip(self.rows, columns, strict=True):
            row.copy_(column[: self.n_pairs])
        self.start.zero_()
        whole = self.n_pairs // self.batch_size
        with current(self.start.device):
            for _ in range(whole):
                self._one() if self._graph is None else self._graph.replay()
            if whole * self.batch_size < self.n_pairs:
                self.body(self.rows[:, whole * self.batch_size :])

    def _one(self) -> None:
        self.body(self.rows.index_select(1, self.start + self.places))
        self.start += self.batch_size


class CapturedEpoch:
    """An epoch of batches of rows of both tables, users above items.

    Args:
        trainer: How rows are stepped.
        state: Whose shapes and device it has; not kept.
        n_pairs: Pairs of an epoch.
        train: Steps the tables against a batch's rows ``(3 * batch_size,)`` and adds to their ``loss``; all else
            that it reads stays in its place.
    """

    def __init__(
        self, trainer: Trainer, state: State, n_pairs: int, train: Callable[[JointTables, Tensor], None]
    ) -> None:
        self.joint = LastingTables(trainer, state)
        self.batches = CapturedBatches(
            lambda rows: train(self.joint, rows.flatten()), 3, n_pairs, trainer.batch_size, self.joint.device
        )
        self.batches.warm_up()

    def serves(self, trainer: Trainer, state: State) -> bool:
        """Whether it was made for such a fit."""
        return (self.joint.trainer, self.joint.device) == (trainer, state["param.user"].device)

    def run(self, state: State, users: Tensor, *items: Tensor) -> float:
        """Train ``state`` in place on pairs in the order given; return the sum of their losses before the steps."""
        self.joint.load(state)
        self.batches.run((users, *(column + self.joint.n_users for column in items)))
        self.joint.count(-(-self.batches.n_pairs // self.batches.batch_size))
        self.joint.write_back()
        return float(self.joint.loss)
