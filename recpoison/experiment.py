"""The whole story: split, fit, attack, fit again, defend, measure. No Hydra here; this is the Python API too.

record = run(Parts(dataset, model, attack, defense, evaluation), seeds=[0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from recpoison.attacks.none import NoAttack
from recpoison.changes import FakeProfiles
from recpoison.curves import of_trace, on_surrogate
from recpoison.data.characteristics import characterise
from recpoison.data.splitting import Split
from recpoison.defenses.none import NoDefense
from recpoison.parts import Parts, describe_parts, grid
from recpoison.progress import Progress
from recpoison.records import Cell, CellResult, RunRecord
from recpoison.seeds import Seeds
from recpoison.stages.obtaining import CHECKPOINT_SECONDS, Stages
from recpoison.stages.squares import obtain_cell, obtain_change, obtain_split
from recpoison.stages.store import Store


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
    sizes = (r.change.in_words(facts[r.cell.seed]["train_rows"]) for r in results if r.change is not None)
    if size := next(sizes, ""):  # the first seed's, undefended
        about["attack_size"] = size
    return RunRecord(results, stages.costs, protocol, about)


def _facts(split: Split) -> dict[str, Any]:
    """What a reader asks first about the data of a seed."""
    shape = characterise(split.train)
    return {
        "users": shape.n_users,
        "items": shape.n_items,
        "train_rows": len(split.train),
        "test_rows": len(split.test),
        "density": shape.density,
        "size": shape.size,
        "shape": shape.shape,
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
        seen, change, curve = obtain_cell(parts, attack, defense, fakes, split, targets, seeds, stages)
        cell = Cell(parts.label("dataset"), parts.label("model"), attack_label, defense_label, seeds.seed)
        measures = parts.evaluation.measures(seen, None if is_clean else clean) + curve.mean_over_steps()
        clean = seen if is_clean else clean
        if fakes.trace and isinstance(defense, NoDefense):  # the same fake users meet every defense
            curve += of_trace(fakes)
            measures += on_surrogate(fakes, split.train.n_users)
        results.append(CellResult(cell, measures, seen, None if is_clean else change, curve))
    return results
