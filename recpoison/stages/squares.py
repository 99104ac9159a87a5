"""The path through the stages of one square: fit, follow the attack, shift, look."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

from recpoison.changes import Change, FakeProfiles
from recpoison.curves import Curve, points
from recpoison.defenses.none import NoDefense
from recpoison.edge_flips import EdgeFlips
from recpoison.evaluation import asking
from recpoison.evaluation.base import Record
from recpoison.parts import Square
from recpoison.stages.base import Obtain, Promise, Stage
from recpoison.stages.change import ChangeStage, Poison
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


def craft(trial: Trial, square: Square, obtain: Obtain) -> Poison | None:
    """The change of the data of a square; None where its attack makes none."""
    if not square.attack.poisons:
        return None
    change = cast(Poison, square.attack.used(obtain(ChangeStage(trial.crafting, square))))
    counts = getattr(trial.parts.evaluation, "curve_fakes", ())
    if counts and isinstance(change, FakeProfiles):
        change.first(max(counts))  # a curve beyond it is refused before any fit
    return change


def measure(trial: Trial, square: Square, fakes: Poison | None, obtain: Obtain) -> Outcome:
    """The stages of one square after its change of the data.

    The curve of a fit that is then shifted stands with the square without the attack, which has the same fit.
    """
    train = trial.split.train
    fit = FitStage(trial, square, train if fakes is None else fakes.apply(train))
    victim = obtain(fit)
    fitted, curve = victim.fitted, victim.curve
    if not square.attack.perturbs:
        curve += _along_flips(trial, square, fakes, obtain) + _along_fakes(trial, square, fakes, obtain)
        return Outcome(obtain(RanksStage(trial, square, fit, fitted)), fakes, curve, victim)
    follow = CurveStage(trial, square, fit, fitted)
    curve, followed = obtain(follow) if follow.wanted else (Curve(), None)
    craft_shift = ShiftStage(trial, square, fit, fitted, followed)
    shift = obtain(craft_shift)
    seen = obtain(RanksStage(trial, square, craft_shift, fitted, shift))
    return Outcome(seen, shift, curve, victim)


def _along_flips(trial: Trial, square: Square, flips: Poison | None, obtain: Obtain) -> Curve:
    """The victim, fitted after every few flips: numbers before the last flip and after the first."""
    evaluation, attack = trial.parts.evaluation, square.attack
    every = getattr(evaluation, "curve_flips", None)
    if every is None or not attack.flips or flips is None:
        return Curve()
    planned = isinstance(flips, Promise)
    n_flips = getattr(attack, "n_flips", None) or 0 if planned else len(cast(EdgeFlips, flips))
    return _with_first(trial, square, flips, "flips", range(every, n_flips, every), obtain)


def _along_fakes(trial: Trial, square: Square, fakes: Poison | None, obtain: Obtain) -> Curve:
    """The undefended victim, fitted with the first so many fake users: numbers between none and all of them."""
    counts = getattr(trial.parts.evaluation, "curve_fakes", ())
    if not counts or fakes is None or not isinstance(square.defense, NoDefense):
        return Curve()
    planned = isinstance(fakes, Promise)
    n_fakes = getattr(square.attack, "n_fake_users", None) if planned else fakes.n_fakes
    fewer = sorted({count for count in counts if n_fakes is None or count != n_fakes})
    return _with_first(trial, square, fakes, "fake_users", fewer, obtain)


def _with_first(
    trial: Trial, square: Square, change: Poison, along: str, counts: Iterable[int], obtain: Obtain
) -> Curve:
    """Numbers of the victim, fitted anew with each first part of a change."""
    evaluation, planned = trial.parts.evaluation, isinstance(change, Promise)
    curve = Curve()
    for count in counts:
        part = change.first(count)
        fit = FitStage(trial, square, part.apply(trial.split.train))
        seen = obtain(RanksStage(trial, square, fit, obtain(fit).fitted))
        if not planned:
            curve += points(along, count, asking.measures(evaluation, seen))
    return curve
