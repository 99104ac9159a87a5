"""The stages of a run: each is computed, or found in the store by everything that can affect it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from recpoison.attacks.base import Attack, EmbeddingAttack
from recpoison.changes import Change, EmbeddingShift, FakeProfiles
from recpoison.curves import Curve
from recpoison.data.interactions import Interactions
from recpoison.data.saving import load_split, save_split
from recpoison.data.splitting import Split
from recpoison.defenses.base import Defense
from recpoison.descriptions import code_version, identity
from recpoison.errors import IncompatibleParts
from recpoison.evaluation.base import Record
from recpoison.models.base import Fitted, Model, load_params, save_params
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.stages.obtaining import Stages
from recpoison.stages.watching import chosen_by, curve_of_attack, curve_of_fit, has_curve, look_inputs, looker, watch_of

CURVE = "curve.npz"


class Square(NamedTuple):
    """What one square of the two-by-two came to.

    Args:
        seen: What the evaluation looked at.
        change: What the attack changed.
        curve: Of the fit and of the attack, as far as they were asked for.
    """

    seen: Record
    change: Change
    curve: Curve


def obtain_cell(
    parts: Parts,
    attack: Attack,
    defense: Defense,
    change: FakeProfiles,
    split: Split,
    targets: np.ndarray,
    seeds: Seeds,
    stages: Stages,
) -> Square:
    """The stages of one square after the fake users.

    An attack on a fitted model is crafted for the very numbers it shifts, so for each defense anew. The curve of such
    a fit stands with the cell without the attack, which has the same fit.
    """
    fitted, curve, inputs = obtain_fit(parts, defense, change.apply(split.train), split, targets, seeds, stages)
    if not attack.perturbs:
        return Square(obtain_ranks(parts, fitted, inputs, split, targets, seeds, stages), change, curve)
    curve = obtain_curve(parts, attack, fitted, inputs, split, targets, seeds, stages)
    shift, inputs = obtain_shift(parts, attack, fitted, inputs, targets, seeds, stages)
    shifted = replace(fitted, params=shift.apply(fitted.params))
    return Square(obtain_ranks(parts, shifted, inputs, split, targets, seeds, stages), shift, curve)


def title(stage: str, parts: Parts, cell: str) -> str:
    """What a reader is told of a stage; up to the parenthesis it is the same for all cells that cost about the same."""
    data = parts.label("dataset")
    names = {
        "split": f"split {data}",
        "change": f"craft {cell.partition('/')[0]} on {data}",
        "fit": f"fit {parts.label('model')} on {data} ({cell})",
        "shift": f"craft {cell.partition('/')[0]} against {parts.label('model')} on {data} ({cell})",
        "curve": f"follow {cell.partition('/')[0]} against {parts.label('model')} on {data} ({cell})",
        "ranks": f"rank {parts.label('model')} on {data} ({cell})",
    }
    return names[stage]


def obtain_split(parts: Parts, seeds: Seeds, stages: Stages, data_dir: Path | None) -> Split:
    """The rows of the dataset, split."""
    inputs = {
        "dataset": identity(parts.dataset),
        "files": parts.dataset.fingerprint(data_dir),
        "seed": seeds.seed,
        "code": code_version(parts.dataset, load_split),
    }
    return stages.obtain(
        "split",
        title("split", parts, ""),
        inputs,
        lambda progress: parts.dataset.load(data_dir, seeds, progress),
        lambda split, folder: save_split(split, folder / "split.npz"),
        lambda folder: load_split(folder / "split.npz"),
    )


def obtain_change(
    parts: Parts, attack: Attack, train: Interactions, targets: np.ndarray, seeds: Seeds, stages: Stages
) -> FakeProfiles:
    """What an attack does to the rows."""
    if not attack.poisons:
        return FakeProfiles.none(targets)
    inputs = {
        "attack": identity(attack),
        "data": train.fingerprint,
        "targets": targets.tolist(),
        "seed": seeds.seed,
        "device": stages.arithmetic,
        "code": code_version(attack),
    }
    return stages.obtain(
        "change",
        title("change", parts, stages.cell),
        inputs,
        lambda progress: attack.poison(train, targets, seeds, stages.device, progress),
        lambda change, folder: change.save(folder / "change.npz"),
        lambda folder: FakeProfiles.load(folder / "change.npz"),
    )


def obtain_fit(
    parts: Parts,
    defense: Defense,
    data: Interactions,
    split: Split,
    targets: np.ndarray,
    seeds: Seeds,
    stages: Stages,
) -> tuple[Fitted, Curve, dict[str, object]]:
    """The victim, fitted under a defense, the curve of its fit, and all that its numbers depend on.

    Watching changes no number, so that what is made of a fit is the same with its curve and without.
    """
    monitor, watched = chosen_by(parts, data, split, seeds)
    look = looker(parts, split, targets, seeds, stages.device)
    watch = watch_of(parts, data, look)
    inputs = {
        "model": identity(parts.model),
        "defense": identity(defense),
        "data": data.fingerprint,
        "selection": watched,
        "seed": seeds.seed,
        "device": stages.arithmetic,
        "code": code_version(parts.model, defense),
    }
    watching: dict[str, object] = {}
    if watch is not None:
        watching = {"curve": look_inputs(parts, split, targets) | {"every": watch.every}}
        monitor = replace(monitor, watch=watch)
    hears = None if watched is None and watch is None else monitor

    def compute(progress: Progress) -> tuple[Fitted, Curve]:
        fitted = _checked(defense.fit(parts.model, data, seeds, stages.device, progress, hears), parts.model, data)
        return fitted, curve_of_fit(watch, fitted, look)

    fitted, curve = stages.obtain(
        "fit", title("fit", parts, stages.cell), inputs | watching, compute, _save_fit, _reader(parts, data, stages)
    )
    return fitted, curve, inputs


def _save_fit(fit: tuple[Fitted, Curve], folder: Path) -> None:
    fitted, curve = fit
    save_params(fitted.params, folder / "params.safetensors")
    if curve.rows:
        curve.save(folder / CURVE)


def _reader(parts: Parts, data: Interactions, stages: Stages) -> Callable[[Path], tuple[Fitted, Curve]]:
    def read(folder: Path) -> tuple[Fitted, Curve]:
        params = load_params(folder / "params.safetensors", stages.device)
        curve = Curve.load(folder / CURVE) if (folder / CURVE).exists() else Curve()
        return Fitted(parts.model, params, data), curve

    return read


def _checked(fitted: Fitted, model: Model, data: Interactions) -> Fitted:
    """What the store relies on: a defense returns numbers for the model it was given."""
    if fitted.model != model:
        raise IncompatibleParts("a defense returned another model than it was given: what changes scores is a model")
    return replace(fitted, data=data)


def obtain_shift(
    parts: Parts,
    attack: Attack,
    fitted: Fitted,
    fit_inputs: dict[str, object],
    targets: np.ndarray,
    seeds: Seeds,
    stages: Stages,
) -> tuple[EmbeddingShift, dict[str, object]]:
    """What an attack does to a fitted model's numbers, and all that the shifted numbers depend on."""
    inputs: dict[str, object] = {
        "attack": identity(attack),
        "fit": fit_inputs,
        "targets": targets.tolist(),
        "seed": seeds.seed,
        "device": stages.arithmetic,
        "code": code_version(attack, fitted.model),
    }
    shift = stages.obtain(
        "shift",
        title("shift", parts, stages.cell),
        inputs,
        lambda progress: attack.perturb(fitted, targets, seeds, progress) or EmbeddingShift({}),
        lambda shift, folder: shift.save(folder / "shift.npz"),
        lambda folder: EmbeddingShift.load(folder / "shift.npz"),
    )
    return shift, inputs


def obtain_curve(
    parts: Parts,
    attack: Attack,
    fitted: Fitted,
    fit_inputs: dict[str, object],
    split: Split,
    targets: np.ndarray,
    seeds: Seeds,
    stages: Stages,
) -> Curve:
    """What an attack on a fitted model does on its way, and at other epsilons."""
    if not has_curve(parts, attack):
        return Curve()
    evaluation = parts.evaluation
    inputs = look_inputs(parts, split, targets) | {
        "attack": identity(attack),
        "fit": fit_inputs,
        "steps": evaluation.curve_steps,
        "epsilons": list(evaluation.curve_epsilons),
        "seed": seeds.seed,
        "device": stages.arithmetic,
        "attack_code": code_version(attack, fitted.model),
    }
    look = looker(parts, split, targets, seeds, stages.device)
    followed = cast(EmbeddingAttack, attack)
    return stages.obtain(
        "curve",
        title("curve", parts, stages.cell),
        inputs,
        lambda progress: curve_of_attack(parts, followed, fitted, targets, seeds, look, progress),
        lambda curve, folder: curve.save(folder / CURVE),
        lambda folder: Curve.load(folder / CURVE),
    )


def obtain_ranks(
    parts: Parts,
    fitted: Fitted,
    fit_inputs: dict[str, object],
    split: Split,
    targets: np.ndarray,
    seeds: Seeds,
    stages: Stages,
) -> Record:
    """What the evaluation looks at."""
    evaluation = parts.evaluation
    inputs = {
        "evaluation": evaluation.look_inputs,
        "fit": fit_inputs,
        "split": split.fingerprint,
        "targets": targets.tolist(),
        "seed": seeds.seed,
        "code": code_version(evaluation, fitted.model),
    }
    return stages.obtain(
        "ranks",
        title("ranks", parts, stages.cell),
        inputs,
        lambda progress: evaluation.look(fitted, split, targets, seeds, stages.device, progress),
        lambda seen, folder: seen.save(folder / "seen.npz"),
        lambda folder: evaluation.read(folder / "seen.npz"),
    )
