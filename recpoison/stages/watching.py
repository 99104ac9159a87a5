"""What a run looks at besides its cells: how an epoch is chosen, and the points of its curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

from recpoison.attacks.base import Attack, EmbeddingAttack
from recpoison.changes import EmbeddingShift
from recpoison.curves import Curve, points
from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.descriptions import code_version, identity
from recpoison.errors import IncompatibleParts
from recpoison.evaluation import asking
from recpoison.evaluation.base import Measure
from recpoison.models.base import Fitted, Monitor, Params, Watch
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.stages.base import Promise
from recpoison.stages.trial import Trial

Look = Callable[[Fitted], list[Measure]]


def looker(trial: Trial) -> Look:
    """The evaluation of the run as a function of a fitted model; it tells nobody how far it is."""

    def look(fitted: Fitted) -> list[Measure]:
        evaluation = trial.parts.evaluation
        seen = asking.look(evaluation, fitted, trial.split, trial.targets, trial.seeds, trial.device, Progress())
        return asking.measures(evaluation, seen)

    return look


def look_inputs(trial: Trial) -> dict[str, Any]:
    """What the numbers of a curve depend on beside the model looked at."""
    return {
        "evaluation": identity(trial.parts.evaluation),
        "split": trial.split.fingerprint,
        "targets": trial.targets.tolist(),
        "code": code_version(trial.parts.evaluation),
    }


def selection_inputs(trial: Trial) -> dict[str, Any] | None:
    """What the choice of an epoch depends on; None where the last is kept.

    Raises:
        IncompatibleParts: If there are no rows to choose by.
    """
    evaluation = trial.parts.evaluation
    if evaluation.select_on == "last":
        return None
    known = not isinstance(trial.split, Promise)
    return {
        "evaluation": evaluation.score_inputs,
        "held_out": _judges(trial).fingerprint if known else [trial.split.fingerprint, evaluation.select_on],
        "code": code_version(evaluation),
    }


def monitor_of(trial: Trial, data: Interactions, look: Look) -> tuple[Monitor | None, Watch | None]:
    """What looks at a fit while it runs: None where nobody does; and what draws its curve, where one is asked for.

    Raises:
        IncompatibleParts: If an epoch is to be chosen, but there are no rows to choose by.
    """
    evaluation, model = trial.parts.evaluation, trial.parts.model

    def figures(epoch: int, params: Params) -> Sequence[float]:
        return [measure.value for measure in look(Fitted(model, params, data))]

    watch = None if evaluation.curve_epochs is None else Watch(evaluation.curve_epochs, figures)
    if evaluation.select_on == "last":
        return (None if watch is None else Monitor(watch=watch)), watch
    judges = _judges(trial)

    def score(epoch: int, params: Params) -> float:
        return evaluation.score(Fitted(model, params, data), judges, trial.seeds)

    return Monitor(evaluation.select_every, score, watch), watch


def _judges(trial: Trial) -> Split:
    """The rows by which an epoch is chosen, as test rows."""
    split, select_on = trial.split, trial.parts.evaluation.select_on
    measured = trial.parts.evaluation.selects_measured
    held_out = split.test if measured else split.valid
    if held_out is None:
        raise IncompatibleParts(
            "evaluation.select_on=valid needs a validation share: set dataset.split.validation, such as 0.1"
        )
    if not len(held_out):
        raise IncompatibleParts(
            f"evaluation.select_on={select_on}, but there are no such rows: raise dataset.split.validation, "
            "or set it to 1 for one row of each user"
        )
    return split if measured else Split(split.train, held_out)


def curve_of_fit(watch: Watch | None, fitted: Fitted, look: Look) -> Curve:
    """What ``watch`` saw, with the labels of a look at the fitted model."""
    curve = Curve()
    if watch is not None and watch.seen:
        labels = look(fitted)
        for epoch in sorted(watch.seen):
            found = (replace(label, value=value) for label, value in zip(labels, watch.seen[epoch], strict=True))
            curve += points("epochs", epoch, found)
    return curve


def has_curve(parts: Parts, attack: Attack) -> bool:
    """Whether an attack on embeddings is to be followed over its steps or its epsilon, and has them."""
    return isinstance(attack, EmbeddingAttack) and bool(_stops(parts, attack) or _epsilons(parts, attack))


def _stops(parts: Parts, attack: EmbeddingAttack) -> int | None:
    return parts.evaluation.curve_steps if attack.takes_steps else None


def _epsilons(parts: Parts, attack: EmbeddingAttack) -> Sequence[float]:
    return parts.evaluation.curve_epsilons if any(field.name == "epsilon" for field in fields(attack)) else ()


def curve_of_attack(
    trial: Trial, attack: EmbeddingAttack, fitted: Fitted, news: Progress
) -> tuple[Curve, EmbeddingShift | None]:
    """Measures after every few steps of an attack, and at each epsilon; what it does not have it is not asked for.

    Returns:
        The curve, and the shift after the last step; None where the attack was not followed over its steps.
    """
    look, curve, last = looker(trial), Curve(), None
    every, epsilons = _stops(trial.parts, attack), _epsilons(trial.parts, attack)

    def at(along: str, place: float, shift: EmbeddingShift) -> Curve:
        return points(along, place, look(replace(fitted, params=shift.apply(fitted.params))), shift)

    if every is not None:
        for number, last in attack.path(fitted, trial.targets, trial.seeds, news):
            if number % every == 0:
                curve += at("steps", number, last)
    for number, epsilon in enumerate(epsilons, start=1):
        stronger: Any = replace(attack, **{"epsilon": float(epsilon)})
        curve += at("epsilon", epsilon, stronger.perturb(fitted, trial.targets, trial.seeds, Progress()))
        news.step(number, len(epsilons))
    return curve, last
