"""Command lines that do not compose: Hydra stops at the first mistake, so each override is tried on its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import get_type_hints

from hydra import compose
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError

from recpoison.command.checking import describe, unknown_setting
from recpoison.command.composed import searches
from recpoison.command.config import Root, settings
from recpoison.command.overrides import REFUSALS, conf_dir
from recpoison.command.words import names_options, not_installed, said_of, texts_of, unreadable
from recpoison.nearest import did_you_mean, nearest
from recpoison.paths import ROOT_CONFIG

_NO_GROUP = "Could not override"


@dataclass(frozen=True)
class Verdict:
    """What came of trying each override.

    Args:
        problems: One sentence each.
        rest: What composes of those without a problem of their own, the first value where several were to be swept,
            with the ``hydra`` node; None where they do not compose together.
    """

    problems: list[str]
    rest: DictConfig | None


def try_each(overrides: Sequence[str], *, sweeping: bool) -> Verdict:
    """Compose each override on its own: groups first, then settings under the chosen options.

    Args:
        overrides: As typed, such as ``attack=average`` and ``attack.budget=0.1``.
        sweeping: Whether several values, such as ``seed=0,1``, are runs of their own.
    """
    with conf_dir():
        trial = _Trial(sweeping)
        parsed = list(trial.parse(overrides))
        first = [o for o in parsed if o.key_or_group == "hydra.searchpath"]
        groups = [o for o in parsed if trial.is_group(o)]
        for override in first:
            trial.searchpath(override)
        for override in sorted(groups, key=lambda o: o.key_or_group.count("/")):  # hydra/sweeper before its sampler
            trial.group(override)
        if trial.composes():
            for override in parsed:
                if override not in first and override not in groups:
                    trial.setting(override)
        return Verdict(trial.problems, trial.rest)


def misread(overrides: Sequence[str], *, sweeping: bool) -> list[str]:
    """What is wrong with the overrides as text, before anything is composed: a sentence for each problem."""
    with conf_dir():
        trial = _Trial(sweeping)
        list(trial.parse(overrides))
        return trial.problems


class _Trial:
    """Collects problems and what composes while the overrides are tried one by one."""

    def __init__(self, sweeping: bool) -> None:
        self.sweeping = sweeping
        self.problems: list[str] = []
        self.first: list[str] = []
        self.fixed: list[str] = []
        self.chosen: dict[str, list[str]] = {}
        self.failed: set[str] = set()
        self._bases: dict[tuple[str, ...], tuple[DictConfig, int]] = {}
        self.loader = GlobalHydra.instance().config_loader()
        self.groups = set(self.loader.list_groups(""))
        self.searching = False

    def parse(self, overrides: Sequence[str]) -> Iterator[Override]:
        """Overrides that can be read and do not name a group twice."""
        parser = OverridesParser.create(config_loader=self.loader)
        seen: set[str] = set()
        self.searching = _searches(overrides)
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
            elif override.is_interval_sweep() and not self.searching:
                self.problems.append(
                    f"{text}: interval is for sweepers that search: add hydra/sweeper=optuna, name values, "
                    "or write range(FROM,TO,STEP)"
                )
            elif key == "experiment" and override.is_sweep_override():
                self.problems.append(f"{text}: one experiment at a time: run each by a command of its own")
            else:
                yield override
            seen.add(key)

    def is_group(self, override: Override) -> bool:
        """Whether an override chooses an option of a group."""
        return override.key_or_group in self.groups or "/" in override.key_or_group

    def searchpath(self, override: Override) -> None:
        """Try where else options are to be looked for."""
        for text in texts_of(override):
            try:
                compose(ROOT_CONFIG, overrides=[*self.first, text])
                self.first.append(text)
            except REFUSALS as error:
                self.problems.append(f"{text}: {said_of(error)}")

    def group(self, override: Override) -> None:
        """Try the options of a group override."""
        name = override.key_or_group
        good = []
        for text in texts_of(override):
            said = "" if self._has_no(name, text.partition("=")[2]) else self._refused(text)
            if said is None:
                good.append(text)
                continue
            self.failed.add(name)
            self.problems.append(self._option_problem(text, name, said))
        if good:
            self.chosen[override.get_key_element().lstrip("+~")] = good

    def _refused(self, text: str) -> str | None:
        """What Hydra says of an option, None where it composes: alone or, where it lacks a group, beside the others."""
        said = _said_of_composing([*self.first, text])
        if said is None or not said.startswith(_NO_GROUP) or not self.chosen:
            return said
        return _said_of_composing([*self.first, *(texts[0] for texts in self.chosen.values()), text])

    def _has_no(self, name: str, option: str) -> bool:
        """Whether a plain name is none of a group's options, which need not be composed to know."""
        return option.isidentifier() and option != "null" and option not in self._available(name)

    def _available(self, name: str) -> list[str]:
        return self.loader.get_group_options(name, overrides=self.first, config_name=ROOT_CONFIG)

    def _option_problem(self, text: str, name: str, said: str) -> str:
        option, available = text.partition("=")[2], self._available(name)
        if missing := not_installed(name, option):
            return f"{text}: {missing}"
        if option in available and said.startswith(_NO_GROUP) and "@" in text:
            return f"{text}: no option was put there by a preset, so add one: +{text}"
        if option in available and said.startswith(_NO_GROUP) and "/" in name:
            return f"{text}: the chosen option of {name.rpartition('/')[0]} has no {name.rpartition('/')[2]} to choose"
        if option in available:
            return f"{text}: {said}"
        listed = f" ({name} offers {', '.join(available)})" if available else f" (there are no options of {name} yet)"
        return f"{text}: there is no such option{did_you_mean(nearest(option, available))}{listed}"

    def composes(self) -> bool:
        """Whether the chosen options compose with one another; settings cannot be tried where they do not."""
        try:
            self._base(self._contexts("")[0])
        except REFUSALS as error:
            self.problems += [] if self.failed else [said_of(error)]
            return False
        return True

    @property
    def rest(self) -> DictConfig | None:
        """What is chosen and fixed, composed; None where that does not compose."""
        return self._base(context) if (context := self._contexts("")[0]) in self._bases else None

    def setting(self, override: Override) -> None:
        """Try a plain setting under each chosen option of its group."""
        group = override.key_or_group.partition(".")[0]
        if group in self.failed:
            return
        found: dict[str, None] = {}
        for context in self._contexts(group):
            base = self._base(context)
            for text in texts_of(override):
                try:
                    _apply(text, deepcopy(base))
                except REFUSALS as error:
                    found[self._setting_problem(override.key_or_group, text, base, error)] = None
        self.problems += found
        if not found:
            self.fixed.append(texts_of(override)[0])

    def _base(self, context: tuple[str, ...]) -> DictConfig:
        """What options compose to, with the settings that are fixed by now: composed once, for that takes long."""
        cfg, n_applied = self._bases.get(context) or (compose(ROOT_CONFIG, list(context), return_hydra_config=True), 0)
        for text in self.fixed[n_applied:]:
            with suppress(*REFUSALS):  # a setting of another option of its group
                _apply(text, cfg)
        self._bases[context] = cfg, len(self.fixed)
        return cfg

    def _contexts(self, group: str) -> list[tuple[str, ...]]:
        """The choices under which a setting of ``group`` must exist: each swept option of that group."""
        others = [*self.first, *(texts[0] for key, texts in self.chosen.items() if key != group)]
        return [(*others, text) for text in self.chosen.get(group, [])] or [tuple(others)]

    def _setting_problem(self, key: str, text: str, cfg: DictConfig, error: Exception) -> str:
        cause = error.__cause__
        if isinstance(cause, (ConfigAttributeError, ConfigKeyError)):
            known = [path for path in settings(cfg) if key.startswith("hydra") or path.partition(".")[0] != "hydra"]
            sentence = unknown_setting(key, [*self.groups, *known])
            group, option = key.partition(".")[0], cfg.hydra.runtime.choices
            return (
                sentence.replace("there is no", f"{group}={option[group]} has no", 1) if group in option else sentence
            )
        hints = get_type_hints(Root)
        if isinstance(cause, ValidationError) and key in hints:
            return f"{key} is {text.partition('=')[2]}, but it must be {describe(hints[key])}"
        return f"{text}: {said_of(cause or error)}"


def _said_of_composing(overrides: Sequence[str]) -> str | None:
    """What Hydra says of overrides; None where they compose."""
    try:
        compose(ROOT_CONFIG, overrides=list(overrides))
    except REFUSALS as error:
        return said_of(error)
    return None


def _apply(text: str, cfg: DictConfig) -> None:
    """Give one setting its value, as Hydra does once all options are merged."""
    ConfigLoaderImpl._apply_overrides_to_config([OverridesParser.create().parse_override(text)], cfg)


def _searches(overrides: Sequence[str]) -> bool:
    """Whether the sweeper that was typed, or that a preset names, decides as it goes."""
    first = [text for text in overrides if text.startswith(("hydra.searchpath", "hydra/sweeper", "experiment="))]
    if not any("interval(" in text for text in overrides):  # to compose takes long, and nothing else asks
        return False
    try:
        return searches(compose(ROOT_CONFIG, overrides=first, return_hydra_config=True).hydra) if first else False
    except (*REFUSALS, AttributeError, KeyError):
        return False  # told where the options are tried
