"""The stage that crafts a shift of a fitted model's tables."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from recpoison.attacks.taking import embedding_shift
from recpoison.border import called, method
from recpoison.changes import EmbeddingShift
from recpoison.descriptions import code_version, identity
from recpoison.models.base import Fitted
from recpoison.parts import Square
from recpoison.progress import Progress
from recpoison.stages.fit import FitStage
from recpoison.stages.trial import Trial, TrialStage


class ShiftStage(TrialStage[EmbeddingShift]):
    """What an attack does to a fitted model's numbers: crafted for these very numbers, so for each defense anew.

    Args:
        trial: The seed.
        square: The attack and the defense.
        fit: Where the numbers come from.
        fitted: The numbers.
        followed: The shift, where following the attack step by step has made it already.
    """

    kind = "shift"
    priced_by = ("attack",)

    def __init__(
        self, trial: Trial, square: Square, fit: FitStage, fitted: Fitted, followed: EmbeddingShift | None = None
    ) -> None:
        super().__init__(trial, square)
        self.fit, self.fitted, self.followed = fit, fitted, followed

    @property
    def title(self) -> str:
        """``craft ATTACK against MODEL on DATA (SQUARE)``."""
        return f"craft {self.square.attack_label} against {self._victim}"

    @cached_property
    def lineage(self) -> dict[str, Any]:
        """All that the shifted numbers depend on."""
        return self.trial.base_inputs | {
            "attack": identity(self.square.attack),
            "fit": self.fit.lineage,
            "targets": self.trial.targets.tolist(),
            "code": code_version(self.square.attack, self.trial.parts.model),
        }

    @property
    def inputs(self) -> dict[str, Any]:
        """The lineage."""
        return self.lineage

    def compute(self, progress: Progress) -> EmbeddingShift:
        """Craft it, unless it is there."""
        if self.followed is not None:
            return self.followed
        trial, perturb = self.trial, self.square.attack.perturb
        shift = called(perturb, self.fitted, trial.targets, trial.seeds, progress)
        return EmbeddingShift({}) if shift is None else embedding_shift(shift, self.fitted.params, method(perturb))

    def save(self, value: EmbeddingShift, folder: Path) -> None:
        """One npz."""
        value.save(folder / "shift.npz")

    def load(self, folder: Path) -> EmbeddingShift:
        """The same shift."""
        return EmbeddingShift.load(folder / "shift.npz")

    def promise(self, key: str) -> EmbeddingShift:
        """No shift, which nobody applies."""
        return EmbeddingShift({})
