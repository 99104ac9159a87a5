"""BPR of what a graph makes of two embedding tables: batches that know the graph, steps, and the loss of all data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.propagation import Propagation
from recpoison.data.interactions import Interactions
from recpoison.models.base import DataLoss, Params
from recpoison.seeds import Seeds
from recpoison.training.captured import CapturedEpoch, captures
from recpoison.training.joint_tables import JointTables
from recpoison.training.objectives import UserObjective, bpr_of_tables, bpr_slopes
from recpoison.training.optimizers import State
from recpoison.training.sampling import DevicePairs, Pairs
from recpoison.training.trainer import Trainer
from recpoison.training.whole_data import BPRDataLoss

TABLES = ("user", "item")
OFFSETS = ("user_offset", "item_offset")
SAMPLERS = ("pairs", "users")


class GraphBatch(tuple[Tensor, ...]):
    """Users, positives and negatives ``(batch_size,)``, and the graph that a loss of them needs.

    Attributes:
        graph: Of all training data.
    """

    graph: Propagation

    @staticmethod
    def of(columns: tuple[Tensor, ...], graph: Propagation) -> GraphBatch:
        """A batch of ``columns``."""
        batch = GraphBatch(columns)
        batch.graph = graph
        return batch


def final_tables(params: Params, graph: Propagation) -> Params:
    """Tables ``user`` and ``item`` after propagation, with their offsets where ``params`` has some."""
    n_users = len(params["user"])
    final = graph.mean(torch.cat([params[name] for name in TABLES]))
    tables = {"user": final[:n_users], "item": final[n_users:]}
    if OFFSETS[0] in params:
        return {name: tables[name] + params[offset] for name, offset in zip(TABLES, OFFSETS, strict=True)}
    return tables


class GraphBPR(NamedTuple):
    """The loss of triples: BPR of the final tables, and half the squared length of each triple's rows.

    Args:
        layers: Propagations.
        regularization: Weight of the latter.
        of_final: Whether it is of the rows of the final tables, not of layer 0.
    """

    layers: int
    regularization: float
    of_final: bool

    @property
    def weights(self) -> tuple[float, float]:
        """The regulariser's weight on layer 0 and on the final tables."""
        return (0.0, self.regularization) if self.of_final else (self.regularization, 0.0)

    def mean(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """The mean over a batch, differentiable."""
        assert isinstance(batch, GraphBatch), "batches that know the graph are made by its objective"
        on_first, on_final = self.weights
        loss = bpr_of_tables(final_tables(params, batch.graph), batch, on_final)
        if on_first:
            users, *items = batch
            rows = [params["user"][users], *(params["item"][column] for column in items)]
            loss = loss + on_first / 2 * torch.stack([part.square().sum() for part in rows]).sum()
        return loss / len(batch[0])


class GraphObjective(UserObjective):
    """Minimises ``GraphBPR`` with gradients by hand: that of the final tables, propagated once more.

    Nothing of a layer is kept for it. Each step moves all rows, whatever the optimiser.

    Args:
        data: Training data; pairs count once, ratings are not looked at.
        seeds: Streams ``epoch/0``, ``epoch/1``, ...
        model: Whose loss it is, to be known by.
        loss: The loss.
        sampler: ``pairs``: an epoch is every pair once; ``users``: as many draws of a user and then of a pair of it.
    """

    def __init__(self, data: Interactions, seeds: Seeds, model: object, loss: GraphBPR, sampler: str) -> None:
        self.data, self.seeds, self.model, self.loss, self.sampler = data, seeds, model, loss, sampler
        self.pairs = Pairs.of(data)
        self._on_device: tuple[DevicePairs, Propagation] | None = None
        self._captured: _Captured | None = None

    def inputs(self) -> object:
        """Data, stream and model."""
        return self.data, self.seeds, self.model

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[GraphBatch]:
        """Triples of each batch, with the graph, which is built once."""
        pairs, graph = self._made(device)
        columns, n_rows = self._drawn(pairs, epoch), trainer.n_rows(len(self.pairs))
        for start in range(0, n_rows, trainer.batch_size):
            stop = min(start + trainer.batch_size, n_rows)
            yield GraphBatch.of(tuple(column[start:stop] for column in columns), graph)

    def _made(self, device: torch.device) -> tuple[DevicePairs, Propagation]:
        if self._on_device is None or self._on_device[0].users.device != device:
            graph = Propagation.of(self.data.seen, self.loss.layers, device)
            self._on_device = DevicePairs.of(self.pairs, device), graph
        return self._on_device

    def _drawn(self, pairs: DevicePairs, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
        return (pairs.epoch if self.sampler == "pairs" else pairs.epoch_by_users)(self.seeds, epoch)

    def moved_rows(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """All rows of both tables, and none of the offsets: these are where an adversary's shift goes."""
        return dict.fromkeys(OFFSETS, batch[0][:0])

    def epoch(
        self,
        trainer: Trainer,
        state: State,
        epoch: int,
        adverse: Adverse | None = None,
        losses: float = 1.0,
    ) -> float:
        """One step for each batch; returns the mean of -ln sigmoid(s_ui - s_uj). The host never waits inside.

        Args:
            trainer: How to step.
            state: Changed in place.
            epoch: Its number, from 0.
            adverse: What is added to the gradient in the final rows of each batch: of users ``(n,)``, these rows ``(3,
                n, embedding_size)``, and their gradient ``(3 * n, embedding_size)``. One that is lasting, and so draws
                nothing, is captured on CUDA.
            losses: How often the regulariser of layer 0 counts.
        """
        device, n_rows = state["param.user"].device, trainer.n_rows(len(self.pairs))
        if captures(trainer, device) and (adverse is None or adverse.lasting):
            return self.captured_epoch(trainer, state, epoch, adverse, losses) / n_rows
        joint, graph = JointTables(trainer, state), self._made(device)[1]
        train = self._training(graph, _offset(state), adverse, losses)
        for batch in self.batches(trainer, epoch, device):
            train(joint, joint.rows((batch[0], batch[1], batch[2])))
        joint.write_back()
        return float(joint.loss) / n_rows

    def captured_epoch(
        self, trainer: Trainer, state: State, epoch: int, adverse: Adverse | None = None, losses: float = 1.0
    ) -> float:
        """The same as CUDA graphs; the sum over all triples."""
        pairs, graph = self._made(state["param.user"].device)
        key = adverse, losses
        if self._captured is None or not self._captured.serves(trainer, state, key):
            offset, n_rows = _offset(state), trainer.n_rows(len(self.pairs))
            train = self._training(graph, offset, *key)
            self._captured = _Captured(CapturedEpoch(trainer, state, n_rows, train), offset, key)
        return self._captured.run(state, self._drawn(pairs, epoch))

    def _training(
        self, graph: Propagation, offset: Tensor | None, adverse: Adverse | None, losses: float
    ) -> Callable[[JointTables, Tensor], None]:
        def train(joint: JointTables, rows: Tensor) -> None:
            loss, gradient = self._gradient(joint, graph, rows, offset, adverse, losses)
            joint.step_all(gradient)
            joint.loss += loss

        return train

    def _gradient(
        self,
        joint: JointTables,
        graph: Propagation,
        rows: Tensor,
        offset: Tensor | None,
        adverse: Adverse | None,
        losses: float,
    ) -> tuple[Tensor, Tensor]:
        """The sum over a batch, without the regulariser, and the gradient of its mean, with it, of both tables."""
        table, n = joint.tables["param"], len(rows) // 3
        on_first, on_final = self.loss.weights
        final = graph.mean(table)
        values = final.index_select(0, rows)
        if offset is not None:
            values += offset.index_select(0, rows)
        values = values.view(3, n, -1)
        weights = self.weights_of(rows[:n])
        loss, slopes = bpr_slopes(values, on_final, weights)
        if adverse is not None:
            slopes = slopes + adverse(rows[:n], values, slopes)
        gradient = graph.mean(joint.gradient.zero_().index_add_(0, rows, slopes.div_(n)))
        if on_first:
            first = table.index_select(0, rows)
            if weights is not None:
                first.mul_(weights.repeat(3).unsqueeze(1))
            gradient.index_add_(0, rows, first, alpha=losses * on_first / n)
        return loss, gradient


class Adverse(Protocol):
    """What an adversary adds to the gradient in final rows."""

    @property
    def lasting(self) -> bool:
        """Whether nothing in it is left to chance."""

    def __call__(self, users: Tensor, values: Tensor, slopes: Tensor) -> Tensor:
        """For these users, their triples' rows, and the gradient there."""


class _Captured(NamedTuple):
    """Captured batches, where they read the offsets, and what else they were captured with."""

    epoch: CapturedEpoch
    offset: Tensor | None
    key: tuple[Adverse | None, float]

    def serves(self, trainer: Trainer, state: State, key: tuple[Adverse | None, float]) -> bool:
        alike = self.key == key and (self.offset is None) == (f"param.{OFFSETS[0]}" not in state)
        return alike and self.epoch.serves(trainer, state)

    def run(self, state: State, columns: tuple[Tensor, Tensor, Tensor]) -> float:
        if self.offset is not None:
            self.offset.copy_(torch.cat([state[f"param.{name}"] for name in OFFSETS]))
        return self.epoch.run(state, *columns)


def _offset(state: State) -> Tensor | None:
    """What is added to final rows, users above items."""
    return torch.cat([state[f"param.{name}"] for name in OFFSETS]) if f"param.{OFFSETS[0]}" in state else None


class GraphDataLoss(DataLoss):
    """``GraphBPR`` summed over every training pair with one negative: one propagation forth and one back.

    Args:
        data: Training data.
        seeds: Where negatives come from.
        device: Where batches go.
        loss: The loss.
    """

    def __init__(self, data: Interactions, seeds: Seeds, device: torch.device, loss: GraphBPR) -> None:
        self.graph, self.weight = Propagation.of(data.seen, loss.layers, device), loss.weights[0]
        on_final = loss.weights[1]
        self.plain = BPRDataLoss(
            data, seeds, device, lambda params, batch: bpr_of_tables(params, batch, on_final), on_final
        )

    def gradient(self, params: Params, draw: int = 0) -> tuple[float, Params]:
        """The sum over all pairs, and its gradient."""
        given = {name: tensor.detach() for name, tensor in params.items()}
        total, slopes = self.plain.gradient(final_tables(given, self.graph), draw)
        offsets = {name: slopes[table] for name, table in zip(OFFSETS, TABLES, strict=True) if name in params}
        first = self.graph.mean(torch.cat([slopes[name] for name in TABLES]))
        n_users = len(given["user"])
        gradient = {"user": first[:n_users], "item": first[n_users:]}
        extra = torch.zeros((), dtype=torch.float64, device=first.device)
        if self.weight:
            for name, counts in self._counts(draw, n_users, len(given["item"])).items():
                times = torch.from_numpy(counts).to(given[name], non_blocking=True).unsqueeze(1)
                pull = self.weight * times * given[name]
                extra += (pull * given[name]).sum(dtype=torch.float64) / 2
                gradient[name] = gradient[name] + pull
        return total + float(extra), gradient | offsets

    def _counts(self, draw: int, n_users: int, n_items: int) -> dict[str, np.ndarray]:
        """How often each row occurs in the triples of a draw."""
        users, items = np.zeros(n_users), np.zeros(n_items)
        for of_user, *of_items in self.plain.blocks.draw(draw):
            users += np.bincount(of_user, minlength=n_users)
            items += np.bincount(np.concatenate(of_items), minlength=n_items)
        return {"user": users, "item": items}
