"""What a run looks at besides its cells: how an epoch is chosen, and the points of its curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch

from recpoison.attacks.base import Attack, EmbeddingAttack
from recpoison.changes import EmbeddingShift
from recpoison.curves import Curve, points
from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.descriptions import code_version, identity
from recpoison.errors import IncompatibleParts
from recpoison.evaluation.base import Measure
from recpoison.models.base import Fitted, Monitor, Params, Watch
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds

Look = Callable[[Fitted], list[Measure]]


def looker(parts: Parts, split: Split, targets: np.ndarray, seeds: Seeds, device: torch.device) -> Look:
    """The evaluation of the run as a function of a fitted model; it tells nobody how far it is."""

    def look(fitted: Fitted) -> list[Measure]:
        evaluation = parts.evaluation
        return evaluation.measures(evaluation.look(fitted, split, targets, seeds, device, Progress()))

    return look


def look_inputs(parts: Parts, split: Split, targets: np.ndarray) -> dict[str, Any]:
    """What the numbers of a curve depend on beside the model looked at."""
    return {
        "evaluation": identity(parts.evaluation),
        "split": split.fingerprint,
        "targets": targets.tolist(),
        "code": code_version(parts.evaluation),
    }


def chosen_by(parts: Parts, data: Interactions, split: Split, seeds: Seeds) -> tuple[Monitor, object]:
    """How an epoch is chosen, and what that choice depends on: None where the last is kept.

    Raises:
        IncompatibleParts: If there are no rows to choose by.
    """
    evaluation = parts.evaluation
    if evaluation.select_on == "last":
        return Monitor(), None
    held_out = split.test if evaluation.select_on == "test" else split.valid
    if held_out is None:
        raise IncompatibleParts(
            "evaluation.select_on=valid needs a validation share: set dataset.split.validation, such as 0.1"
        )
    if not len(held_out):
        raise IncompatibleParts(
            f"evaluation.select_on={evaluation.select_on}, but there are no such rows: raise dataset.split.validation, "
            "or set it to 1 for one row of each user"
        )
    view = split if evaluation.select_on == "test" else Split(split.train, held_out)

    def score(epoch: int, params: Params) -> float:
        return evaluation.score(Fitted(parts.model, params, data), view, seeds)

    watched = {
        "evaluation": evaluation.score_inputs,
        "held_out": view.fingerprint,
        "code": code_version(evaluation),
    }
    return Monitor(evaluation.select_every, score), watched


def watch_of(parts: Parts, data: Interactions, look: Look) -> Watch | None:
    """What draws the curve of a fit; None where none is asked for."""
    if parts.evaluation.curve_epochs is None:
        return None

    def figures(epoch: int, params: Params) -> Sequence[float]:
        return [measure.value for measure in look(Fitted(parts.model, params, data))]

    return Watch(parts.evaluation.curve_epochs, figures)


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
    parts: Parts, attack: EmbeddingAttack, fitted: Fitted, targets: np.ndarray, seeds: Seeds, look: Look, news: Progress
) -> Curve:
    """Measures after every few steps of an attack, and at each epsilon; what it does not have it is not asked for."""

    def at(along: str, place: float, shift: EmbeddingShift) -> Curve:
        return points(along, place, look(replace(fitted, params=shift.apply(fitted.params))), shift)

    curve, every, epsilons = Curve(), _stops(parts, attack), _epsilons(parts, attack)
    if every is not None:
        for number, shift in attack.path(fitted, targets, seeds, news):
            if number % every == 0:
                curve += at("steps", number, shift)
    for number, epsilon in enumerate(epsilons, start=1):
        stronger: Any = replace(attack, **{"epsilon": float(epsilon)})
        curve += at("epsilon", epsilon, stronger.perturb(fitted, targets, seeds, Progress()))
        news.step(number, len(epsilons))
    return curve
