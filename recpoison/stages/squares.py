"""The path through the stages of one square: fit, follow the attack, shift, look."""

from __future__ import annotations

from typing import NamedTuple

from recpoison.changes import Change, FakeProfiles
from recpoison.curves import Curve
from recpoison.evaluation.base import Record
from recpoison.parts import Square
from recpoison.stages.base import Obtain, Stage
from recpoison.stages.change import ChangeStage
from recpoison.stages.curve import CurveStage
from recpoison.stages.fit import Fit, FitStage
from recpoison.stages.ranks import RanksStage
from recpoison.stages.shift import ShiftStage
from recpoison.stages.split import SplitStage
from recpoison.stages.trial import Trial

STAGES: tuple[type[Stage], ...] = (SplitStage, ChangeStage, FitStage, CurveStage, ShiftStage, RanksStage)


class Outcome(NamedTuple):
    """What one square came to.

    Args:
        seen: What the evaluation looked at.
        change: What the attack changed; None without an attack.
        curve: Of the fit and of the attack, as far as they were asked for.
        fit: The fitted victim, before any shift.
    """

    seen: Record
    change: Change | None
    curve: Curve
    fit: Fit


def craft(trial: Trial, square: Square, obtain: Obtain) -> FakeProfiles | None:
    """The fake users of a square; None where its attack makes none."""
    return obtain(ChangeStage(trial.crafting, square)) if square.attack.poisons else None


def measure(trial: Trial, square: Square, fakes: FakeProfiles | None, obtain: Obtain) -> Outcome:
    """The stages of one square after the fake users.

    The curve of a fit that is then shifted stands with the square without the attack, which has the same fit.
    """
    train = trial.split.train
    fit = FitStage(trial, square, train if fakes is None else fakes.apply(train))
    victim = obtain(fit)
    fitted, curve = victim.fitted, victim.curve
    if not square.attack.perturbs:
        return Outcome(obtain(RanksStage(trial, square, fit, fitted)), fakes, curve, victim)
    follow = CurveStage(trial, square, fit, fitted)
    curve, followed = obtain(follow) if follow.wanted else (Curve(), None)
    craft_shift = ShiftStage(trial, square, fit, fitted, followed)
    shift = obtain(craft_shift)
    seen = obtain(RanksStage(trial, square, craft_shift, fitted, shift))
    return Outcome(seen, shift, curve, victim)
