"""What the stages of a cell are, and which of them the store has. Nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from recpoison.attacks.base import Attack
from recpoison.command.composed import options_of
from recpoison.command.config import BASES, build, check
from recpoison.command.machine import choose_device, set_up
from recpoison.command.overrides import Job
from recpoison.data.splitting import Split
from recpoison.descriptions import digest, identity
from recpoison.parts import Parts, squares_of
from recpoison.seeds import Seeds
from recpoison.stages.base import Promise, Stage, Value
from recpoison.stages.change import Poison
from recpoison.stages.squares import craft, measure
from recpoison.stages.store import Store
from recpoison.stages.trial import Trial, begin, open_trial


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


class Stocktaking:
    """Goes through the cells of a sweep; a part that several of them have is checked and built once.

    Args:
        trusted: Packages besides ``recpoison`` that may be imported.
        looking: Whether the store is asked for each stage; else every stage counts as missing, and nothing is read.
    """

    def __init__(self, trusted: Sequence[str], *, looking: bool = True) -> None:
        self._trusted, self._looking = trusted, looking
        self._sound: set[str] = set()
        self._built: dict[str, Any] = {}

    def needs_of(self, job: Job) -> tuple[list[Need], Store | None]:
        """The stages of a cell, each once, and the store it would use.

        Raises:
            UserError: If the cell's settings are refused.
        """
        cfg, labels = job.settings, options_of(job.cfg.hydra)
        check(cfg, self._trusted, labels, self._sound)
        parts = Parts(**{group: self._build(cfg[group]) for group in BASES}, labels=labels)
        store = Store(Path(cfg.store_dir)) if cfg.store_dir else None
        device = choose_device(cfg.device)
        set_up(cfg.deterministic, None)  # keys of stages tell whether CUDA was deterministic
        inventory = Inventory(store if self._looking else None, device)
        for seed in range(cfg.seed, cfg.seed + cfg.repeats):
            inventory.take(parts, Seeds(seed), Path(cfg.data_dir) if cfg.data_dir else None)
        return list({need.key: need for need in inventory.needs}.values()), store

    def _build(self, node: DictConfig) -> Any:
        sign = repr(OmegaConf.to_container(node, resolve=True))
        if sign not in self._built:
            self._built[sign] = build(node, self._trusted)
        return self._built[sign]


class Inventory:
    """Goes through the stages of a run and notes what is stored; what is not, stands as a promise for what follows."""

    def __init__(self, store: Store | None, device: torch.device) -> None:
        self.store, self.device = store, device
        self.needs: list[Need] = []

    def take(self, parts: Parts, seeds: Seeds, data_dir: Path | None) -> None:
        """Note the stages of one seed."""
        trial = open_trial(parts, seeds, data_dir, self.device, self.obtain, _begin)
        for square in squares_of(parts):
            fakes = craft(trial, square, self.obtain)
            if isinstance(trial.split, Promise) and isinstance(fakes, Poison):  # of another seed, and stored
                arrays = {name: x.tolist() for name, x in fakes.arrays().items()}
                fakes = cast(Poison, Promise(digest(arrays)))
            measure(trial, square, fakes, self.obtain)

    def obtain(self, stage: Stage[Value]) -> Value:
        """Note the stage; its value if it is stored, else a promise of it."""
        inputs = stage.inputs
        key = digest(inputs)
        found = self.store.load(stage.kind, key, stage.load) if self.store else None
        self.needs.append(Need(stage, key, inputs, stored=found is not None))
        return found[0] if found else stage.promise(key)


def _begin(parts: Parts, seeds: Seeds, split: Split, device: torch.device) -> Trial:
    """A trial; of a split that nobody has made, one with promised targets."""
    if not isinstance(split, Promise):
        return begin(parts, seeds, split, device)
    targets = Promise(digest([split.fingerprint, _aim(parts.attack)]))
    return Trial(parts, seeds, split, cast(np.ndarray, targets), device)


def _aim(attack: Attack) -> Any:
    """What decides the targets, which the clean cells are ranked for too.

    It may tell apart what the store will not: two rules that choose the same items or go unused, and any two settings
    of an attack that chooses its targets without a field ``targets``.
    """
    if type(attack).choose_targets is Attack.choose_targets:
        return None
    if attack.reads is not None:
        return [identity(attack), attack.reads]
    if not hasattr(attack, "targets"):
        return identity(attack)
    return [identity(attack.targets), getattr(attack, "goal", None)]  # some attacks aim at items for one goal only
