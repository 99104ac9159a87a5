"""What a command line composes to: one run, or a sweep and each of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recpoison.command.cells import identify
from recpoison.command.composed import searches, settings_of
from recpoison.command.grid import Grid
from recpoison.command.words import in_swept_group, said_of
from recpoison.descriptions import digest
from recpoison.errors import ConfigError
from recpoison.paths import CONF_DIR, ROOT_CONFIG

SWEEPS = Path("outputs", "multirun")
_SUBDIR = "${recpoison.cell:}"
REFUSALS = (HydraException, OmegaConfBaseException, ValueError)


def compose_root(overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """The composed configuration, outside any run; with its ``hydra`` node if asked."""
    with conf_dir():
        return compose(ROOT_CONFIG, overrides=list(overrides), return_hydra_config=with_hydra)


class _Composed(ConfigLoaderImpl):
    """A loader that was asked before what it is asked first."""

    def __init__(self, loader: ConfigLoader, cfg: DictConfig) -> None:
        super().__init__(loader.get_search_path())
        self._first: DictConfig | None = cfg

    def load_configuration(self, *asked: Any, **settings: Any) -> DictConfig:
        first, self._first = self._first, None
        return super().load_configuration(*asked, **settings) if first is None else first


def run_composed(cfg: DictConfig, job: Callable[[Any], Any], words: Sequence[str]) -> None:
    """Have Hydra run a job as its command would, but for composing: it does so twice, once only to know the mode.

    Args:
        cfg: What ``words`` compose to, with the ``hydra`` node; changed as Hydra changes it.
        job: What it calls.
        words: The overrides.
    """
    mode = f"hydra.mode={RunMode.RUN.name}"
    if cfg.hydra.mode is None:  # its command adds the word
        cfg.hydra.mode = RunMode.RUN
        cfg.hydra.overrides.hydra.append(mode)
    with conf_dir() as hydra:
        hydra.config_loader = _Composed(hydra.config_loader, cfg)
        hydra.run(ROOT_CONFIG, job, [*words, mode])


def is_sweep(overrides: Sequence[str]) -> bool:
    """Whether a preset among ``overrides`` is a sweep without being asked (``hydra.mode: MULTIRUN``)."""
    with conf_dir() as hydra:
        return hydra.get_mode(ROOT_CONFIG, list(overrides)) == RunMode.MULTIRUN


@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Args:
        overrides: What is typed for it.
        cfg: Its configuration, with the ``hydra`` node.
    """

    overrides: list[str]
    cfg: DictConfig

    @cached_property
    def settings(self) -> DictConfig:
        """Its configuration without the ``hydra`` node."""
        return settings_of(self.cfg)

    @cached_property
    def cell(self) -> str:
        """The hash of its settings."""
        return identify(self.settings, self.cfg.hydra.runtime.choices)


@dataclass(frozen=True)
class Sweep:
    """A sweep as Hydra will run it.

    Args:
        cfg: The configuration that all jobs share, with the ``hydra`` node.
        folder: Where its jobs lie.
        jobs: All of them; None where the sweeper decides as it goes, as a search does.
        intervals: Settings that it draws from an interval of fractions, with the interval.
    """

    cfg: DictConfig
    folder: Path
    jobs: list[Job] | None
    intervals: Mapping[str, str] = field(default_factory=dict)


def compose_sweep(overrides: Sequence[str]) -> Sweep:
    """Compose a sweep and each of its jobs.

    Where nobody chose ``hydra.sweep.dir``, the folder is named by the experiment and a hash of what the sweep is made
    of: the same command, typed again, finds its folder, whatever launcher or store it is given.

    Raises:
        ConfigError: If a combination does not compose.
    """
    with conf_dir() as hydra:
        loader = hydra.config_loader
        try:
            cfg = loader.load_configuration(ROOT_CONFIG, list(overrides), run_mode=RunMode.MULTIRUN)
            typed = [f"{key}={value}" for key, value in (OmegaConf.select(cfg, "hydra.sweeper.params") or {}).items()]
            parsed = OverridesParser.create(config_loader=loader).parse_overrides([*typed, *cfg.hydra.overrides.task])
            jobs = None
            if not searches(cfg.hydra):
                (batch,) = BasicSweeper.split_arguments(parsed, None)
                compose_job = Grid(loader, cfg).job
                jobs = [Job(texts, compose_job(texts)) for texts in batch]
        except REFUSALS as error:
            raise ConfigError(said_of(error) + in_swept_group(error)) from error
        if OmegaConf.to_container(cfg.hydra.sweep, resolve=False)["subdir"] != _SUBDIR:  # type: ignore[index, call-overload]
            raise ConfigError("hydra.sweep.subdir names each cell by its hash, so that it is found again: leave it out")
        if jobs == []:
            raise ConfigError("the sweep has no cells: a glob or a range in it matches nothing")
        folder = Path(cfg.hydra.sweep.dir)
        grid = sorted(override.input_line or "" for override in parsed if override.is_sweep_override())
        intervals = {o.key_or_group: _after_equals(o) for o in parsed if _is_fractional(o)}
        return Sweep(cfg, folder / _name(cfg, grid) if folder == SWEEPS else folder, jobs, intervals)


def _is_fractional(override: Override) -> bool:
    """Whether values between whole numbers are drawn: Hydra reads whole bounds as fractions unless they are cast."""
    value = override.value() if override.is_interval_sweep() else None
    return isinstance(value, IntervalSweep) and not (isinstance(value.start, int) and isinstance(value.end, int))


def _after_equals(override: Override) -> str:
    return (override.input_line or "").partition("=")[2]


def _name(cfg: DictConfig, grid: list[str]) -> str:
    choices = dict(cfg.hydra.runtime.choices)
    return f"{choices.get('experiment') or 'sweep'}-{digest([identify(cfg, choices), grid])[:8]}"


@contextmanager
def conf_dir() -> Iterator[Hydra]:
    """Hydra, set up for our YAML; a program that calls us and had it set up otherwise has it back as it was."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF_DIR), job_name="recpoison"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            yield hydra
    finally:
        GlobalHydra.instance().hydra = before
