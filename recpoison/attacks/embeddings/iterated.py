"""What attacks in several steps share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recpoison.algebra.perturbation import DIRECTIONS, PROJECTIONS, Tables, project
from recpoison.attacks.embeddings.base import GradientAttack
from recpoison.changes import EmbeddingShift
from recpoison.idle import Together
from recpoison.models.base import Fitted
from recpoison.progress import Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds

NEGATIVES = ("fixed", "fresh")


@dataclass(frozen=True, kw_only=True)
class IteratedAttack(GradientAttack, ABC):
    """Takes steps up the gradient from a start, and keeps within a bound after each (MSAP, equations 5 to 7).

    The step is ``step_size`` times the row-normalised gradient. The published bound is ``box``: a row may then be as
    long as the steps together, far beyond FGSM's ``epsilon``. The default here is the bound that FGSM has too.

    Args:
        steps: Steps.
        step_size: L2 length of each row's step; None is a quarter of ``epsilon``, as in MSAP.
        projection: ``row_l2`` (rows within ``epsilon``), ``box`` (numbers within ``epsilon``, as in the authors' code)
            or ``none``.
        direction: What a step of size 1 is: ``row_l2`` (the authors), ``matrix_l2`` (as the equations are written),
            ``sign`` or ``value``.
        negatives: ``fixed`` (one draw for all steps, as the authors) or ``fresh`` at each step.
    """

    steps: int = ranged(25, low=1)
    step_size: float | None = ranged(None, low=0.0, open_low=True, null="epsilon / 4")
    projection: str = ranged("row_l2", words=PROJECTIONS)
    direction: str = ranged("row_l2", words=DIRECTIONS)
    negatives: str = ranged("fixed", words=NEGATIVES)

    def idle(self, parts: Together) -> dict[str, str]:
        """Fresh draws where there is one, or none; epsilon where nothing is bounded by it."""
        found = super().idle(parts)
        if not parts.model.samples:
            found["negatives"] = f"{type(parts.model).__name__}'s loss is of all its data and draws none"
        elif self.steps == 1:
            found["negatives"] = "steps is 1, so there is one draw"
        if self.projection == "none" and self.step_size is not None:
            found["epsilon"] = "projection is none and step_size is given"
        return found

    @property
    def limit(self) -> tuple[str, float] | None:
        """``epsilon`` in the norm of the projection."""
        return {"box": ("linf", self.epsilon), "row_l2": ("row_l2", self.epsilon)}.get(self.projection)

    @abstractmethod
    def _start(self, fitted: Fitted, seeds: Seeds) -> Tables:
        """The shift before the first step."""

    def _craft(self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress) -> EmbeddingShift:
        return deque(self._walk(fitted, targets, seeds, progress), maxlen=1)[0][1]

    def _walk(
        self, fitted: Fitted, targets: np.ndarray, seeds: Seeds, progress: Progress
    ) -> Iterator[tuple[int, EmbeddingShift]]:
        loss = self._loss(fitted, targets, seeds)
        size = self.epsilon / 4 if self.step_size is None else self.step_size
        shift = self._start(fitted, seeds)  # Δ_0 of eq. 5
        for number in range(self.steps):
            draw = number if self.negatives == "fresh" else 0
            value, steps = self._uphill(loss, fitted, shift, self.direction, draw)
            # eq. 7, the first time eq. 6; a bound of the tables around the fitted ones is one of the shift around 0
            longer = {name: table + size * steps[name] for name, table in shift.items()}
            shift = project(longer, self.epsilon, self.projection)
            progress.step(number + 1, self.steps, loss=value)
            yield number + 1, EmbeddingShift(shift)
