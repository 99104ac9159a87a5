"""What a sweep would do: its cells, what is stored of each, and what the rest may cost. Nothing is run or written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rich
import torch
from omegaconf import OmegaConf
from rich.table import Table

from recpoison.attacks.base import Attack
from recpoison.command import cells
from recpoison.command.config import BASES, build, check
from recpoison.command.machine import choose_device, set_up
from recpoison.command.overrides import Job, Sweep
from recpoison.defenses.base import Defense
from recpoison.descriptions import digest, identity
from recpoison.errors import ConfigError, UserError
from recpoison.parts import Parts, grid
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.stages.obtaining import Stages
from recpoison.stages.squares import obtain_cell, obtain_change, obtain_split, title
from recpoison.stages.store import Entry, Store
from recpoison.stages.watching import has_curve
from recpoison.sweeps.sweep import named_cells, settled, shown

_STAGES = ("split", "change", "fit", "curve", "shift", "ranks")


@dataclass(frozen=True)
class Need:
    """A stage that a cell needs.

    Args:
        stage: Its kind, such as ``fit``.
        key: Its key in the store, or something as distinct where that is not known before earlier stages are made.
        title: What a reader is told.
        inputs: What its cost may depend on.
        stored: Whether the store has it.
    """

    stage: str
    key: str
    title: str
    inputs: dict[str, Any] = field(default_factory=dict)
    stored: bool = False


class _Absent(Exception):
    """A stage is not stored, so that what depends on it is not known."""


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


class Inventory(Stages):
    """Goes through the stages of a run and notes what is stored, as far as that can be known."""

    def __init__(self, store: Store | None, device: torch.device) -> None:
        super().__init__(store, Progress(), device)
        self.needs: list[Need] = []

    def take(self, parts: Parts, seeds: Seeds, data_dir: Path | None) -> None:
        """Note the stages of one seed."""
        self.seed = seeds.seed
        split = None
        with suppress(_Absent):
            split = obtain_split(parts, seeds, self, data_dir)
            parts.evaluation.check_split(split)
        for attack_label, attack, defense_label, defense in grid(parts):
            self.cell = f"{attack_label}/{defense_label}"
            before = len(self.needs)
            with suppress(_Absent):
                if split is not None:
                    targets = parts.attack.choose_targets(split.train, seeds)
                    change = obtain_change(parts, attack, split.train, targets, seeds, self)
                    obtain_cell(parts, attack, defense, change, split, targets, seeds, self)
            seen = {need.stage for need in self.needs[before:]}
            self.needs += [need for need in self._guesses(parts, attack, defense) if need.stage not in seen]

    def obtain(
        self,
        stage: str,
        title: str,
        inputs: dict[str, Any],
        compute: Callable[[Progress], Any],
        save: Callable[[Any, Path], None],
        load: Callable[[Path], Any],
    ) -> Any:
        """Note the stage, and load it if it is stored."""
        key = digest(inputs)
        entry = self.store.find(stage, key) if self.store else None
        self.needs.append(Need(stage, key, title, inputs, stored=entry is not None))
        if entry is None or self.store is None:
            raise _Absent
        return load(self.store.path(entry))

    def _guesses(self, parts: Parts, attack: Attack, defense: Defense) -> Iterator[Need]:
        """The stages of a cell, with keys that tell them apart as the store will."""
        data = {"dataset": identity(parts.dataset), "seed": self.seed}
        on = data | {"attack": identity(attack)}
        fit = (on if attack.poisons else data) | {"model": identity(parts.model), "defense": identity(defense)}
        fit |= {"selection": _choice_of_epoch(parts)}
        shift = fit | on
        ranks = shift | {"evaluation": parts.evaluation.look_inputs, "targets": _aim(parts.attack)}
        skipped = {"change": not attack.poisons, "shift": not attack.perturbs, "curve": not has_curve(parts, attack)}
        drawn = [list(parts.evaluation.curve_epsilons), parts.evaluation.curve_steps]
        if parts.evaluation.curve_epochs is not None:  # what is made of a fit is the same with its curve and without
            fit |= {"points": [parts.evaluation.curve_epochs, _aim(parts.attack)]}
        curve = shift | {"curve": identity(parts.evaluation), "drawn": drawn}
        for stage, inputs in {"change": on, "fit": fit, "curve": curve, "shift": shift, "ranks": ranks}.items():
            if not skipped.get(stage):
                yield Need(stage, digest([stage, inputs]), title(stage, parts, self.cell), inputs)


def _choice_of_epoch(parts: Parts) -> Any:
    """What decides which epoch of a fit is kept."""
    return None if parts.evaluation.select_on == "last" else parts.evaluation.score_inputs


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
    same = [(need.stage, entry.stage), (need.title.partition(" (")[0], entry.title.partition(" (")[0])]
    decides = {"change": ["attack"], "fit": ["model", "defense"], "shift": ["attack"], "curve": ["attack"]}.get(
        need.stage, []
    )
    same += [(digest(need.inputs.get(name)), digest(entry.inputs.get(name))) for name in decides]
    return all(one == other for one, other in same)


def _sum(costs: Collection[tuple[Need, float | None]]) -> str:
    if not costs:
        return "reading what is stored"
    stages = [need.stage for need, _ in costs]
    counted = ", ".join(f"{stages.count(stage)} {stage}" for stage in _STAGES if stage in stages)
    known = [seconds for _, seconds in costs if seconds is not None]
    unknown = len(costs) - len(known)
    cost = f"about {sum(known):.1f} s" if known else "cost unknown"
    return f"{counted}: {cost}" + (f" and {unknown} of unknown cost" if known and unknown else "")
