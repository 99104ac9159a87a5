"""Adversarial training (He et al. 2018): the loss of each batch, and ``weight`` times its loss at shifted embeddings.

The shift is a constant of the second loss: no gradient flows through it. It lives for one batch and is part of no
state, so that looking at a model never changes how it is trained.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.perturbation import DIRECTIONS
from recpoison.models.base import Params
from recpoison.training.adversarial_graph import AdversarialGraph
from recpoison.training.adversarial_rating_kernel import adversarial_rating_epoch
from recpoison.training.apr_kernel import apr_batches
from recpoison.training.captured import CapturedEpoch, captures
from recpoison.training.graph_objective import GraphObjective
from recpoison.training.inner_attack import Generator, InnerAttack, generator_of
from recpoison.training.instance_kernel import instance_epoch
from recpoison.training.joint_tables import JointTables
from recpoison.training.magnitudes import RULES
from recpoison.training.objectives import BPRObjective, runs_on_numba
from recpoison.training.optimizers import State, gather, slots, step, write_back
from recpoison.training.ratings import RatingObjective
from recpoison.training.trainer import BatchObjective, Objective, Trainable, Trainer
from recpoison.training.triton_epoch import TritonBPR, runs_on_triton

CHUNK = 1 << 13  # pairs, in whole batches, whose starts are drawn before the kernel runs
Batch = tuple[Tensor, ...]


def adversarial(plain: BatchObjective, model: Trainable, attack: InnerAttack, weight: float) -> Objective:
    """What adversarial training of ``model`` minimises where its own fit minimises ``plain``."""
    if isinstance(plain, RatingObjective):
        return AdversarialRating(plain, model, attack, weight)
    if isinstance(plain, BPRObjective) and attack.direction == "row_l2":
        return AdversarialBPR(plain, attack, weight)
    if isinstance(plain, GraphObjective) and attack.unit == "instance":
        return AdversarialGraph(plain, attack, weight)
    return AdversarialLoss(plain, model, attack, weight)


class AdversarialBPR(Objective):
    """BPR of two tables, with gradients by hand; one numba kernel on a CPU, static shapes elsewhere.

    On CUDA Triton's kernels take one step from 0.

    The loss is ``BPRObjective``'s with its regulariser, at the tables and at the shifted tables. Departure: the authors
    leave theirs out of the gradient that makes the shift; it is 0 by default in their code and here.

    Args:
        plain: What is minimised without the adversary.
        attack: How rows are shifted, by ``row_l2``.
        weight: Of the second loss.
    """

    def __init__(self, plain: BPRObjective, attack: InnerAttack, weight: float) -> None:
        self.plain, self.attack, self.weight = plain, attack, weight
        self._triton: TritonBPR | None = None
        self._captured: CapturedEpoch | None = None

    def inputs(self) -> object:
        """Those of the plain objective, and how it is attacked."""
        inputs = self.plain.inputs()
        return None if inputs is None else (inputs, self.attack, self.weight)

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One epoch; returns the mean loss of a pair without the shift."""
        if not runs_on_numba(trainer, state):
            if runs_on_triton(trainer, state) and self.attack.unit == "row_batch" and self.attack.in_one_step:
                return self._triton_epoch(trainer, state, epoch)
            return self._torch_epoch(trainer, state, epoch)
        if self.attack.unit == "row_batch":
            return self._numba_epoch(trainer, state, epoch)
        return (
            self._instance_epoch(trainer, state, epoch)
            if self.attack.in_one_step
            else self._torch_epoch(trainer, state, epoch)
        )

    def _numba_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        arrays, figures = self.plain.kernel_inputs(trainer, state, epoch)
        attack, n_rows = self.attack, self.plain.n_rows(trainer)
        size = min(trainer.batch_size, n_rows)
        generator = generator_of(self.plain.seeds, epoch, torch.device("cpu"))
        weight, epsilon, length = (np.float32(x) for x in (self.weight, attack.epsilon, attack.length))
        bounds = attack.projection == "box", attack.projection == "row_l2"
        total, at_once = 0.0, n_rows if attack.starts_at_zero else max(1, CHUNK // size) * size
        for first in range(0, n_rows, at_once):
            last = min(first + at_once, n_rows)
            shapes = [(3 * min(size, last - start), arrays[0].shape[1]) for start in range(first, last, size)]
            starts = np.zeros((0, 1), dtype=np.float32)
            if not attack.starts_at_zero:
                starts = torch.cat([attack.starts(shape, generator) for shape in shapes]).numpy()
            inner = (weight, epsilon, starts, attack.steps, length, *bounds)
            arguments = (*arrays, first, last, size, *figures, *inner)
            total += apr_batches(*arguments)
        return total / n_rows

    def _triton_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        plain, n_rows = self.plain, self.plain.n_rows(trainer)
        if self._triton is None or not self._triton.serves(trainer, state):
            adversary = (self.attack.reach, self.weight)
            self._triton = TritonBPR(trainer, state, n_rows, plain.regularization, *adversary)
        return self._triton.run(state, *plain.drawn(epoch, state["param.user"].device)) / n_rows

    def _instance_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        arrays, figures = self.plain.kernel_inputs(trainer, state, epoch)
        n_rows, by = self.plain.n_rows(trainer), self.attack.magnitude
        rule, ceiling = (-1, 0.0) if by is None else (RULES.index(by.rule), by.ceiling)
        inner = np.float32(self.weight), self.attack.reach, rule, ceiling
        arguments = (*arrays, n_rows, trainer.batch_size, *figures, *inner)
        return float(instance_epoch(*arguments)) / n_rows

    def _torch_epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """The host never waits inside an epoch, as in ``BPRObjective``."""
        device, n_rows = state["param.user"].device, self.plain.n_rows(trainer)
        generator = generator_of(self.plain.seeds, epoch, device)
        if captures(trainer, device) and self.attack.starts_at_zero:
            if self._captured is None or not self._captured.serves(trainer, state):
                self._captured = CapturedEpoch(trainer, state, n_rows, self.training(state, generator))
            return self._captured.run(state, *self.plain.drawn(epoch, device)) / n_rows
        joint, train = JointTables(trainer, state), self.training(state, generator)
        for batch in self.plain.batches(trainer, epoch, device):
            train(joint, joint.rows(batch))
        joint.write_back()
        return float(joint.loss) / n_rows

    def training(self, state: State, generator: Generator) -> Callable[[JointTables, Tensor], None]:
        """What a batch does to the tables of such a ``state``."""
        user, item = (state[f"param.{name}"] for name in ("user", "item"))
        sums = user.new_zeros(len(user) + len(item), user.shape[1])

        def train(joint: JointTables, rows: Tensor) -> None:
            values = joint.values(rows)
            loss, slopes = self.plain.slopes(values)
            joint.loss += loss
            shift = self._shift(rows, values, slopes, sums, generator)
            if self.attack.magnitude is not None:
                factors = self.attack.magnitude.factors(rows[: values.shape[1]], values, joint.n_users)
                shift = shift * factors.view(1, -1, 1)
            adverse = self.plain.slopes(values + shift)[1]
            joint.step(rows, slopes.add_(adverse, alpha=self.weight))  # the two terms of the APR report's eq. 11

        return train

    def _shift(self, rows: Tensor, values: Tensor, slopes: Tensor, sums: Tensor, generator: Generator) -> Tensor:
        """Shift of each occurrence of a row, as ``values``; ``sums``, a table of zeros, is lent."""

        def gradient(shift: Params | None) -> Params:
            at = slopes if shift is None else self.plain.slopes(values + shift["rows"].view_as(values))[1]
            if self.attack.unit == "instance":
                return {"rows": at}
            summed = sums.index_add_(0, rows, at).index_select(0, rows)
            sums.index_fill_(0, rows, 0.0)
            return {"rows": summed}

        start = None if self.attack.starts_at_zero else {"rows": self._starts(rows, values, len(sums), generator)}
        return self.attack.climb(start, gradient)["rows"].view_as(values)

    def _starts(self, rows: Tensor, values: Tensor, n_rows: int, generator: Generator) -> Tensor:
        """Where each occurrence of a row starts; drawn as for the kernel, users and then the items of each pair."""
        n = values.shape[1]
        starts = self.attack.starts((3 * n, values.shape[2]), generator)
        pairs = torch.arange(n, device=rows.device)
        place = torch.cat([pairs, n + 2 * pairs, n + 2 * pairs + 1])
        if self.attack.unit == "row_batch":  # every occurrence takes the first one's
            first = torch.full((n_rows,), 3 * n, device=rows.device)
            place = first.scatter_reduce_(0, rows, place, "amin").index_select(0, rows)
        return starts.index_select(0, place)


class AdversarialLoss(Objective):
    """Any model's loss by autograd, on whole tables.

    Rows that have no part in the loss of a batch have no gradient, so they are not shifted.

    Args:
        plain: Whose batches are walked.
        model: Whose loss it is, and which tables are shifted.
        attack: How, by ``row_batch``.
        weight: Of the second loss.
    """

    def __init__(self, plain: BatchObjective, model: Trainable, attack: InnerAttack, weight: float) -> None:
        self.plain, self.model, self.attack, self.weight = plain, model, attack, weight

    def inputs(self) -> object:
        """Those of the plain objective, the model, and how it is attacked."""
        inputs = self.plain.inputs()
        return None if inputs is None else (inputs, self.model, self.attack, self.weight)

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One epoch; returns the mean of the batches' losses without the shift."""
        device = state[f"param.{self.model.tables[0]}"].device
        generator = generator_of(self.plain.seeds, epoch, device)
        total, n_batches = torch.zeros((), device=device), 0
        for batch in self.plain.batches(trainer, epoch, device):
            params = slots(state, "param")
            loss, clean = self._gradient(params, batch)
            adverse = self._gradient(self._shifted(params, clean, batch, generator), batch)[1]
            gradients = {  # the two terms of the APR report's eq. 11, and the model's own decay
                name: clean[name] + self.weight * adverse[name] + self.plain.weight_decay * tensor
                for name, tensor in params.items()
            }
            self._step(trainer, state, gradients, batch)
            total, n_batches = total + loss, n_batches + 1
        return float(total) / n_batches

    def _step(self, trainer: Trainer, state: State, gradients: Params, batch: Batch) -> None:
        """As the model's own fit: rows outside the batch stay where it leaves them."""
        rows = self.plain.moved_rows(batch)
        part = gather(state, rows)
        gradients = {name: x.index_select(0, rows[name]) if name in rows else x for name, x in gradients.items()}
        step(trainer.optimizer, part, gradients, trainer.learning_rate, trainer.eps)
        write_back(state, part, rows)

    def _gradient(self, params: Params, batch: Batch) -> tuple[Tensor, Params]:
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in params.items()}
        loss = self.model.loss(leaves, batch)
        return loss.detach(), dict(
            zip(leaves, torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True), strict=True)
        )

    def _shifted(self, params: Params, clean: Params, batch: Batch, generator: Generator) -> Params:
        names = self.model.tables

        def at(shift: Params) -> Params:
            return params | {name: params[name] + shift[name] for name in names}

        def gradient(shift: Params | None) -> Params:
            slopes = clean if shift is None else self._gradient(at(shift), batch)[1]
            return {name: slopes[name] for name in names}

        shapes = {name: (params[name].shape[0], params[name].shape[1]) for name in names}
        start = None
        if not self.attack.starts_at_zero:
            start = {name: self.attack.starts(shape, generator) for name, shape in shapes.items()}
        return at(self.attack.climb(start, gradient))


class AdversarialRating(AdversarialLoss):
    """Squared error of ratings: one numba kernel on a CPU with SGD or Adagrad where no chance is in the shift.

    Else by autograd, as other models. The kernel's figure is the mean squared error of a rating.

    Args:
        plain: What is minimised without the adversary.
        model: Whose loss it is.
        attack: How, by ``row_batch``.
        weight: Of the second loss.
    """

    plain: RatingObjective

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One epoch; returns the mean loss without the shift."""
        if not (runs_on_numba(trainer, state) and self.attack.starts_at_zero):
            return super().epoch(trainer, state, epoch)
        attack = self.attack
        bounds = attack.projection == "box", attack.projection == "row_l2"
        inner = (DIRECTIONS.index(attack.direction), attack.steps, attack.length, attack.epsilon, *bounds)
        arguments = (*self.plain.kernel_inputs(trainer, state, epoch), np.float32(self.weight), *inner)
        return float(adversarial_rating_epoch(*arguments)) / max(1, self.plain.n_rows(trainer))
