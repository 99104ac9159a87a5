"""Meta-attack: the zeros whose labels hurt most after training become edges (the meta-gradient report)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from recpoison.attacks.edges.zeros import Board, Chosen, ZeroFlips
from recpoison.attacks.flipping import Flipping
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import Params
from recpoison.progress import alike
from recpoison.ranges import ranged
from recpoison.seeds import Seeds
from recpoison.training.edges.meta_gradient import OUTER_LABELS, SUMS, MetaGradient, meta_gradient
from recpoison.training.edges.passes import mean_log_loss

TRACED = ("Accuracy", "LogLoss")

State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class MetaAttack(ZeroFlips):
    """Greedy flips by the meta-gradient (the meta-gradient report, algorithms 1, 3, 4 and 5).

    In each outer step a surrogate is trained on the labelled edges from its initial values, and the loss after training
    is differentiated in the labels, through every step of the training. The zeros of the largest derivative become
    edges, whatever its sign; of equal ones that which comes first in the data. As printed, the derivative is of the
    loss's own labels too (minus the logit of a pair) and not only by way of training.

    The change's ``trace`` says how the surrogate fits its own labels, with the flips so far, before each step's flips.
    Derivatives through ``tanh`` layers are known to explode, which ends the attack with the settings to change.

    Args:
        initial_values: Of the surrogate: its ``own`` draws, or those of the ``victim``, which with the same model is
            algorithm 1's white box.
        initialisation: Whether each outer step starts from the same values (``fixed``) or draws new ones (``redrawn``);
            dropout likewise.
        edges_per_step: Flips between two trainings of the surrogate; 1 as published.
        approximate: Whether steps are taken to be independent (algorithm 3): no derivative goes through training, and
            those of the losses on the way are added up.
        approximate_sum: Which: ``before_steps`` (t = 0 to T - 1, as algorithm 3 runs), ``after_steps`` (t = 1 to T, as
            its equation has it), or ``dependence`` (after steps, each with its dependence on the one step before).
        outer_labels: ``included``: the loss after training is on the labels that move, as printed; ``fixed``: on those
            as they are, so that labels act by way of training alone.
        memory_mb: MiB within which a training's states are kept; beyond it steps are taken twice.

    Raises:
        ConfigError: If a value is unknown or out of range, or nothing would be left of the derivative.

    Example:
        >>> from recpoison.data.interactions import Edges
        >>> users, items = np.divmod(np.arange(16), 4)
        >>> same = users // 2 == items // 2  # two blocks
        >>> zeros = Edges(users[~same], items[~same])
        >>> data = Interactions(users[same], items[same], np.ones(8), n_users=4, n_items=4, zeros=zeros)
        >>> no_targets, cpu = np.array([], dtype=int), torch.device("cpu")
        >>> attack = MetaAttack(n_flips=3, edges_per_step=2, surrogate=CF(embedding_size=2))
        >>> flips = attack.poison(data, no_targets, Seeds(0), cpu, Progress())
        >>> len(flips), len(flips.trace["Accuracy"])  # two trainings
        (3, 2)
    """

    initial_values: str = ranged("own", words=("own", "victim"))
    initialisation: str = ranged("fixed", words=("fixed", "redrawn"))
    edges_per_step: int = ranged(100, low=1)
    approximate: bool = False
    approximate_sum: str = ranged("before_steps", words=SUMS)
    outer_labels: str = ranged("included", words=OUTER_LABELS)
    memory_mb: int = ranged(1024, low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.initial_values == "victim" and self.initialisation == "redrawn":
            raise ConfigError(
                "attack.initialisation=redrawn starts each step from other values than the victim's: set "
                "attack.initial_values=own, or attack.initialisation=fixed"
            )
        if self.approximate and self.outer_labels == "fixed" and self.approximate_sum != "dependence":
            raise ConfigError(
                f"attack.outer_labels=fixed leaves nothing of the sum {self.approximate_sum}: set "
                "attack.outer_labels=included or attack.approximate_sum=dependence"
            )

    @property
    def _asks_surrogate(self) -> bool:
        return True

    def idle(self, parts: Together) -> dict[str, str]:
        """Which sum, where the derivative is exact."""
        found = super().idle(parts)
        return found if self.approximate else found | {"approximate_sum": "approximate is false"}

    def _choose(self, board: Board, flipping: Flipping) -> Chosen:
        n_steps = math.ceil(flipping.n_flips / self.edges_per_step)
        first = {"places": torch.zeros(0, dtype=torch.int64), "trace": torch.zeros(0, 2, dtype=torch.float64)}
        work = (self, board.data, board.free, flipping.seeds, flipping.run, flipping.n_flips)
        loop = flipping.progress.loop(work, partial(self._fits, first, flipping.n_flips))
        state = first | (loop.state or {})
        started = self._starts(board, flipping)
        while (done := len(state["trace"])) < n_steps:
            state = self._step(state, board, flipping.n_flips, *started(done))
            accuracy, loss = state["trace"][-1].tolist()
            flipping.progress.step(done + 1, n_steps, surrogate_accuracy=accuracy, surrogate_loss=loss)
            loop.keep(partial(dict, state))
        trace = dict(zip(TRACED, state["trace"].numpy().T, strict=True))
        return Chosen(state["places"].numpy(), trace)

    def _step(self, state: State, board: Board, n_flips: int, params: Params, seeds: Seeds) -> State:
        """One training and its flips."""
        places = state["places"].numpy()
        labels = board.edges.labels.copy()
        labels[places] = 1
        found = meta_gradient(
            self.surrogate.network,
            self.surrogate.edge_trainer,
            params,
            board.edges._replace(labels=labels),
            seeds,
            outer_labels=self.outer_labels,
            approximate=self.approximate_sum if self.approximate else None,
            memory_mb=self.memory_mb,
        )
        slopes = found.gradient.numpy()[board.free].astype(np.float64)
        slopes[np.isin(board.free, places)] = -np.inf
        count = min(self.edges_per_step, n_flips - len(places))
        best = board.free[np.argsort(-slopes, kind="stable")[:count]]
        return {
            "places": torch.cat([state["places"], torch.from_numpy(best)]),
            "trace": torch.cat([state["trace"], _seen(found, labels)]),
        }

    def _starts(self, board: Board, flipping: Flipping) -> Callable[[int], tuple[Params, Seeds]]:
        """From the number of an outer step to the surrogate's initial values and the streams of its training."""
        own = self.initial_values == "own"
        seeds = flipping.seeds.child("surrogate") if own else flipping.run

        def drawn(seeds: Seeds) -> tuple[Params, Seeds]:
            return self.surrogate.start(board.data, seeds, flipping.device), seeds.child("train")

        if self.initialisation == "redrawn":
            return lambda number: drawn(seeds.child(number))
        fixed = drawn(seeds)
        return lambda number: fixed

    def _fits(self, first: State, n_flips: int, found: State) -> bool:
        """Whether ``found`` could have come of ``first`` on the way."""
        steps = len(found.get("trace", ()))
        flips = min(steps * self.edges_per_step, n_flips)
        like = {"places": first["places"].new_zeros(flips), "trace": first["trace"].new_zeros(steps, len(TRACED))}
        return found.keys() == like.keys() and all(alike(found[name], tensor) for name, tensor in like.items())


def _seen(found: MetaGradient, labels: np.ndarray) -> Tensor:
    """``(1, 2)`` how the surrogate fits the labels it was trained on."""
    logits = found.logits.double()
    given = torch.from_numpy(labels).double()
    accuracy = ((logits > 0) == (given > 0)).double().mean()
    return torch.stack([accuracy, mean_log_loss(logits, given)]).unsqueeze(0)
