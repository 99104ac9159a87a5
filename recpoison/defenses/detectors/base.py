"""What a detector is: a function from a table of interactions to one suspicion a user."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from recpoison.data.interactions import Interactions
from recpoison.defenses.labels import Labels
from recpoison.errors import ConfigError
from recpoison.idle import Part, Together


@dataclass(frozen=True)
class Detector(Part, ABC):
    """Says how suspicious each user is, from the rows alone: it never learns how many are fake."""

    reads_values: ClassVar[bool] = True  # whether ratings count, or only who has what
    has_cut: ClassVar[bool] = False  # whether it says of itself how many are fake
    for_cut: ClassVar[tuple[str, ...]] = ()  # settings that only this number depends on

    @property
    def needs_ratings(self) -> bool:
        """Whether all users look alike to it where feedback is implicit."""
        return False

    @property
    def told(self) -> bool:
        """Whether it learns from users who are known to be fake."""
        return False

    @abstractmethod
    def scores(self, data: Interactions) -> np.ndarray:
        """Suspicion ``(n_users,)``, higher is more suspicious; a user without rows is the least suspicious."""

    def cut(self, data: Interactions, scores: np.ndarray) -> int:
        """How many of the most suspicious users are fake by its own rule, where it ``has_cut``."""
        raise ConfigError(f"{type(self).__name__} ranks users and does not say how many are fake")


@dataclass(frozen=True)
class LabelledDetector(Detector):
    """One that learns from users who are called fake, and perhaps from others who are called genuine.

    Args:
        labels: Who says so.
    """

    labels: Labels = field(default_factory=Labels)

    @property
    def told(self) -> bool:
        """Where the truth says so, in part or whole."""
        return self.labels.told

    def remarks(self, parts: Together) -> list[str]:
        """Where labels come from."""
        return self.labels.said_of("defense.detector.labels", parts)

    def scores(self, data: Interactions, n_real: int | None = None) -> np.ndarray:
        """Suspicion ``(n_users,)``; ``n_real`` users of ``data``, the first, are genuine, which an oracle is told.

        Raises:
            ConfigError: If the labels are of an oracle that is not told.
        """
        labelled, fake, genuine = self.labels.of(data, n_real)
        return self._learned(labelled, fake, genuine)[: data.n_users]

    @abstractmethod
    def _learned(self, data: Interactions, fake: np.ndarray, genuine: np.ndarray) -> np.ndarray:
        """Suspicion of each user of ``data``, from masks of some who are called fake and some called genuine."""
