"""The stage that looks at a fitted model: ranks, from which all metrics follow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from recpoison.changes import EmbeddingShift
from recpoison.descriptions import code_version
from recpoison.evaluation import asking
from recpoison.evaluation.base import Record
from recpoison.models.base import Fitted
from recpoison.parts import Square
from recpoison.progress import Progress
from recpoison.stages.base import Promise
from recpoison.stages.fit import FitStage
from recpoison.stages.shift import ShiftStage
from recpoison.stages.trial import Trial, TrialStage


class RanksStage(TrialStage[Record]):
    """What the evaluation sees of a fitted model, shifted or not.

    Args:
        trial: The seed.
        square: The attack and the defense.
        made: Where the model's numbers come from: its fit, or the shift of it.
        fitted: The fitted numbers.
        shift: What an attack adds to them; None adds nothing.
    """

    kind = "ranks"

    def __init__(
        self,
        trial: Trial,
        square: Square,
        made: FitStage | ShiftStage,
        fitted: Fitted,
        shift: EmbeddingShift | None = None,
    ) -> None:
        super().__init__(trial, square)
        self.made, self.fitted, self.shift = made, fitted, shift

    @property
    def title(self) -> str:
        """``rank MODEL on DATA (SQUARE)``."""
        return f"rank {self._victim}"

    @property
    def inputs(self) -> dict[str, Any]:
        """What the evaluation looks at, and at what."""
        evaluation = self.trial.parts.evaluation
        return {
            "evaluation": evaluation.look_inputs,
            "fit": self.made.lineage,
            "split": self.trial.split.fingerprint,
            "targets": self.trial.targets.tolist(),
            "seed": self.seed,
            "code": code_version(evaluation, self.trial.parts.model),
        }

    def compute(self, progress: Progress) -> Record:
        """Look."""
        trial, fitted = self.trial, self.fitted
        if self.shift is not None:
            fitted = replace(fitted, params=self.shift.apply(fitted.params))
        known = trial.split, trial.targets, trial.seeds, trial.device, progress
        return cast(Record, asking.look(trial.parts.evaluation, fitted, *known))

    def save(self, value: Record, folder: Path) -> None:
        """One npz."""
        value.save(folder / "seen.npz")

    def load(self, folder: Path) -> Record:
        """The same ranks."""
        return cast(Record, self.trial.parts.evaluation.read(folder / "seen.npz"))

    def promise(self, key: str) -> Record:
        """Ranks that nobody has counted."""
        return cast(Record, Promise(key))
