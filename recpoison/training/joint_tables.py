"""The user and the item table of a fit as one, so that a batch is one gather and one scatter."""

from __future__ import annotations

import torch
from torch import Tensor

from recpoison.training.optimizers import State, step
from recpoison.training.trainer import Trainer


class JointTables:
    """Both tables of a state as one, users above items, for an epoch: a batch is then one gather and one scatter.

    Attributes:
        loss: Sum of the epoch's losses; whoever steps adds to it.
    """

    def __init__(self, trainer: Trainer, state: State) -> None:
        kinds = [kind for kind in ("param", "sum", "first", "second") if f"{kind}.user" in state]
        self.trainer, self.state, self.n_users = trainer, state, len(state["param.user"])
        self.tables = {kind: torch.cat([state[f"{kind}.user"], state[f"{kind}.item"]]) for kind in kinds}
        self.gradient = torch.zeros_like(self.tables["param"])
        self.device = self.gradient.device
        self.loss = torch.zeros((), device=self.device)

    def rows(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Rows of users, positives and negatives, ``(3 * batch_size,)``."""
        users, positives, negatives = batch
        return torch.cat([users, positives + self.n_users, negatives + self.n_users])

    def values(self, rows: Tensor) -> Tensor:
        """Embeddings of ``rows``, ``(3, batch_size, embedding_size)``."""
        return self.tables["param"].index_select(0, rows).view(3, len(rows) // 3, -1)

    def step(self, rows: Tensor, slopes: Tensor) -> None:
        """Step ``rows`` against the sum of each row's ``slopes``.

        A row that occurs twice is written twice with one value. Adam moves rows without a gradient too: it steps all.
        """
        trainer, gradient = self.trainer, self.gradient.index_add_(0, rows, slopes)
        if trainer.optimizer == "adam":
            self.step_all(gradient)
            gradient.zero_()
            return
        compact = {f"{kind}.rows": table.index_select(0, rows) for kind, table in self.tables.items()}
        step(trainer.optimizer, compact, {"rows": gradient.index_select(0, rows)}, trainer.learning_rate, trainer.eps)
        for kind, table in self.tables.items():
            table.index_copy_(0, rows, compact[f"{kind}.rows"])
        gradient.index_fill_(0, rows, 0.0)

    def step_all(self, gradient: Tensor) -> None:
        """Step all rows against ``gradient``, of both tables."""
        trainer = self.trainer
        whole = {f"{kind}.joint": table for kind, table in self.tables.items()}
        if "step" in self.state:
            whole["step"] = self.state["step"]
        step(trainer.optimizer, whole, {"joint": gradient}, trainer.learning_rate, trainer.eps)

    def write_back(self) -> None:
        """Put the tables where they came from."""
        give_back(self.tables, self.state)


def fill(tables: State, state: State) -> None:
    """Write both tables of each kind of a ``state`` into the joint one, users above items."""
    n_users = len(state["param.user"])
    for kind, table in tables.items():
        table[:n_users].copy_(state[f"{kind}.user"])
        table[n_users:].copy_(state[f"{kind}.item"])


def give_back(tables: State, state: State) -> None:
    """The way back."""
    n_users = len(state["param.user"])
    for kind, table in tables.items():
        state[f"{kind}.user"].copy_(table[:n_users])
        state[f"{kind}.item"].copy_(table[n_users:])
