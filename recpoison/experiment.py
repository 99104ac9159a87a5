"""The whole story: split, fit, attack, fit again, defend, measure. No Hydra here; this is the Python API too.

record = run(Parts(dataset, model, attack, defense, evaluation), seeds=[0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from recpoison.attacks.base import Attack
from recpoison.attacks.none import NoAttack
from recpoison.changes import Change, EmbeddingShift, FakeProfiles
from recpoison.data.interactions import Interactions
from recpoison.data.saving import load_split, save_split
from recpoison.data.splitting import Split
from recpoison.defenses.base import Defense
from recpoison.descriptions import code_version, identity
from recpoison.errors import IncompatibleParts
from recpoison.evaluation.base import Record
from recpoison.models.base import Fitted, Model, Monitor, load_params, save_params
from recpoison.parts import Parts, describe_parts, grid
from recpoison.progress import Progress
from recpoison.records import Cell, CellResult, RunRecord
from recpoison.seeds import Seeds
from recpoison.stages import CHECKPOINT_SECONDS, Stages
from recpoison.store import Store


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
        split = obtain_split(parts, Seeds(seed), stages, data_dir)
        facts[seed] = _facts(split)
        results += _cells(parts, split, Seeds(seed), stages)
    protocol = {"test rows": parts.dataset.held_out, **parts.evaluation.protocol}
    about = {"device": str(stages.device), "data": facts, "parts": describe_parts(parts)}
    return RunRecord(results, stages.costs, protocol, about)


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
    """The squares of the two-by-two for one seed.

    Fake users are crafted before anything is fitted, so that a setting they cannot be made with costs no fit.
    """
    parts.evaluation.check_split(split)
    targets = parts.attack.choose_targets(split.train, seeds)
    parts.evaluation.check_targets(len(targets))
    stages.cell = f"{parts.label('attack')}/none"
    crafted = obtain_change(parts, parts.attack, split.train, targets, seeds, stages)
    results = []
    clean = None
    for attack_label, attack, defense_label, defense in grid(parts):
        stages.cell = f"{attack_label}/{defense_label}"
        is_clean = isinstance(attack, NoAttack)
        fakes = FakeProfiles.none(targets) if is_clean else crafted
        seen, change = obtain_cell(parts, attack, defense, fakes, split, targets, seeds, stages)
        cell = Cell(parts.label("dataset"), parts.label("model"), attack_label, defense_label, seeds.seed)
        measures = parts.evaluation.measures(seen, None if is_clean else clean)
        clean = seen if is_clean else clean
        results.append(CellResult(cell, measures, seen, None if is_clean else change))
    return results


def obtain_cell(
    parts: Parts,
    attack: Attack,
    defense: Defense,
    change: FakeProfiles,
    split: Split,
    targets: np.ndarray,
    seeds: Seeds,
    stages: Stages,
) -> tuple[Record, Change]:
    """The stages of one square after the fake users: what the evaluation saw, and what the attack changed.

    An attack on a fitted model is crafted for the very numbers it shifts, so for each defense anew.
    """
    fitted, inputs = obtain_fit(parts, defense, change.apply(split.train), split, seeds, stages)
    if not attack.perturbs:
        return obtain_ranks(parts, fitted, inputs, split, targets, seeds, stages), change
    shift, inputs = obtain_shift(parts, attack, fitted, inputs, targets, seeds, stages)
    shifted = replace(fitted, params=shift.apply(fitted.params))
    return obtain_ranks(parts, shifted, inputs, split, targets, seeds, stages), shift


def title(stage: str, parts: Parts, cell: str) -> str:
    """What a reader is told of a stage; up to the parenthesis it is the same for all cells that cost about the same."""
    data = parts.label("dataset")
    names = {
        "split": f"split {data}",
        "change": f"craft {cell.partition('/')[0]} on {data}",
        "fit": f"fit {parts.label('model')} on {data} ({cell})",
        "shift": f"craft {cell.partition('/')[0]} against {parts.label('model')} on {data} ({cell})",
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
    parts: Parts, defense: Defense, data: Interactions, split: Split, seeds: Seeds, stages: Stages
) -> tuple[Fitted, dict[str, object]]:
    """The victim, fitted under a defense, and all that it depends on."""
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
        title("fit", parts, stages.cell),
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
    if not len(held_out):
        raise IncompatibleParts(
            f"evaluation.select_on={evaluation.select_on}, but there are no such rows: raise dataset.split.validation, "
            "or set it to 1 for one row of each user"
        )
    view = split if evaluation.select_on == "test" else Split(split.train, held_out)

    def score(epoch: int, params: dict[str, torch.Tensor]) -> float:
        return evaluation.score(Fitted(parts.model, params, data), view, seeds)

    watched = {
        "evaluation": evaluation.score_inputs,
        "held_out": view.fingerprint,
        "code": code_version(evaluation),
    }
    return Monitor(evaluation.select_every, score), watched


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
