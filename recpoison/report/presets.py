"""What the preset of a published table runs, and how a run of somebody's differs from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from typing import TYPE_CHECKING, Any

from recpoison.published.commands import grid_of
from recpoison.published.plain import dotted
from recpoison.published.tables import GROUPS, PublishedCell, PublishedTable
from recpoison.report.measurements import affects

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True, eq=False)
class Job:
    """One run of a preset, composed where somebody asks: a table has hundreds.

    Args:
        overrides: What is typed for it.
    """

    overrides: tuple[str, ...]

    @cached_property
    def _composed(self) -> DictConfig:
        from recpoison.command.overrides import compose_root  # Hydra, which other reports do without

        return compose_root(self.overrides, with_hydra=True)

    @cached_property
    def choices(self) -> Mapping[str, str]:
        """The option of each group."""
        return {str(group): str(option) for group, option in self._composed.hydra.runtime.choices.items()}

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Its settings by dotted key, lists as text, as runs are read."""
        from omegaconf import OmegaConf

        own = OmegaConf.masked_copy(self._composed, [str(key) for key in self._composed if key != "hydra"])
        return dict(dotted(OmegaConf.to_container(own, resolve=True)))


@dataclass(frozen=True)
class Difference:
    """A setting in which a run is not what a preset runs."""

    key: str
    run: Any
    preset: Any

    def __str__(self) -> str:
        return f"{self.key} is {_shown(self.run)} where the preset has {_shown(self.preset)}"


@dataclass(frozen=True, eq=False)
class Expected:
    """Which runs hold which cells of a table.

    With presets, a run has to equal one of their jobs in every setting that can affect the cell; seeds, device, folders
    and threads are free. Without any, the settings that the table lists have to fit.
    """

    table: PublishedTable
    _found: dict[Any, tuple[Job, ...]] = field(default_factory=dict)

    @cached_property
    def _jobs(self) -> tuple[Job, ...]:
        return tuple(job for preset in self.table.presets for job in jobs_of(preset))

    def differences(self, cell: PublishedCell, config: Mapping[str, Any]) -> list[Difference]:
        """Where a run with ``config`` differs from the nearest job for ``cell``; nothing if it holds the cell."""
        jobs = self.jobs(cell)
        wanted = [job.config for job in jobs] or [cell.settings]
        return min((_differences(cell, config, one, whole=bool(jobs)) for one in wanted), key=len)

    def jobs(self, cell: PublishedCell) -> tuple[Job, ...]:
        """The jobs of the presets that hold ``cell``."""
        alike = (cell.identity, tuple(cell.options.items()))  # not id(cell): merged cells come and go
        if alike not in self._found:
            self._found[alike] = tuple(job for job in self._jobs if _holds(job, cell))
        return self._found[alike]


@cache
def jobs_of(preset: str) -> tuple[Job, ...]:
    """The runs of ``experiment=PRESET``: every combination of what it sweeps."""
    keys, values = list(grid := grid_of(preset)), grid.values()
    typed = ([f"{key}={value}" for key, value in zip(keys, each, strict=True)] for each in product(*values))
    return tuple(Job((f"experiment={preset}", *words)) for words in typed)


def _holds(job: Job, cell: PublishedCell) -> bool:
    """Whether the job measures the cell: a run measures its clean cells and its undefended ones too."""
    chosen = {group: option for group, option in cell.options.items() if group in GROUPS}
    free = {group for group in ("attack", "defense") if chosen.get(group) == "none"}
    typed = dict(word.split("=", 1) for word in job.overrides)
    if any(typed.get(group, option) != option for group, option in chosen.items() if group not in free):
        return False  # without composing it
    free |= {"setting", "victim"}  # their settings are in the cell's
    if any(job.choices.get(group) != option for group, option in chosen.items() if group not in free):
        return False
    return not _differences(cell, job.config, cell.settings, whole=False)


def _differences(
    cell: PublishedCell, config: Mapping[str, Any], wanted: Mapping[str, Any], *, whole: bool
) -> list[Difference]:
    """Settings of ``wanted``, or with ``whole`` of either, that differ and can affect the cell."""
    keys = dict.fromkeys([*wanted, *(config if whole else ())])
    found = (Difference(key, config.get(key), wanted.get(key)) for key in keys if _matters(key, cell))
    return [one for one in found if one.run != one.preset]


def _matters(key: str, cell: PublishedCell) -> bool:
    attack = str(cell.options.get("attack"))
    if attack == "none" and cell.subject != "target" and key.startswith("attack."):
        return False
    return affects(key, attack, str(cell.options.get("defense")))


def in_words(differences: Sequence[Difference]) -> str:
    """The first two of them, and how many more there are."""
    more = len(differences) - 2
    end = f"; and {more} more {'setting' if more == 1 else 'settings'}" if more > 0 else ""
    return "; ".join(map(str, differences[:2])) + end


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
