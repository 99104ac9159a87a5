"""The only epoch loop."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from recpoison.border import finite
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError, UserError
from recpoison.idle import Part, Together
from recpoison.models.base import Monitor, Params
from recpoison.progress import Loop, Progress, alike
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.optimizers import OPTIMIZERS, State, initial_state, slots

BACKENDS = ("auto", "numba", "torch")
_MOST = 10**7  # a number with more digits is a slip, and would run for years


class Diverged(UserError):
    """Training left the finite numbers."""


@dataclass(frozen=True)
class Trainer(Part):
    """How a loss is minimised.

    Args:
        epochs: Passes over the training data.
        batch_size: Positives in a batch.
        optimizer: ``sgd``, ``adagrad`` or ``adam``, as in ``torch.optim``.
        learning_rate: Step size. Where the loss is a sum over the batch (BPR), so is the step.
        initial_accumulator: Where Adagrad's sums of squares start: 0.1 in TensorFlow and the APR authors' code, 0 in
            torch, which makes the first steps large.
        eps: Added to the root by Adagrad and Adam.
        drop_last: Leave out the incomplete last batch of an epoch.
        backend: ``numba`` (one CPU core, no Adam), ``torch``, or ``auto``: numba on a CPU where it can.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> model = BPRMF(trainer=Trainer(epochs=10, batch_size=4, drop_last=True))
        >>> model.trainer.n_rows(11)  # two batches of 4
        8
    """

    epochs: int = ranged(120, low=0, high=_MOST)
    batch_size: int = ranged(512, low=1, high=_MOST)
    optimizer: str = ranged("adagrad", words=OPTIMIZERS)
    learning_rate: float = ranged(0.05, low=0.0, open_low=True)
    initial_accumulator: float = ranged(0.1, low=0.0)
    eps: float = ranged(1e-10, low=0.0)
    drop_last: bool = False
    backend: str = ranged("auto", words=BACKENDS)

    def __post_init__(self) -> None:
        check_ranges(self, "model.trainer")
        if self.optimizer == "adagrad" and self.initial_accumulator == self.eps == 0:
            raise ConfigError("model.trainer.eps and initial_accumulator are both 0, but Adagrad divides by them")
        if self.backend == "numba" and self.optimizer == "adam":
            raise ConfigError("model.trainer.backend=numba has no Adam: set backend=auto or torch")

    def idle(self, parts: Together) -> dict[str, str]:
        """What the chosen optimiser does not have."""
        found = {}
        if self.optimizer != "adagrad":
            found["initial_accumulator"] = f"optimizer is {self.optimizer}, and only adagrad keeps sums of squares"
        if self.optimizer == "sgd":
            found["eps"] = "optimizer is sgd, which takes no root"
        if self.optimizer == "adam":
            found["backend"] = "optimizer is adam, which has no numba kernel"
        return found

    def n_rows(self, n: int) -> int:
        """Of ``n`` rows those that an epoch uses: all, or the whole batches of them."""
        return n - n % self.batch_size if self.drop_last and n >= self.batch_size else n

    def start(self, params: Params) -> State:
        """A fresh state at epoch 0 with copies of ``params``."""
        return initial_state(self.optimizer, self.initial_accumulator, params)

    def fit(self, objective: Objective, params: Params, progress: Progress, monitor: Monitor | None = None) -> Params:
        """Train from ``params``, which stay as they are; return the last epoch's, or the one ``monitor`` likes best."""
        return result(self.run(objective, self.start(params), progress, monitor))

    def run(self, objective: Objective, state: State, progress: Progress, monitor: Monitor | None = None) -> State:
        """Train from ``state["epoch"]`` to ``epochs`` and return the state there; the ``state`` given stays as it is.

        All draws depend on (seed, epoch) only, so a state that was saved and loaded goes on bit for bit as if it had
        never stopped.

        Raises:
            Diverged: If the loss or a parameter is no longer finite.
        """
        inputs = objective.inputs()
        work = None if inputs is None else (self, type(objective).__qualname__, inputs, state)
        advance = partial(objective.epoch, self)
        return run_rounds(work, advance, state, self.epochs, self._diverged, progress, monitor)

    def _diverged(self, epoch: int) -> Diverged:
        return Diverged(
            f"training diverged in epoch {epoch + 1} of {self.epochs}: "
            f"lower model.trainer.learning_rate (now {self.learning_rate:g})"
        )


class Objective(ABC):
    """What is minimised: it walks one epoch's batches and steps a state."""

    def inputs(self) -> object:
        """What tells it from other objectives: data, stream and settings, as parts, tensors or plain values.

        A killed fit goes on from its checkpoint by them. None: nobody can tell, so it starts afresh.
        """
        return None

    @abstractmethod
    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """Train ``state`` in place for one epoch (from 0) by the rule in ``trainer``; return the mean loss of a pair.

        Every draw depends on the objective's seed and ``epoch`` only.
        """


class BatchObjective(Objective):
    """One whose batches others may walk too: adversarial training takes a second gradient of each.

    Attributes:
        seeds: Stream of its draws.
        weight_decay: Times a parameter, is added to each gradient, as by ``torch.optim``; no part of the loss.
    """

    seeds: Seeds
    weight_decay: float = 0.0

    @abstractmethod
    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
        """The epoch's batches as the model's ``loss`` takes them, the same as ``epoch`` walks."""

    def moved_rows(self, batch: tuple[Tensor, ...]) -> dict[str, Tensor]:
        """By parameter the rows that a step on ``batch`` may move; all rows of those that are not named."""
        return {}


@runtime_checkable
class Trainable(Protocol):
    """A gradient model that ``Trainer`` fits, so that a defense may change what is minimised."""

    tables: ClassVar[tuple[str, ...]]

    @property
    def trainer(self) -> Trainer:
        """How its loss is minimised."""

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Initial parameters on the CPU."""

    def start(self, data: Interactions, seeds: Seeds, device: torch.device) -> Params:
        """The same on ``device``."""

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Scalar training loss of ``batch``."""

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> BatchObjective:
        """What its own fit minimises on ``data``; draws come from the stream ``train`` of ``seeds``."""


def run_rounds(
    work: tuple[object, ...] | None,
    advance: Callable[[State, int], float],
    state: State,
    rounds: int,
    diverged: Callable[[int], Diverged],
    progress: Progress,
    monitor: Monitor | None = None,
) -> State:
    """Advance from ``state["epoch"]`` to ``rounds`` and return the state there; the ``state`` given stays as it is.

    Args:
        work: What tells the rounds from others: a killed fit goes on from its checkpoint by it. None: nobody can tell.
        advance: Changes a state by the round of this number (from 0) and returns its loss.
        state: Where to start.
        rounds: Epochs, or steps that count as one.
        diverged: What is raised about a round after which a number is not finite.
        progress: Hears of rounds and losses.
        monitor: Looks at them.
    """
    fits = partial(_fits, start=state, epochs=rounds)
    loop = Loop() if work is None else progress.loop((*work, _looks(monitor)), fits)
    state = {name: tensor.clone() for name, tensor in _resumed(loop, state).items()}
    for epoch in range(int(state["epoch"]), rounds):
        loss = advance(state, epoch)
        if not math.isfinite(loss):
            raise diverged(epoch)
        state["epoch"] += 1
        progress.step(epoch + 1, rounds, loss=loss)
        if monitor is not None:
            _look(state, monitor, epoch + 1, rounds)
        loop.keep(lambda: state)
    if monitor is not None and monitor.watch is not None:
        monitor.watch.seen.update({int(epoch): row.tolist() for epoch, row in slots(state, "seen").items()})
    if not finite(slots(state, "param").values()):
        raise diverged(rounds - 1)
    return state


def result(state: State) -> Params:
    """The parameters a state stands for: the best epoch's if one was kept, else the newest."""
    return slots(state, "best") or slots(state, "param")


def _resumed(loop: Loop, start: State) -> State:
    """The state in which the loop was killed, on the device of ``start``; ``start`` where there is none."""
    if loop.state is None:
        return start
    device = next((tensor.device for tensor in slots(start, "param").values()), torch.device("cpu"))
    on_host = ("epoch", "step", "best_score")
    return {
        name: tensor if name in on_host or name.startswith("seen.") else tensor.to(device)
        for name, tensor in loop.state.items()
    }


def _fits(found: State, start: State, epochs: int) -> bool:
    """Whether a fit from ``start`` could have kept ``found``, with or without what a monitor adds to it."""
    like = dict(start)
    if "best_score" in found:
        like |= {f"best.{name}": tensor for name, tensor in slots(start, "param").items()}
        like["best_score"] = torch.zeros((), dtype=torch.float64)
    for epoch, row in slots(found, "seen").items():
        like[f"seen.{epoch}"] = torch.zeros(row.numel(), dtype=torch.float64)
    return (
        found.keys() == like.keys()
        and all(alike(found[name], tensor) for name, tensor in like.items())
        and all(epoch.isdecimal() for epoch in slots(found, "seen"))
        and int(start["epoch"]) <= int(found["epoch"]) <= epochs
    )


def _looks(monitor: Monitor | None) -> list[int | None]:
    """When a fit is looked at: part of what tells its checkpoint from another's."""
    if monitor is None:
        return [None, None]
    return [
        None if monitor.score is None else monitor.every,
        None if monitor.watch is None else monitor.watch.every,
    ]


def _look(state: State, monitor: Monitor, epoch: int, last: int) -> None:
    """Choose and watch where it is time."""
    if monitor.score is not None and (epoch % monitor.every == 0 or epoch == last):
        _keep_best(state, monitor.score, epoch)
    watch = monitor.watch
    if watch is not None and (epoch % watch.every == 0 or epoch == last):
        state[f"seen.{epoch}"] = torch.tensor(watch.figures(epoch, slots(state, "param")), dtype=torch.float64)


def _keep_best(state: State, rate: Callable[[int, Params], float], epoch: int) -> None:
    """Copy the parameters if ``rate`` scores them above all before; the first of equals stays."""
    params = slots(state, "param")
    score = rate(epoch, params)
    if "best_score" in state and not score > float(state["best_score"]):
        return
    state["best_score"] = torch.tensor(score, dtype=torch.float64)
    for name, tensor in params.items():
        state[f"best.{name}"] = tensor.clone()
