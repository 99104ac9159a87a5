"""Full-batch steps on labelled edges, written so that an attack can differentiate the same steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from recpoison.algebra.unroll import SGD, Adam, Optimizer, Tensors
from recpoison.data.interactions import LabelledEdges
from recpoison.errors import ConfigError
from recpoison.idle import Part, Together
from recpoison.models.base import Monitor, Params
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.edges.fused_pass import FusedPass
from recpoison.training.edges.network import Network
from recpoison.training.edges.passes import EdgePass, TorchPass, mean_log_loss
from recpoison.training.optimizers import State
from recpoison.training.trainer import BACKENDS, Diverged, result, run_rounds

OPTIMIZERS = ("sgd", "momentum", "adam")
_MOST = 10**6


@dataclass(frozen=True)
class EdgeTrainer(Part):
    """How the mean log loss of labelled edges is minimised: every step sees all of them.

    Args:
        steps: How many.
        optimizer: ``sgd``, ``momentum`` (p <- p - learning_rate b, b <- momentum b + gradient) or ``adam``, as in
            ``torch.optim``.
        learning_rate: Step size.
        momentum: Share of the last direction that stays.
        backend: ``numba`` (CPU), ``torch``, or ``auto``: numba on a CPU.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> EdgeTrainer(steps=20, optimizer="momentum", learning_rate=10.0).rule
        SGD(learning_rate=10.0, momentum=0.9, weight_decay=0.0)
    """

    steps: int = ranged(100, low=0, high=_MOST)
    optimizer: str = ranged("adam", words=OPTIMIZERS)
    learning_rate: float = ranged(0.05, low=0.0, open_low=True)
    momentum: float = ranged(0.9, low=0.0, high=1, open_high=True)
    backend: str = ranged("auto", words=BACKENDS)

    def __post_init__(self) -> None:
        check_ranges(self, "model.edge_trainer")

    def idle(self, parts: Together) -> dict[str, str]:
        """One optimiser alone has a momentum."""
        if self.optimizer == "momentum":
            return {}
        return {"momentum": f"optimizer is {self.optimizer}, and only momentum keeps a share of the last direction"}

    @property
    def rule(self) -> Optimizer:
        """One step, as a function."""
        if self.optimizer == "adam":
            return Adam(self.learning_rate)
        return SGD(self.learning_rate, self.momentum if self.optimizer == "momentum" else 0.0)

    def draws(self, network: Network, seeds: Seeds) -> Callable[[int], int | None]:
        """From the number of a step (from 0) to the draw of its dropout."""
        return lambda number: seeds.integer("dropout", number) if network.dropout else None

    def edge_pass(self, network: Network, users: Tensor, items: Tensor) -> EdgePass:
        """The passes over these pairs that ``backend`` names.

        Raises:
            ConfigError: If numba is to work where the pairs are not on a CPU.
        """
        on_cpu = users.device.type == "cpu"
        if self.backend == "numba" and not on_cpu:
            raise ConfigError("model.edge_trainer.backend=numba runs on a CPU alone: set device=cpu or backend=auto")
        return (FusedPass if on_cpu and self.backend != "torch" else TorchPass)(network, users, items)

    def fit(
        self,
        network: Network,
        params: Params,
        edges: LabelledEdges,
        seeds: Seeds,
        progress: Progress,
        monitor: Monitor | None = None,
    ) -> Params:
        """Train from ``params``, which stay as they are; return the last step's, or those ``monitor`` likes best.

        Args:
            network: The sizes.
            params: Initial values, which say the device and the float type.
            edges: All of them.
            seeds: Stream of dropout.
            progress: Hears of steps and losses, and keeps where a killed fit goes on.
            monitor: Looks at the fit; a step counts as an epoch.

        Raises:
            Diverged: If the loss or a parameter is no longer finite.
        """
        users, items, labels = columns(edges, params["user"])
        passes, draws = self.edge_pass(network, users, items), self.draws(network, seeds)
        first = {name: params[name] for name in network.names}
        return self.minimise(
            lambda tensors, number: passes.gradient(tensors, labels, draws(number)),
            labels, first, (network, [users, items, labels], seeds), progress, monitor,
        )  # fmt: skip

    def minimise(
        self,
        gradient: Callable[[Tensors, int], tuple[Tensor, Tensors]],
        labels: Tensor,
        params: Params,
        inputs: tuple[object, ...],
        progress: Progress,
        monitor: Monitor | None = None,
    ) -> Params:
        """Train all of ``params``, which stay as they are, as ``fit`` does.

        Args:
            gradient: From parameters, in the order of ``params``, and the number of a step to the logits of all pairs
                and the gradient of their mean log loss.
            labels: Of the pairs.
            params: Initial values.
            inputs: What tells this problem from others, for checkpoints.
            progress: As in ``fit``.
            monitor: Likewise.

        Raises:
            Diverged: If the loss or a parameter is no longer finite.
        """
        rule, names = self.rule, _names(params, self.rule)
        start = rule.start(tuple(tensor.detach() for tensor in params.values()))

        def advance(state: State, number: int) -> float:
            before = tuple(state[name] for name in names)
            found, slopes = gradient(before[: len(params)], number)
            state.update(zip(names, rule.step(number, before, slopes), strict=True))
            return float(mean_log_loss(found, labels))

        state = {"epoch": torch.zeros((), dtype=torch.int64)} | dict(zip(names, start, strict=True))
        work = (self, *inputs, state)
        return result(run_rounds(work, advance, state, self.steps, self._diverged, progress, monitor))

    def _diverged(self, step: int) -> Diverged:
        return Diverged(
            f"training diverged in step {step + 1} of {self.steps}: "
            f"lower model.edge_trainer.learning_rate (now {self.learning_rate:g})"
        )


def columns(edges: LabelledEdges, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Users, items and labels as tensors on the device of ``like``, labels of its type."""
    users, items = (
        torch.as_tensor(column, dtype=torch.int64).to(like.device, non_blocking=True)
        for column in (edges.users, edges.items)
    )
    return users, items, torch.as_tensor(edges.labels, dtype=like.dtype).to(like.device, non_blocking=True)


def _names(params: Iterable[str], rule: Optimizer) -> list[str]:
    """What a state calls the tensors of the rule's own."""
    kinds = ["param", *(f"slot{number}" for number in range(1, rule.slots))]
    return [f"{kind}.{name}" for kind in kinds for name in params]
