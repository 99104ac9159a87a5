"""What evaluations of edges and nodes share: they divide the graph themselves, and follow flips."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

from recpoison.descriptions import NO_EFFECT
from recpoison.errors import ConfigError
from recpoison.evaluation.base import Evaluation, Seen
from recpoison.idle import Together
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class GraphEvaluation(Evaluation[Seen]):
    """Measures a model of a graph, whose edges or nodes it divides itself.

    Args:
        curve_flips: Flips between two points of a curve over the number of flips, each a fit of its own; None draws
            none.
    """

    takes_flips: ClassVar[bool] = True

    curve_flips: int | None = field(default=None, kw_only=True, metadata=NO_EFFECT)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.curve_flips is not None and self.curve_flips < 1:
            raise ConfigError(f"evaluation.curve_flips is {self.curve_flips}: give 1 or more, or null for no curve")

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
