"""The whole story: split, fit, attack, fit again, defend, measure. No Hydra here; this is the Python API too.

record = run(Parts(dataset, model, attack, defense, evaluation), seeds=[0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from recpoison.curves import of_trace, on_surrogate, points
from recpoison.data.characteristics import characterise
from recpoison.data.graph import NodeSplit
from recpoison.data.notes import USERS_JUDGED, over_seeds
from recpoison.data.splitting import Split
from recpoison.defenses.none import NoDefense
from recpoison.edge_flips import EdgeFlips
from recpoison.evaluation import asking
from recpoison.evaluation.learning import Losses, Rates, beside_popularity, learned_nothing
from recpoison.evaluation.removal import caught
from recpoison.evaluation.robustness import robustness_improvement
from recpoison.parts import Parts, describe_parts, squares_of
from recpoison.progress import Progress
from recpoison.records import Cell, CellResult, RunRecord
from recpoison.seeds import Seeds
from recpoison.stages.base import Obtain, Stage, Value
from recpoison.stages.change import ChangeStage
from recpoison.stages.obtaining import CHECKPOINT_SECONDS, Stages
from recpoison.stages.split import SplitStage
from recpoison.stages.squares import Outcome, craft, measure
from recpoison.stages.store import Store
from recpoison.stages.trial import Trial, open_trial


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

    Example:
        >>> evaluation = FullRanking(metrics=["HR"], cutoffs=[1])
        >>> record = run(Parts(Planted("planted"), ItemKNN(), evaluation=evaluation), seeds=[0, 1])
        >>> record.metrics()[["seed", "subject", "metric", "k", "value"]]
           seed subject metric  k  value
        0     0    test     HR  1    1.0
        1     1    test     HR  1    1.0
    """
    device = torch.device(device)
    stages = Stages(store, progress or Progress(), device, checkpoint_seconds)
    results: list[CellResult] = []
    facts: dict[int, dict[str, Any]] = {}
    notes: dict[int, tuple[str, ...]] = {}
    promoted: dict[int, list[dict[str, Any]]] = {}
    learned = _Learned([], [])
    item_ids: dict[int, np.ndarray | None] = {}
    held_out: dict[str, None] = {}
    obtain = _once(stages.obtain, parts.attack.crafted_with)
    for seed in seeds:
        trial = open_trial(parts, Seeds(seed), data_dir, device, obtain)
        split = trial.split
        facts[seed] = _facts(split)
        promoted[seed], item_ids[seed] = _promoted(trial), getattr(split.train, "item_labels", None)
        cells, told = _cells(trial, obtain, learned)
        results, notes[seed] = [*results, *cells], (*split.notes, *told)
        held_out |= {split.held_out: None}
    judged = {} if parts.evaluation.divides_edges else _judged(facts)
    protocol = {"test rows": " or ".join(held_out), **judged, **parts.protocol}
    about = {"device": str(device), "data": facts, "parts": describe_parts(parts), "targets": promoted}
    seen = [result.seen for result in results]
    about["notes"] = [*over_seeds(notes), *parts.remarks, *parts.evaluation.notes(seen), *learned.notes(parts)]
    sizes = (r.change.in_words(facts[r.cell.seed]["train_rows"]) for r in results if r.change is not None)
    if size := next(sizes, ""):  # the first seed's, undefended
        about["attack_size"] = size
    return RunRecord(results, stages.costs, protocol, about, item_ids=item_ids)


def _once(obtain: Obtain, seed: int | None) -> Obtain:
    """``obtain``, asked once in a run for the rows and the fake users of ``seed``, which every repeat wants."""
    kept: dict[str, Any] = {}

    def asked(stage: Stage[Value], /) -> Value:
        if stage.seed != seed or stage.kind not in (SplitStage.kind, ChangeStage.kind):
            return obtain(stage)
        found: Value = kept[stage.kind] if stage.kind in kept else obtain(stage)
        kept[stage.kind] = found
        return found

    return asked


def _promoted(trial: Trial) -> list[dict[str, Any]]:
    """The targets of a seed by number and by their source's id (None where that is not known), and their rows."""
    if not len(trial.targets):
        return []
    train = trial.split.train
    ids = [None] * train.n_items if train.item_labels is None else train.item_labels
    return [
        {"item": int(item), "id": None if ids[item] is None else str(ids[item]), "rows": int(train.item_counts[item])}
        for item in trial.targets
    ]


def _facts(split: Split | NodeSplit) -> dict[str, Any]:
    """What a reader asks first about the data of a seed."""
    if isinstance(split, NodeSplit):
        return split.facts() | {"fingerprint": split.fingerprint}
    shape, zeros = characterise(split.train), split.train.zeros
    return {
        "users": shape.n_users,
        "items": shape.n_items,
        "train_rows": len(split.train),
        **({} if zeros is None else {"train_zeros": len(zeros.users)}),
        "test_rows": len(split.test),
        "ratings": None if split.train.scale is None else list(split.train.scale),  # lowest, highest, step
        "users_judged": split.n_judged,
        "density": shape.density,
        "size": shape.size,
        "shape": shape.shape,
        "fingerprint": split.fingerprint,
    }


def _judged(facts: Mapping[int, dict[str, Any]]) -> dict[str, str]:
    """How many users have a test row, where not all have one."""
    counted = dict.fromkeys((fact["users_judged"], fact["users"]) for fact in facts.values() if "users" in fact)
    if all(judged == users for judged, users in counted):
        return {}
    return {USERS_JUDGED: " or ".join(f"{judged:,} of {users:,}" for judged, users in counted)}


class _Learned(NamedTuple):
    """What tells, of each seed, whether the victim learned anything."""

    rates: list[Rates]
    losses: list[Losses]

    def note(self, trial: Trial, outcome: Outcome) -> None:
        """Take in the victim without attack and defense."""
        evaluation, fit = trial.parts.evaluation, outcome.fit
        rates = beside_popularity(evaluation, fit.fitted, outcome.seen, trial.split, trial.seeds)
        self.rates.extend([] if rates is None else [rates])
        self.losses.extend([] if fit.losses is None else [fit.losses])

    def notes(self, parts: Parts) -> list[str]:
        """A sentence where it may have learned nothing."""
        return learned_nothing(parts.label("model"), parts.model, self.rates, self.losses)


def _cells(trial: Trial, obtain: Obtain, learned: _Learned) -> tuple[list[CellResult], list[str]]:
    """The squares of the two-by-two for one seed, and notes about them.

    Fake users are crafted before anything is fitted, so that a setting they cannot be made with costs no fit.
    """
    parts, squares = trial.parts, squares_of(trial.parts)
    crafted = next((craft(trial, square, obtain) for square in squares if not square.clean), None)
    results: list[CellResult] = []
    notes: list[str] = []
    clean = None
    for square in squares:
        fakes = None if square.clean else crafted
        outcome = measure(trial, square, fakes, obtain)
        seen, change, curve, fit = outcome
        removed, suspicion = fit.fitted.removed, fit.fitted.suspicion
        if square.clean and isinstance(square.defense, NoDefense):
            learned.note(trial, outcome)
        measures = asking.measures(parts.evaluation, seen, None if square.clean else clean) + curve.mean_over_steps()
        clean = seen if square.clean else clean
        if removed is not None:
            measures += caught(removed, trial.split.train.n_users, 0 if fakes is None else fakes.n_fakes, suspicion)
        if fakes is not None and fakes.trace and isinstance(square.defense, NoDefense):  # the same for every defense
            curve += of_trace(fakes)
            measures += [] if fakes.best is None else on_surrogate(fakes, trial.split.train.n_users)
        if isinstance(fakes, EdgeFlips) and getattr(parts.evaluation, "curve_flips", None) is not None:
            curve = points("flips", 0, results[-1].measures) + curve + points("flips", len(fakes), measures)
        if not (square.clean or isinstance(square.defense, NoDefense)):
            gained, notes = robustness_improvement(results[0].measures, results[1].measures, measures)
            measures += gained
        cell = Cell(
            parts.label("dataset"), parts.label("model"), square.attack_label, square.defense_label, trial.seeds.seed
        )
        results.append(CellResult(cell, measures, seen, change, curve))
    return results, notes
