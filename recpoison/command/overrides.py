"""Command lines that do not compose: Hydra stops at the first mistake, so each override is tried on its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_type_hints

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

from recpoison.command.cells import identify
from recpoison.command.checking import TARGET, describe, unknown_setting
from recpoison.command.config import Root, settings
from recpoison.command.words import names_options, said_of, texts_of, unreadable
from recpoison.descriptions import digest
from recpoison.errors import ConfigError
from recpoison.nearest import did_you_mean, nearest
from recpoison.paths import CONF_DIR, ROOT_CONFIG

SWEEPS = Path("outputs", "multirun")
_SUBDIR = "${recpoison.cell:}"
_LAUNCHERS = {"joblib": "joblib", "submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"}
_REFUSALS = (HydraException, OmegaConfBaseException, ValueError)


@dataclass(frozen=True)
class Verdict:
    """What came of trying each override.

    Args:
        problems: One sentence each.
        good: Overrides without a problem of their own, the first value where several were to be swept.
        composes: Whether those compose together.
    """

    problems: list[str] = field(default_factory=list)
    good: list[str] = field(default_factory=list)
    composes: bool = True


def try_each(overrides: Sequence[str], *, sweeping: bool) -> Verdict:
    """Compose each override on its own: groups first, then settings under the chosen options.

    Args:
        overrides: As typed, such as ``attack=average`` and ``attack.budget=0.1``.
        sweeping: Whether several values, such as ``seed=0,1``, are runs of their own.
    """
    with _conf_dir():
        trial = _Trial(sweeping)
        parsed = list(trial.parse(overrides))
        first = [o for o in parsed if o.key_or_group == "hydra.searchpath"]
        groups = [o for o in parsed if trial.is_group(o)]
        for override in first:
            trial.setting(override)
        for override in groups:
            trial.group(override)
        composes = trial.composes()
        if composes:
            for override in parsed:
                if override not in first and override not in groups:
                    trial.setting(override)
        return Verdict(trial.problems, trial.fixed + [texts[0] for texts in trial.chosen.values()], composes)


def misread(overrides: Sequence[str], *, sweeping: bool) -> list[str]:
    """What is wrong with the overrides as text, before anything is composed: a sentence for each problem."""
    with _conf_dir():
        trial = _Trial(sweeping)
        list(trial.parse(overrides))
        return trial.problems


def compose_root(overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """The composed configuration, outside any run; with its ``hydra`` node if asked."""
    with _conf_dir():
        return compose(ROOT_CONFIG, overrides=list(overrides), return_hydra_config=with_hydra)


def is_sweep(overrides: Sequence[str]) -> bool:
    """Whether a preset among ``overrides`` is a sweep without being asked (``hydra.mode: MULTIRUN``)."""
    with _conf_dir() as hydra:
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


@dataclass(frozen=True)
class Sweep:
    """A sweep as Hydra will run it.

    Args:
        cfg: The configuration that all jobs share, with the ``hydra`` node.
        folder: Where its jobs lie.
        jobs: All of them; None where the sweeper decides as it goes, as a search does.
    """

    cfg: DictConfig
    folder: Path
    jobs: list[Job] | None


def compose_sweep(overrides: Sequence[str]) -> Sweep:
    """Compose a sweep and each of its jobs.

    Where nobody chose ``hydra.sweep.dir``, the folder is named by the experiment and a hash of what the sweep is made
    of: the same command, typed again, finds its folder, whatever launcher or store it is given.

    Raises:
        ConfigError: If a combination does not compose.
    """
    with _conf_dir() as hydra:
        loader = hydra.config_loader
        try:
            cfg = loader.load_configuration(ROOT_CONFIG, list(overrides), run_mode=RunMode.MULTIRUN)
            typed = [f"{key}={value}" for key, value in (OmegaConf.select(cfg, "hydra.sweeper.params") or {}).items()]
            parsed = OverridesParser.create(config_loader=loader).parse_overrides([*typed, *cfg.hydra.overrides.task])
            jobs = None
            if str(cfg.hydra.sweeper[TARGET]).endswith(".BasicSweeper"):
                (batch,) = BasicSweeper.split_arguments(parsed, None)
                jobs = [Job(texts, loader.load_sweep_config(cfg, texts)) for texts in batch]
        except _REFUSALS as error:
            raise ConfigError(said_of(error) + _swept(error)) from error
        if OmegaConf.to_container(cfg.hydra.sweep, resolve=False)["subdir"] != _SUBDIR:  # type: ignore[index, call-overload]
            raise ConfigError("hydra.sweep.subdir names each cell by its hash, so that it is found again: leave it out")
        if jobs == []:
            raise ConfigError("the sweep has no cells: a glob or a range in it matches nothing")
        folder = Path(cfg.hydra.sweep.dir)
        grid = sorted(override.input_line or "" for override in parsed if override.is_sweep_override())
        return Sweep(cfg, folder / _name(cfg, grid) if folder == SWEEPS else folder, jobs)


def _name(cfg: DictConfig, grid: list[str]) -> str:
    choices = dict(cfg.hydra.runtime.choices)
    return f"{choices.get('experiment') or 'sweep'}-{digest([identify(cfg, choices), grid])[:8]}"


@contextmanager
def _conf_dir() -> Iterator[Hydra]:
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


class _Trial:
    """Collects problems and what composes while the overrides are tried one by one."""

    def __init__(self, sweeping: bool) -> None:
        self.sweeping = sweeping
        self.problems: list[str] = []
        self.fixed: list[str] = []
        self.chosen: dict[str, list[str]] = {}
        self.failed: set[str] = set()
        self.loader = GlobalHydra.instance().config_loader()
        self.groups = set(self.loader.list_groups(""))

    def parse(self, overrides: Sequence[str]) -> Iterator[Override]:
        """Overrides that can be read and do not name a group twice."""
        parser = OverridesParser.create(config_loader=self.loader)
        seen: set[str] = set()
        for text in overrides:
            try:
                override = parser.parse_override(text)
                override.config_loader = self.loader
                values = texts_of(override)
            except (HydraException, ValueError, NotImplementedError) as error:
                self.problems.append(unreadable(text, error))
                continue
            key = override.get_key_element().lstrip("+~")
            if key in seen:
                self.problems.append(f"{key} is given twice: keep one")
            elif self.is_group(override) and not names_options(override):
                self.problems.append(f"{text}: choose an option of {key} by its name")
            elif not values:
                self.problems.append(f"{text} matches nothing: give at least one value")
            elif override.is_sweep_override() and not self.sweeping:
                self.problems.append(
                    f"{text} gives several values: add -m to run each, or write {key}=[...] if a list is meant"
                )
            elif key == "experiment" and override.is_sweep_override():
                self.problems.append(f"{text}: one experiment at a time: run each by a command of its own")
            else:
                yield override
            seen.add(key)

    def is_group(self, override: Override) -> bool:
        """Whether an override chooses an option of a group."""
        return override.key_or_group in self.groups or "/" in override.key_or_group

    def group(self, override: Override) -> None:
        """Try the options of a group override."""
        name = override.key_or_group
        good = []
        for text in texts_of(override):
            try:
                compose(ROOT_CONFIG, overrides=[*self.fixed, text])
                good.append(text)
            except _REFUSALS as error:
                self.failed.add(name)
                self.problems.append(self._option_problem(text, name, error))
        if good:
            self.chosen[override.get_key_element().lstrip("+~")] = good

    def _option_problem(self, text: str, name: str, error: Exception) -> str:
        option = text.partition("=")[2]
        available = self.loader.get_group_options(name, overrides=self.fixed, config_name=ROOT_CONFIG)
        if name == "hydra/launcher" and option in _LAUNCHERS:
            return f"{text}: this launcher is not installed: pip install 'recpoison[{_LAUNCHERS[option]}]'"
        if option in available:
            return f"{text}: {said_of(error)}"
        listed = f" ({name} offers {', '.join(available)})" if available else f" (there are no options of {name} yet)"
        return f"{text}: there is no such option{did_you_mean(nearest(option, available))}{listed}"

    def composes(self) -> bool:
        """Whether the chosen options compose with one another; settings cannot be tried where they do not."""
        try:
            compose(ROOT_CONFIG, overrides=self._contexts("")[0])
        except _REFUSALS as error:
            self.problems += [] if self.failed else [said_of(error)]
            return False
        return True

    def setting(self, override: Override) -> None:
        """Try a plain setting under each chosen option of its group."""
        group = override.key_or_group.partition(".")[0]
        if group in self.failed:
            return
        found: dict[str, None] = {}
        for context in self._contexts(group):
            for text in texts_of(override):
                try:
                    compose(ROOT_CONFIG, overrides=[*context, text])
                except _REFUSALS as error:
                    found[self._setting_problem(override.key_or_group, text, context, error)] = None
        self.problems += found
        if not found:
            self.fixed.append(texts_of(override)[0])

    def _contexts(self, group: str) -> list[list[str]]:
        """The choices under which a setting of ``group`` must exist: each swept option of that group."""
        others = [texts[0] for key, texts in self.chosen.items() if key != group]
        return [[*self.fixed, *others, text] for text in self.chosen.get(group, [])] or [[*self.fixed, *others]]

    def _setting_problem(self, key: str, text: str, context: list[str], error: Exception) -> str:
        cause = error.__cause__
        cfg = compose(ROOT_CONFIG, overrides=context, return_hydra_config=key.startswith("hydra"))
        if isinstance(cause, (ConfigAttributeError, ConfigKeyError)):
            sentence = unknown_setting(key, [*self.groups, *settings(cfg)])
            group = key.partition(".")[0]
            option = compose(ROOT_CONFIG, overrides=context, return_hydra_config=True).hydra.runtime.choices
            return (
                sentence.replace("there is no", f"{group}={option[group]} has no", 1) if group in option else sentence
            )
        hints = get_type_hints(Root)
        if isinstance(cause, ValidationError) and key in hints:
            return f"{key} is {text.partition('=')[2]}, but it must be {describe(hints[key])}"
        return f"{text}: {said_of(cause or error)}"


def _swept(error: Exception) -> str:
    """A way out where Hydra tries a setting on the default of a group whose options are swept."""
    if not str(error).startswith("Could not override"):
        return ""
    return (
        " The options of its group are swept, so write its value as choice(VALUE), such as attack.epsilon=choice(0.5)"
    )
