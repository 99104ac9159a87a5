"""The whole story: split, fit, attack, fit again, defend, measure. No Hydra here; this is the Python API too.

record = run(Parts(dataset, model, attack, defense, evaluation), seeds=[0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recpoison.data.notes import USERS_JUDGED, over_seeds
from recpoison.evaluation.learning import learned_nothing
from recpoison.parts import Parts, describe_parts
from recpoison.progress import Progress
from recpoison.records import Cost, RunRecord
from recpoison.seeds import Seeds
from recpoison.shelf import Shelf, Sights
from recpoison.stages.base import Obtain, Stage, Value
from recpoison.stages.change import ChangeStage
from recpoison.stages.finding import Found, find
from recpoison.stages.obtaining import CHECKPOINT_SECONDS, Stages
from recpoison.stages.split import SplitStage
from recpoison.stages.store import Store
from recpoison.stages.trial import open_trial


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
    obtain = _once(stages.obtain, parts.attack.crafted_with)
    shelf = Shelf() if len(seeds) > 1 else None
    found: dict[int, Found] = {}
    for seed in seeds:
        one = find(open_trial(parts, Seeds(seed), data_dir, device, obtain), obtain)
        if shelf is not None:
            one = replace(one, results=[shelf.lay_down(result, parts.evaluation.read) for result in one.results])
        found[seed] = one
    return _recorded(parts, found, stages.costs, device)


def _recorded(parts: Parts, found: Mapping[int, Found], costs: list[Cost], device: torch.device) -> RunRecord:
    """The record of a run from what each of its seeds showed."""
    facts = {seed: one.facts for seed, one in found.items()}
    judged = {} if parts.evaluation.divides_edges else _judged(facts)
    held_out = dict.fromkeys(one.held_out for one in found.values())
    protocol = {"test rows": " or ".join(held_out), **judged, **parts.protocol}
    results = [result for one in found.values() for result in one.results]
    rates, losses = ([x for one in found.values() if (x := getattr(one, name))] for name in ("rates", "losses"))
    about: dict[str, Any] = {"device": str(device), "data": facts, "parts": describe_parts(parts)}
    about["targets"] = {seed: one.promoted for seed, one in found.items()}
    about["notes"] = [
        *over_seeds({seed: one.notes for seed, one in found.items()}),
        *parts.remarks,
        *parts.evaluation.notes(Sights(results)),
        *learned_nothing(parts.label("model"), parts.model, rates, losses),
    ]
    if size := next((one.attack_size for one in found.values() if one.attack_size), ""):
        about["attack_size"] = size
    return RunRecord(results, costs, protocol, about, item_ids=_shared({s: one.item_ids for s, one in found.items()}))


def _shared(ids: Mapping[int, np.ndarray | None]) -> dict[int, np.ndarray | None]:
    """The ids of each seed, in memory once where seeds have the same."""
    kept: list[np.ndarray] = []
    shared: dict[int, np.ndarray | None] = {}
    for seed, mine in ids.items():
        if mine is not None:
            same = next((one for one in kept if np.array_equal(one, mine)), None)
            kept += [] if same is not None else [mine]
            mine = mine if same is None else same
        shared[seed] = mine
    return shared


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


def _judged(facts: Mapping[int, dict[str, Any]]) -> dict[str, str]:
    """How many users have a test row, where not all have one."""
    counted = dict.fromkeys((fact["users_judged"], fact["users"]) for fact in facts.values() if "users" in fact)
    if all(judged == users for judged, users in counted):
        return {}
    return {USERS_JUDGED: " or ".join(f"{judged:,} of {users:,}" for judged, users in counted)}
