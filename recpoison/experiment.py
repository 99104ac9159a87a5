"""The whole story: split, fit, attack, fit again, defend, measure. No Hydra here; this is the Python API too.

record = run(Parts(dataset, model, attack, defense, evaluation), seeds=[0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recpoison.crafted import lacking_targets
from recpoison.data.graph import NodeGraph
from recpoison.data.notes import USERS_JUDGED, over_seeds
from recpoison.data.reading import read_once
from recpoison.evaluation.learning import learned_nothing
from recpoison.parts import Parts, describe_parts
from recpoison.progress import Progress
from recpoison.records import Cost, RunRecord
from recpoison.seeds import Seeds
from recpoison.shelf import Shelf, Sights
from recpoison.stages.at_once import Once, all_of
from recpoison.stages.change import ChangeStage
from recpoison.stages.finding import Found, find
from recpoison.stages.obtaining import CHECKPOINT_SECONDS, Stages
from recpoison.stages.split import SplitStage
from recpoison.stages.store import Store
from recpoison.stages.trial import Trial, open_trial
from recpoison.training.signals import Signals

_SHARED = (SplitStage.kind, ChangeStage.kind)  # what all repeats want of the seed that an attack is crafted with


def run(
    parts: Parts,
    seeds: Sequence[int] = (0,),
    *,
    device: torch.device | str = "cpu",
    data_dir: Path | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
    checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
    workers: int = 1,
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
        workers: Most seeds at once, as threads, where memory permits; numbers do not depend on it. ``progress`` then
            hears from several.

    Example:
        >>> evaluation = FullRanking(metrics=["HR"], cutoffs=[1])
        >>> record = run(Parts(Planted("planted"), ItemKNN(), evaluation=evaluation), seeds=[0, 1])
        >>> record.metrics()[["seed", "subject", "metric", "k", "value"]]
           seed subject metric  k  value
        0     0    test     HR  1    1.0
        1     1    test     HR  1    1.0
    """
    device, signals = torch.device(device), Signals()
    once = Once(lambda stage: stage.seed == parts.attack.crafted_with and stage.kind in _SHARED)
    shelf = Shelf() if len(seeds) > 1 else None

    def begin(seed: int) -> tuple[Trial, Stages]:
        stages = Stages(store, progress or Progress(), device, checkpoint_seconds, signals)
        return open_trial(parts, Seeds(seed), data_dir, device, once.through(stages.obtain)), stages

    def finish(trial: Trial, stages: Stages) -> tuple[Found, list[Cost]]:
        found = find(trial, once.through(stages.obtain))
        if shelf is not None:
            found = replace(found, results=[shelf.lay_down(one, parts.evaluation.read) for one in found.results])
        return found, stages.costs

    with read_once(parts.dataset) if len(seeds) > 1 else nullcontext():
        first = [begin(seeds[0])]  # let go once it is measured
        works: list[Callable[[], tuple[Found, list[Cost]]]] = [lambda: finish(*first.pop())]
        works += [partial(lambda seed: finish(*begin(seed)), seed) for seed in seeds[1:]]
        done = all_of(works, min(workers, len(seeds)), _n_cells(first[0][0]), signals, device)
    found = {seed: one for seed, (one, _) in zip(seeds, done, strict=True)}
    return _recorded(parts, found, [cost for _, costs in done for cost in costs], device)


def _n_cells(trial: Trial) -> int:
    """Users x items of a seed, or nodes x nodes."""
    train = trial.split.train
    return train.n_nodes**2 if isinstance(train, NodeGraph) else train.n_users * train.n_items


def _recorded(parts: Parts, found: Mapping[int, Found], costs: list[Cost], device: torch.device) -> RunRecord:
    """The record of a run from what each of its seeds showed."""
    facts = {seed: one.facts for seed, one in found.items()}
    judged = {} if parts.evaluation.divides_edges else _judged(facts)
    held_out = dict.fromkeys(one.held_out for one in found.values())
    protocol = {"test rows": " or ".join(held_out), **judged, **parts.protocol}
    results = [result for one in found.values() for result in one.results]
    rates, losses, held = (
        [x for one in found.values() if (x := getattr(one, name))] for name in ("rates", "losses", "holders")
    )
    about: dict[str, Any] = {"device": str(device), "data": facts, "parts": describe_parts(parts)}
    about["targets"] = {seed: one.promoted for seed, one in found.items()}
    about["notes"] = [
        *over_seeds({seed: one.notes for seed, one in found.items()}),
        *parts.remarks,
        *lacking_targets(parts.label("attack"), parts.attack, held),
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


def _judged(facts: Mapping[int, dict[str, Any]]) -> dict[str, str]:
    """How many users have a test row, where not all have one."""
    counted = dict.fromkeys((fact["users_judged"], fact["users"]) for fact in facts.values() if "users" in fact)
    if all(judged == users for judged, users in counted):
        return {}
    return {USERS_JUDGED: " or ".join(f"{judged:,} of {users:,}" for judged, users in counted)}
