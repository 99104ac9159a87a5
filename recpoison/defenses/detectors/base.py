"""What a detector is: a function from a table of interactions to one suspicion a user."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from recpoison.data.interactions import Interactions
from recpoison.idle import Part


@dataclass(frozen=True)
class Detector(Part, ABC):
    """Says how suspicious each user is, from the rows alone: it never learns which users are fake, or how many."""

    reads_values: ClassVar[bool] = True  # whether ratings count, or only who has what

    @abstractmethod
    def scores(self, data: Interactions) -> np.ndarray:
        """Suspicion ``(n_users,)``, higher is more suspicious; a user without rows is the least suspicious."""
