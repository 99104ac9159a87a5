"""What an evaluation is: it looks at a fitted model once, and turns what it saw into numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, final

import numpy as np
import torch

from recpoison.attacks.base import Attack, EmbeddingAttack
from recpoison.data.splitting import Split
from recpoison.defenses.base import Defense
from recpoison.descriptions import NO_EFFECT, identity
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.idle import Part, Together
from recpoison.models.base import Fitted, Model
from recpoison.nearest import did_you_mean, nearest
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds

SELECTIONS = ("last", "valid", "test")


class Record(Protocol):
    """What an evaluation saw: it can be written, and its arrays go into ``ranks.npz``."""

    def save(self, path: Path) -> None:
        """Write as npz."""

    def arrays(self) -> dict[str, np.ndarray]:
        """Its arrays by name."""


Seen = TypeVar("Seen", bound=Record)


@dataclass(frozen=True, eq=False)
class Measure:
    """One number of a table, and what it is the mean of.

    Args:
        subject: ``test``, ``target``, ``path`` (held-out items, the mean over an attack's steps), ``fake``,
            ``removed`` (users whom a defense took out), ``weighed`` (users whose loss it gave a weight),
            ``surrogate`` (the targets on a learned attack's own model), ``link`` or ``node``.
        metric: Label as papers print it, such as ``HR``.
        k: Cutoff, or None for metrics without one.
        value: The number.
        n: How many units it is taken over.
        units: ``(n,)`` ids of the units (users), for pairing with another cell; None where the metric is no mean, and
            in the record of several seeds, which does not keep them.
        per_unit: ``(n,)`` the metric of each unit; ``value`` is their mean.
    """

    subject: str
    metric: str
    k: int | None
    value: float
    n: int
    units: np.ndarray | None = None
    per_unit: np.ndarray | None = None


@dataclass(frozen=True)
class Evaluation(Part, ABC, Generic[Seen]):
    """Measures a fitted model. Looking (costly) and counting (cheap) are apart, so that a new cutoff needs no new fit.

    Args:
        select_on: Which epoch of a fit is kept: the ``last``, or the best on the ``valid`` or the ``test`` rows.
        select_every: Epochs between two looks where an epoch is chosen.
        curve_epochs: Epochs between two points of the curve of a fit; None draws none.
        curve_steps: Steps between two points of the curve of an attack that takes steps on embeddings; None draws none.
            The metrics' means over these points then stand in the tables too, under the subject ``path``.
        curve_epsilons: Values of an embedding attack's ``epsilon`` for a curve, each an attack of its own.

    Raises:
        ConfigError: If a value is out of range.
    """

    works_on: ClassVar[str | None] = "interactions"  # a Dataset.kind
    takes_flips: ClassVar[bool] = False  # whether it can measure what flipped edges do
    divides_edges: ClassVar[bool] = False  # whether it asks for edges and sampled zeros, instead of a ranking

    select_on: str = ranged("last", kw_only=True, words=SELECTIONS)
    select_every: int = ranged(10, kw_only=True, low=1)
    curve_epochs: int | None = ranged(None, kw_only=True, metadata=NO_EFFECT, low=1, null="no curve")
    curve_steps: int | None = ranged(None, kw_only=True, metadata=NO_EFFECT, low=1, null="no curve")
    curve_epsilons: Sequence[float] = ranged((), kw_only=True, metadata=NO_EFFECT, low=0.0, many=True)

    def __post_init__(self) -> None:
        check_ranges(self, "evaluation")

    def idle(self, parts: Together) -> dict[str, str]:
        """The choice of an epoch, and curves, of parts that have no such thing."""
        found, attack = {}, parts.attack
        if not parts.model.has_epochs:
            why = f"{type(parts.model).__name__} has no epochs"
            found = dict.fromkeys(("select_on", "select_every", "curve_epochs"), why)
        elif self.select_on == "last":
            found["select_every"] = "select_on is last"
        if not (isinstance(attack, EmbeddingAttack) and attack.takes_steps):
            found["curve_steps"] = f"{type(attack).__name__} takes no steps on embeddings"
        named = isinstance(attack, EmbeddingAttack) and "epsilon" in {field.name for field in fields(attack)}
        if not named or "epsilon" in attack.idle(parts):
            found["curve_epsilons"] = f"{type(attack).__name__} has no epsilon on embeddings that counts"
        return found

    def judged(self, split: Any) -> Any:
        """The split whose test rows are those that are measured."""
        return split

    @property
    def selects_measured(self) -> bool:
        """Whether an epoch is chosen by the rows that are then measured."""
        return self.select_on == "test"

    def check_parts(self, model: Model, attack: Attack) -> None:
        """Refuse a model or an attack that cannot be measured so, before any data are read.

        Raises:
            IncompatibleParts: Naming what is lacking.
        """

    @final
    def check_attack(self, attack: Attack) -> None:
        """Refuse an attack on edges where edges are not what is measured, before any data are read.

        Raises:
            IncompatibleParts: Naming the evaluations that fit.
        """
        if attack.flips and not self.takes_flips:
            raise IncompatibleParts(
                f"{type(attack).__name__} flips edges, and {type(self).__name__} has no sampled zeros for that: "
                "choose evaluation=link_prediction, or an attack that adds fake users, such as attack=random"
            )

    @final
    def check_defense(self, defense: Defense) -> None:
        """Refuse a defense that cannot fit a model to edges and zeros where these are fitted, before any data are read.

        Raises:
            IncompatibleParts: If it cannot.
        """
        if self.divides_edges and not defense.learns_edges:
            raise IncompatibleParts(
                f"{type(self).__name__} fits a model to edges and sampled zeros in full batches, which "
                f"{type(defense).__name__} cannot: choose defense=none"
            )

    def divide(self, loaded: Any, seeds: Seeds) -> Any:
        """What is learned from and judged by, out of what the dataset gave: its own split as it is, here.

        Args:
            loaded: A ``Split``, or a ``NodeGraph`` whose nodes nobody has divided.
            seeds: The run's; draws use the stream ``split``.

        Returns:
            A ``Split`` or a ``NodeSplit``.
        """
        return loaded

    @property
    def divide_inputs(self) -> Any:
        """What ``divide`` depends on, in plain values; None where it does nothing."""
        return None

    def check_targets(self, n_targets: int) -> None:
        """Refuse to run where nothing would be measured.

        Raises:
            ConfigError: If all metrics are about targets and there are none.
        """

    def check_split(self, split: Split) -> None:
        """Refuse data that cannot be measured so, before anything is fitted.

        Raises:
            ConfigError: Naming the setting, such as a cutoff beyond the catalogue.
        """

    @property
    def look_inputs(self) -> Any:
        """What ``look`` depends on, in plain values: ranks are looked at again where it changed."""
        return identity(self)

    @property
    def score_inputs(self) -> Any:
        """What the choice of an epoch depends on, in plain values: a fit that makes one is redone where it changed."""
        return identity(self)

    @abstractmethod
    def look(
        self, fitted: Fitted, split: Split, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> Seen:
        """What the model does for every real user, from which all numbers follow."""

    @abstractmethod
    def read(self, path: Path) -> Seen:
        """Read back what ``look`` returned and ``save`` wrote."""

    @abstractmethod
    def measures(self, seen: Seen, clean: Seen | None = None) -> list[Measure]:
        """The numbers of a table. ``clean`` is the same cell without an attack, for metrics that compare."""

    def notes(self, seen: Sequence[Seen]) -> list[str]:
        """Sentences that a reader of the numbers needs, from what was seen in all cells; none by default.

        A cell may be read from disk each time that it is asked for: go through them once.
        """
        return []

    @abstractmethod
    def score(self, fitted: Fitted, held_out: Split, seeds: Seeds) -> float:
        """One number, higher is better, by which an epoch is chosen."""

    @property
    @abstractmethod
    def protocol(self) -> dict[str, str]:
        """What a reader must know to compare these numbers: candidates, ties, owners, who is counted, which epoch."""


def check_metrics(metrics: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a list of metrics that names one that is not ``known``, one twice, or none.

    Raises:
        ConfigError: Naming it.
    """
    for label in metrics:
        if label not in known:
            hint = did_you_mean(nearest(label, known)) or f": choose among {', '.join(known)}"
            raise ConfigError(f"evaluation.metrics has {label!r}, which is no metric{hint}")
    if not metrics or len(set(metrics)) < len(metrics):
        raise ConfigError(f"evaluation.metrics is {list(metrics)}: give at least one metric, each once")
