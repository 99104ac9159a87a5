"""What evaluations of edges and nodes share: they divide the graph themselves, and follow flips."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from recpoison.descriptions import NO_EFFECT
from recpoison.evaluation.base import Evaluation, Seen
from recpoison.idle import Together
from recpoison.ranges import ranged
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class GraphEvaluation(Evaluation[Seen]):
    """Measures a model of a graph, whose edges or nodes it divides itself.

    Args:
        curve_flips: Flips between two points of a curve over the number of flips, each a fit of its own; None draws
            none.
    """

    takes_flips: ClassVar[bool] = True

    curve_flips: int | None = ranged(None, kw_only=True, metadata=NO_EFFECT, low=1, null="no curve")

    def idle(self, parts: Together) -> dict[str, str]:
        """A curve over flips, where nothing is flipped."""
        found = super().idle(parts)
        return found if parts.attack.flips else found | {"curve_flips": f"{type(parts.attack).__name__} flips no edges"}

    @abstractmethod
    def divide(self, loaded: Any, seeds: Seeds) -> Any:
        """As ``Evaluation.divide``."""

    @property
    @abstractmethod
    def divide_inputs(self) -> Any:
        """As ``Evaluation.divide_inputs``."""
