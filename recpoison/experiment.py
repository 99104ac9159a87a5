"""The whole story: split, fit, attack, fit again, defend, measure. No Hydra here; this is the Python API too.

record = run(Parts(dataset, model, attack, defense, evaluation), seeds=[0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from recpoison.attacks.base import Attack
from recpoison.attacks.none import NoAttack
from recpoison.changes import FakeProfiles
from recpoison.data.dataset import Dataset
from recpoison.data.interactions import Interactions
from recpoison.data.saving import load_split, save_split
from recpoison.data.splitting import Split
from recpoison.defenses.base import Defense
from recpoison.defenses.none import NoDefense
from recpoison.descriptions import code_version, describe, identity
from recpoison.errors import IncompatibleParts
from recpoison.evaluation.base import Evaluation, Record
from recpoison.models.base import Fitted, Model, Monitor, load_params, save_params
from recpoison.progress import Progress
from recpoison.records import Cell, CellResult, RunRecord
from recpoison.seeds import Seeds
from recpoison.stages import CHECKPOINT_SECONDS, Stages
from recpoison.store import Store


@dataclass(frozen=True)
class Parts:
    """What a run is made of.

    Args:
        dataset: Where rows come from.
        model: The victim.
        attack: What is done to it.
        defense: How it is fitted in the defended cells.
        evaluation: How it is measured.
        labels: What tables call each of the five; class names where absent.
    """

    dataset: Dataset
    model: Model
    attack: Attack = field(default_factory=NoAttack)
    defense: Defense = field(default_factory=NoDefense)
    evaluation: Evaluation = field(kw_only=True)
    labels: dict[str, str] = field(default_factory=dict)

    def label(self, part: str) -> str:
        """What tables call ``part``."""
        return self.labels.get(part) or type(getattr(self, part)).__name__


def run(
    parts: Parts,
    seeds: Sequence[int] = (0,),
    *,
    device: torch.device | str = "cpu",
    data_dir: Path | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
) -> RunRecord:
    """Measure {no attack, attack} x {no defense, defense} for each seed; cells a run does not need are skipped.

    All cells of a seed share the split, the targets and the initial values of real users and items, so that every
    difference is paired.

    Args:
        parts: What the run is made of.
        seeds: One repetition each.
        device: Where tensors live.
        data_dir: Folder of the datasets; None means ``$RECPOISON_DATA``, else the user cache.
        store: Where finished stages are kept and found; None computes everything.
        progress: Hears about stages.
        checkpoint_seconds: Time between two checkpoints of a long fit, in the store; None writes them at signals only.
    """
    progress = progress or Progress()
    stages = Stages(store, progress, torch.device(device), checkpoint_seconds)
    results, facts = [], {}
    for seed in seeds:
        stages.seed = seed
        split = _split(parts, Seeds(seed), stages, data_dir)
        facts[seed] = _facts(split)
        results += _cells(parts, split, Seeds(seed), stages)
    protocol = {"test rows": parts.dataset.held_out, **parts.evaluation.protocol}
    about = {"device": str(stages.device), "data": facts, "parts": describe_parts(parts)}
    return RunRecord(results, stages.costs, protocol, about)


def describe_parts(parts: Parts) -> dict[str, object]:
    """The five parts in plain values."""
    return {name: describe(getattr(parts, name)) for name in ("dataset", "model", "attack", "defense", "evaluation")}


def _facts(split: Split) -> dict[str, object]:
    """What a reader asks first about the data of a seed."""
    return {
        "users": split.train.n_users,
        "items": split.train.n_items,
        "train_rows": len(split.train),
        "test_rows": len(split.test),
        "fingerprint": split.fingerprint,
    }


def _cells(parts: Parts, split: Split, seeds: Seeds, stages: Stages) -> list[CellResult]:
    """The squares of the two-by-two for one seed."""
    parts.evaluation.check_split(split)
    targets = parts.attack.choose_targets(split.train, seeds)
    attacks = (
        {"none": NoAttack()} if isinstance(parts.attack, NoAttack) else {"none": NoAttack(), "attack": parts.attack}
    )
    defenses = (
        {"none": NoDefense()}
        if isinstance(parts.defense, NoDefense)
        else {"none": NoDefense(), "defense": parts.defense}
    )
    results = []
    for defense_name, defense in defenses.items():
        clean = None
        for attack_name, attack in attacks.items():
            attack_label = parts.label("attack") if attack_name == "attack" else "none"
            defense_label = parts.label("defense") if defense_name == "defense" else "none"
            stages.cell = f"{attack_label}/{defense_label}"
            change = _poison(attack, split.train, targets, seeds, stages)
            fitted, fit_inputs = _fit(parts, defense, change.apply(split.train), split, seeds, stages)
            seen = _look(parts.evaluation, fitted, fit_inputs, split, targets, seeds, stages)
            cell = Cell(parts.label("dataset"), parts.label("model"), attack_label, defense_label, seeds.seed)
            measures = parts.evaluation.measures(seen, clean)
            clean = seen if clean is None else clean
            results.append(CellResult(cell, measures, seen, change if attack_name == "attack" else None))
    return results


def _split(parts: Parts, seeds: Seeds, stages: Stages, data_dir: Path | None) -> Split:
    inputs = {
        "dataset": identity(parts.dataset),
        "files": parts.dataset.fingerprint(data_dir),
        "seed": seeds.seed,
        "code": code_version(parts.dataset, load_split),
    }
    return stages.obtain(
        "split",
        f"split {parts.label('dataset')}",
        inputs,
        lambda progress: parts.dataset.load(data_dir, seeds, progress),
        lambda split, folder: save_split(split, folder / "split.npz"),
        lambda folder: load_split(folder / "split.npz"),
    )


def _poison(attack: Attack, train: Interactions, targets: np.ndarray, seeds: Seeds, stages: Stages) -> FakeProfiles:
    if isinstance(attack, NoAttack):
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
        f"craft {stages.cell.partition('/')[0]}",
        inputs,
        lambda progress: attack.poison(train, targets, seeds, stages.device, progress),
        lambda change, folder: change.save(folder / "change.npz"),
        lambda folder: FakeProfiles.load(folder / "change.npz"),
    )


def _fit(
    parts: Parts, defense: Defense, data: Interactions, split: Split, seeds: Seeds, stages: Stages
) -> tuple[Fitted, dict[str, object]]:
    monitor, watched = _monitor(parts, data, split, seeds)
    inputs = {
        "model": identity(parts.model),
        "defense": identity(defense),
        "data": data.fingerprint,
        "selection": watched,
        "seed": seeds.seed,
        "device": stages.arithmetic,
        "code": code_version(parts.model, defense),
    }
    fitted = stages.obtain(
        "fit",
        f"fit {parts.label('model')} ({stages.cell})",
        inputs,
        lambda progress: _checked(
            defense.fit(parts.model, data, seeds, stages.device, progress, monitor), parts.model, data
        ),
        lambda fitted, folder: save_params(fitted.params, folder / "params.safetensors"),
        lambda folder: Fitted(parts.model, load_params(folder / "params.safetensors", stages.device), data),
    )
    return fitted, inputs


def _checked(fitted: Fitted, model: Model, data: Interactions) -> Fitted:
    """What the store relies on: a defense returns numbers for the model it was given."""
    if fitted.model != model:
        raise IncompatibleParts("a defense returned another model than it was given: what changes scores is a model")
    return replace(fitted, data=data)


def _monitor(parts: Parts, data: Interactions, split: Split, seeds: Seeds) -> tuple[Monitor | None, object]:
    """How an epoch is chosen, and what that choice depends on."""
    evaluation = parts.evaluation
    if evaluation.select_on == "last":
        return None, None
    held_out = split.test if evaluation.select_on == "test" else split.valid
    if held_out is None:
        raise IncompatibleParts(
            "evaluation.select_on=valid needs a validation share: set dataset.split.validation, such as 0.1"
        )
    view = Split(split.train, held_out, negatives=split.negatives if evaluation.select_on == "test" else None)

    def score(epoch: int, params: dict[str, torch.Tensor]) -> float:
        return evaluation.score(Fitted(parts.model, params, data), view, seeds)

    watched = {
        "evaluation": evaluation.score_inputs,
        "held_out": view.fingerprint,
        "code": code_version(evaluation),
    }
    return Monitor(evaluation.select_every, score), watched


def _look(
    evaluation: Evaluation,
    fitted: Fitted,
    fit_inputs: dict[str, object],
    split: Split,
    targets: np.ndarray,
    seeds: Seeds,
    stages: Stages,
) -> Record:
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
        f"rank ({stages.cell})",
        inputs,
        lambda progress: evaluation.look(fitted, split, targets, seeds, stages.device, progress),
        lambda seen, folder: seen.save(folder / "seen.npz"),
        lambda folder: evaluation.read(folder / "seen.npz"),
    )
