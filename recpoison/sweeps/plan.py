"""What a sweep would do: its cells, what is stored of each, and what the rest may cost. Nothing is run or written."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import rich
import torch
from omegaconf import OmegaConf
from rich.table import Table

from recpoison.attacks.base import Attack
from recpoison.command import cells
from recpoison.command.config import BASES, build, check
from recpoison.command.machine import choose_device, set_up
from recpoison.command.overrides import Job, Sweep
from recpoison.descriptions import digest, identity
from recpoison.errors import ConfigError, UserError
from recpoison.parts import Parts, squares_of
from recpoison.seeds import Seeds
from recpoison.stages.base import Promise, Stage, Value
from recpoison.stages.split import SplitStage
from recpoison.stages.squares import STAGES, craft, measure
from recpoison.stages.store import Entry, Store
from recpoison.stages.trial import Trial, begin
from recpoison.sweeps.sweep import named_cells, settled, shown


@dataclass(frozen=True)
class Need:
    """A stage that a cell needs.

    Args:
        stage: The stage.
        key: Its key in the store, or something as distinct where that is not known before earlier stages are made.
        inputs: The stage's, asked once: with promises in them where earlier stages are not made.
        stored: Whether the store has it.
    """

    stage: Stage
    key: str
    inputs: dict[str, Any]
    stored: bool


def show_plan(sweep: Sweep, trusted: list[str]) -> int:
    """Print the plan of a sweep.

    Args:
        sweep: What would run.
        trusted: Packages besides ``recpoison`` that may be imported.

    Returns:
        The exit code: 2 where a cell's settings are refused, else 0.

    Raises:
        ConfigError: If the sweeper decides as it goes.
    """
    named = named_cells(sweep)
    if sweep.jobs is None or named is None:
        raise ConfigError("sweep.plan needs the whole grid beforehand, but this sweeper decides as it goes")
    table = Table(box=None, pad_edge=False)
    for name in ("cell", "what differs", "status", "stages stored", "left to do"):
        table.add_column(name, overflow="fold")
    shared = set.intersection(*(set(job.overrides) for job in sweep.jobs))
    left: dict[str, tuple[Need, float | None]] = {}
    entries: dict[Path, list[Entry]] = {}
    refused = 0
    for cell, job in {cells.identify_job(job.cfg): job for job in sweep.jobs}.items():
        folder = sweep.folder / cell
        status = cells.read_status(folder)
        word = status.status if status else "pending"
        typed = " ".join(text for text in job.overrides if text not in shared)
        if settled(folder, status, job.cfg, trusted, sweep.cfg.sweep.retry_failed):
            table.add_row(cell, typed, word, "", "nothing")
            continue
        try:
            needs, store = _needs_of(job, trusted)
        except UserError as error:
            refused += 1
            table.add_row(cell, typed, word, "", f"refused: {str(error).splitlines()[0]}")
            continue
        if store and store.folder not in entries:
            entries[store.folder] = store.entries()
        costs = _costs(needs, entries[store.folder] if store else [])
        left.update({need.key: (need, seconds) for need, seconds in costs})
        stored = f"{sum(need.stored for need in needs)} of {len(needs)}"
        table.add_row(cell, typed, word, stored, _sum(costs))
    console = rich.get_console()
    console.print(table)
    console.print(f"{len(named)} cells in {shown(sweep.folder)}; left to do, shared stages once: {_sum(left.values())}")
    return 2 if refused else 0


def _needs_of(job: Job, trusted: list[str]) -> tuple[list[Need], Store | None]:
    cfg = OmegaConf.masked_copy(job.cfg, [str(key) for key in job.cfg if key != "hydra"])
    choices = job.cfg.hydra.runtime.choices
    labels = {group: str(choices[group]) for group in BASES if group in choices}
    check(cfg, trusted, labels)
    built: dict[str, Any] = {group: build(cfg[group], trusted) for group in BASES}
    parts = Parts(**built, labels=labels)
    store = Store(Path(cfg.store_dir)) if cfg.store_dir else None
    device = choose_device(cfg.device)
    set_up(cfg.deterministic, None)  # keys of stages tell whether CUDA was deterministic
    inventory = Inventory(store, device)
    for seed in range(cfg.seed, cfg.seed + cfg.repeats):
        inventory.take(parts, Seeds(seed), Path(cfg.data_dir) if cfg.data_dir else None)
    return list({need.key: need for need in inventory.needs}.values()), store


class Inventory:
    """Goes through the stages of a run and notes what is stored; what is not, stands as a promise for what follows."""

    def __init__(self, store: Store | None, device: torch.device) -> None:
        self.store, self.device = store, device
        self.needs: list[Need] = []

    def take(self, parts: Parts, seeds: Seeds, data_dir: Path | None) -> None:
        """Note the stages of one seed."""
        trial = self._begin(parts, seeds, data_dir)
        for square in squares_of(parts):
            measure(trial, square, craft(trial, square, self.obtain), self.obtain)

    def obtain(self, stage: Stage[Value]) -> Value:
        """Note the stage; its value if it is stored, else a promise of it."""
        inputs = stage.inputs
        key = digest(inputs)
        found = self.store.load(stage.kind, key, stage.load) if self.store else None
        self.needs.append(Need(stage, key, inputs, stored=found is not None))
        return found[0] if found else stage.promise(key)

    def _begin(self, parts: Parts, seeds: Seeds, data_dir: Path | None) -> Trial:
        split = self.obtain(SplitStage(parts, seeds, data_dir))
        if not isinstance(split, Promise):
            return begin(parts, seeds, split, self.device)
        targets = Promise(digest([split.fingerprint, _aim(parts.attack)]))
        return Trial(parts, seeds, split, cast(np.ndarray, targets), self.device)


def _aim(attack: Attack) -> Any:
    """What decides the targets, which the clean cells are ranked for too.

    It may tell apart what the store will not: two rules that choose the same items or go unused, and any two settings
    of an attack that chooses its targets without a field ``targets``.
    """
    if type(attack).choose_targets is Attack.choose_targets:
        return None
    if not hasattr(attack, "targets"):
        return identity(attack)
    return [identity(attack.targets), getattr(attack, "goal", None)]  # some attacks aim at items for one goal only


def _costs(needs: list[Need], entries: list[Entry]) -> list[tuple[Need, float | None]]:
    """What is not stored, and the mean seconds of the stored stages that are alike; None where there is none."""
    costs = []
    for need in needs:
        alike = [entry.seconds for entry in entries if _alike(need, entry)]
        if not need.stored:
            costs.append((need, sum(alike) / len(alike) if alike else None))
    return costs


def _alike(need: Need, entry: Entry) -> bool:
    """The same kind of stage, on data of the same name, by the same attack, model and defense."""
    stage = need.stage
    same = [(stage.kind, entry.stage), (stage.title.partition(" (")[0], entry.title.partition(" (")[0])]
    same += [(digest(need.inputs.get(name)), digest(entry.inputs.get(name))) for name in stage.priced_by]
    return all(one == other for one, other in same)


def _sum(costs: Collection[tuple[Need, float | None]]) -> str:
    if not costs:
        return "reading what is stored"
    kinds = [need.stage.kind for need, _ in costs]
    counted = ", ".join(f"{kinds.count(stage.kind)} {stage.kind}" for stage in STAGES if stage.kind in kinds)
    known = [seconds for _, seconds in costs if seconds is not None]
    unknown = len(costs) - len(known)
    cost = f"about {sum(known):.1f} s" if known else "cost unknown"
    return f"{counted}: {cost}" + (f" and {unknown} of unknown cost" if known and unknown else "")
