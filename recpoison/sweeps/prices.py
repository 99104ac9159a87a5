"""What a stage that is not stored may cost: by stored stages alike, else by what its preset took where we ran it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from recpoison.command.cells import plain_settings
from recpoison.command.machine import choose_device
from recpoison.command.overrides import Job, Sweep, compose_sweep
from recpoison.descriptions import digest
from recpoison.progress import duration
from recpoison.stages.squares import STAGES
from recpoison.stages.store import Entry, Store
from recpoison.sweeps.inventory import Need, Stocktaking

MEASURED = Path(__file__).with_name("measured.yaml")
_PRICED_BY = {stage.kind: stage.priced_by for stage in STAGES}
# Parts of a configuration by which its stages cost what they cost; the seed, the number of seeds, folders do not.
_COSTLY = ("dataset", "model", "attack", "defense", "evaluation")
# Seconds that a sweep may spend on foretelling its end.
_PATIENCE = 2.0


@dataclass(frozen=True)
class Price:
    """Seconds that a stage may take.

    Args:
        seconds: How many.
        rough: Whether it is an estimate, not the mean of stored stages that were set alike.
    """

    seconds: float
    rough: bool = False


@dataclass(frozen=True)
class Measured:
    """What a preset cost where we ran it.

    Args:
        seconds: CPU seconds of one stage of each kind, scaled to this machine.
        cells: Digests of its cells' costly settings.
    """

    seconds: Mapping[str, float] = field(default_factory=dict)
    cells: frozenset[str] = frozenset()


class Prices:
    """Knows what stages cost: by those of a store, and by the preset of a sweep.

    Args:
        entries: What the store has.
        measured: The preset's costs.
    """

    def __init__(self, entries: Sequence[Entry] = (), measured: Measured | None = None) -> None:
        self.measured = measured or Measured()
        self._stored: dict[str, list[float]] = defaultdict(list)
        for entry in entries:
            for sign in _signs(entry.stage, entry.title, entry.inputs):
                self._stored[sign].append(entry.seconds)

    def of(self, need: Need, job: Job) -> Price | None:
        """The price of a stage of a cell, None where nobody knows.

        Stored stages set alike come first, then the preset, then stored stages of the same parts with other settings.
        """
        alike, kindred = _signs(need.stage.kind, need.stage.title, need.inputs)
        if alike in self._stored:
            return Price(_mean(self._stored[alike]))
        if need.stage.kind in self.measured.seconds and _costly(job) in self.measured.cells:
            return Price(self.measured.seconds[need.stage.kind], rough=True)
        return Price(_mean(self._stored[kindred]), rough=True) if kindred in self._stored else None


def _signs(kind: str, title: str, inputs: Mapping[str, Any]) -> tuple[str, str]:
    """What stages have in common that are set alike, and what those that are only of the same parts."""
    kindred = [kind, title.partition(" (")[0], inputs.get("device")]
    return digest([*kindred, *(inputs.get(name) for name in _PRICED_BY.get(kind, ()))]), digest(kindred)


def _mean(seconds: Sequence[float]) -> float:
    return sum(seconds) / len(seconds)


def _costly(job: Job) -> str:
    settings = plain_settings(job.settings)
    return digest([settings.get(name) for name in _COSTLY])


def measured_costs(sweep: Sweep) -> Measured | None:
    """What the preset of a sweep cost where we ran it, on a CPU; None where we did not, or where it runs elsewhere."""
    kept = OmegaConf.load(MEASURED)
    preset = str(sweep.cfg.hydra.runtime.choices.get("experiment"))
    if preset not in kept.presets or choose_device(sweep.cfg.device).type != "cpu":
        return None
    alone = compose_sweep([f"experiment={preset}", *kept.presets[preset].get("words", ())])
    slower = calibrate() / kept.calibration
    seconds = {str(kind): slower * value for kind, value in kept.presets[preset].seconds.items()}
    return Measured(seconds, frozenset(_costly(job) for job in alone.jobs or ()))


def forecast(sweep: Sweep, todo: Collection[str], trusted: Sequence[str]) -> dict[str, float | None]:
    """The seconds that each cell to do may take, stages shared with earlier ones left out; None where nobody knows.

    Nothing is read of the store but what its stages took, so that cells with stored stages may take less. It stops
    where it would keep a user with many cells waiting.

    Args:
        sweep: The sweep.
        todo: The cells to do.
        trusted: Packages besides ``recpoison`` that may be imported.
    """
    foretold: dict[str, float | None] = dict.fromkeys(todo)
    store = sweep.cfg.store_dir
    entries = Store(Path(store)).entries() if store and Path(store).is_dir() else []
    prices = Prices(entries, measured_costs(sweep))
    if not entries and not prices.measured.seconds:
        return foretold
    seen: set[str] = set()
    stocktaking = Stocktaking(trusted, looking=False)
    end = time.monotonic() + _PATIENCE
    for job in sweep.jobs or ():
        if time.monotonic() > end:
            break
        with suppress(Exception):  # a user's part may raise what it likes; the job then says what is wrong
            needs = [need for need in stocktaking.needs_of(job)[0] if need.key not in seen]
            seen |= {need.key for need in needs}
            found = [price.seconds for need in needs if (price := prices.of(need, job))]
            if job.cell in foretold and len(found) == len(needs):
                foretold[job.cell] = sum(found)
    return foretold


@cache
def calibrate() -> float:
    """CPU seconds of a fixed piece of work like a fit's: rows gathered, changed and added back; the best of three."""
    random = np.random.default_rng(0)
    table = random.random((2000, 64), dtype=np.float32)
    rows = random.integers(0, len(table), 20000)
    taken = []
    for _ in range(3):
        start = time.process_time()
        np.add.at(np.zeros_like(table), rows, np.exp(table[rows]))
        taken.append(time.process_time() - start)
    return min(taken)


def in_words(costs: Collection[tuple[Need, Price | None]]) -> str:
    """How many stages of each kind, and what they cost together."""
    if not costs:
        return "reading what is stored"
    kinds = [need.stage.kind for need, _ in costs]
    counted = ", ".join(f"{kinds.count(stage.kind)} {stage.kind}" for stage in STAGES if stage.kind in kinds)
    known = [price for _, price in costs if price is not None]
    unknown = len(costs) - len(known)
    cost = f"about {duration(sum(price.seconds for price in known))}" if known else "cost unknown"
    cost += " (an estimate)" if any(price.rough for price in known) else ""
    return f"{counted}: {cost}" + (f" and {unknown} of unknown cost" if known and unknown else "")
