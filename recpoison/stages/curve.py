"""The stage that follows an attack on a fitted model over its steps and its epsilon."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, cast

from recpoison.attacks.base import EmbeddingAttack
from recpoison.changes import EmbeddingShift
from recpoison.curves import Curve
from recpoison.descriptions import code_version, identity
from recpoison.models.base import Fitted
from recpoison.parts import Square
from recpoison.progress import Progress
from recpoison.stages import watching
from recpoison.stages.fit import FitStage
from recpoison.stages.trial import Trial, TrialStage


class Followed(NamedTuple):
    """What following an attack showed.

    Args:
        curve: Its points.
        shift: The shift it ended with, if it was followed over its steps just now; a stored curve has none.
    """

    curve: Curve
    shift: EmbeddingShift | None = None


class CurveStage(TrialStage[Followed]):
    """What an attack on a fitted model does on its way, and at other epsilons.

    Args:
        trial: The seed.
        square: The attack and the defense.
        fit: Where the model's numbers come from.
        fitted: The numbers.
    """

    kind = "curve"
    priced_by = ("attack",)

    def __init__(self, trial: Trial, square: Square, fit: FitStage, fitted: Fitted) -> None:
        super().__init__(trial, square)
        self.fit, self.fitted = fit, fitted

    @property
    def wanted(self) -> bool:
        """Whether the attack is to be followed, and has steps or an epsilon to be followed over."""
        return watching.has_curve(self.trial.parts, self.square.attack)

    @property
    def title(self) -> str:
        """``follow ATTACK against MODEL on DATA (SQUARE)``."""
        return f"follow {self.square.attack_label} against {self._victim}"

    @property
    def inputs(self) -> dict[str, Any]:
        """The evaluation, the attack, the fit and the points asked for."""
        attack, evaluation = self.square.attack, self.trial.parts.evaluation
        return (
            self.trial.base_inputs
            | watching.look_inputs(self.trial)
            | {
                "attack": identity(attack),
                "fit": self.fit.lineage,
                "steps": evaluation.curve_steps,
                "epsilons": list(evaluation.curve_epsilons),
                "attack_code": code_version(attack, self.trial.parts.model),
            }
        )

    def compute(self, progress: Progress) -> Followed:
        """Follow it."""
        attack = cast(EmbeddingAttack, self.square.attack)
        return Followed(*watching.curve_of_attack(self.trial, attack, self.fitted, progress))

    def save(self, value: Followed, folder: Path) -> None:
        """The curve; the shift is a stage of its own."""
        value.curve.save(folder / "curve.npz")

    def load(self, folder: Path) -> Followed:
        """The same curve."""
        return Followed(Curve.load(folder / "curve.npz"))

    def promise(self, key: str) -> Followed:
        """A curve without points."""
        return Followed(Curve())
