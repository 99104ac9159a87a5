"""What was typed: overrides for Hydra, flags, and the packages that the user trusts."""

from __future__ import annotations

import os
import re
import shlex
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from recpoison.errors import ConfigError
from recpoison.nearest import did_you_mean, nearest

_SHORT = {"-c": "--cfg", "-p": "--package", "-cd": "--config-dir", "-i": "--info", "-h": "--help", "-r": "--run"}
_SHORT |= {"-m": "--multirun", "-sc": "--shell-completion", "-cp": "--config-path", "-cn": "--config-name"}
# Each flag and the words that may follow it: any one, some, or none.
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_FLAGS: dict[str, tuple[str, ...] | None] = {
    **{"--cfg": ("job", "hydra", "all"), "--package": None, "--config-dir": None, "--info": _INFO},
    **dict.fromkeys(("--help", "--version", "--hydra-help", "--resolve", "--run", "--multirun"), ()),
    **{"--shell-completion": (), "--trust": None},
}
_COMPLETION = re.compile(r"(install|uninstall|query)=(bash|fish|zsh)")
_REFUSED = {
    "--experimental-rerun": "it would unpickle a file, and recpoison unpickles nothing: type the command again",
    "--config-path": "the root is recpoison's own: put options into the folders of its groups under a --config-dir",
    "--config-name": "the root is recpoison's own: write a preset, experiment/NAME.yaml under a --config-dir",
}
_SETTINGS = {"dataset", "model", "attack", "defense", "evaluation", "victim", "setting", "experiment"}
_SETTINGS |= {"seed", "repeats", "device", "threads", "trackers"}
_SHOWS = {"--cfg", "--info", "--hydra-help", "--shell-completion"}
_ONE_OF = _SHOWS | {"--run", "--multirun"}


@dataclass(frozen=True)
class Arguments:
    """A command line, sorted.

    Args:
        typed: All words, as typed.
        overrides: Those for Hydra's grammar, such as ``model=mf``.
        flags: Those that begin with a dash, in order, each with its value or an empty one.
        trusted: Packages after ``--trust``. Hydra never sees them, so that no YAML can add one.
    """

    typed: list[str]
    overrides: list[str]
    flags: list[tuple[str, str]]
    trusted: list[str]

    @property
    def command(self) -> str:
        """The line as a shell would take it."""
        return shlex.join(["recpoison", *self.typed])

    @property
    def names(self) -> set[str]:
        """The flags without their values."""
        return {name for name, _ in self.flags}

    @property
    def runs(self) -> bool:
        """Whether anything is to be run, rather than shown."""
        return not self.names & _SHOWS

    @property
    def sweeping(self) -> bool:
        """Whether many runs are asked for by a flag."""
        return "--multirun" in self.names

    @property
    def composes(self) -> bool:
        """Whether a configuration is composed from the overrides."""
        return "--shell-completion" not in self.names

    @property
    def in_place(self) -> list[str]:
        """The overrides, after one that makes the folders of ``--config-dir`` known."""
        folders = [value for name, value in self.flags if name == "--config-dir"]
        for folder in folders:
            if not os.path.isdir(folder):
                raise ConfigError(f"--config-dir {folder}: there is no such folder")
        return [*(f"hydra.searchpath=[file://{os.path.abspath(path)}]" for path in folders[-1:]), *self.overrides]

    @property
    def ordered(self) -> list[str]:
        """The words in the order that argparse wants: overrides together, after the flags."""
        return [*(word for pair in self.flags for word in pair if word), *self.overrides]


def sort_arguments(typed: Sequence[str]) -> Arguments:
    """Sort a command line.

    Raises:
        ConfigError: At an unknown flag, before argparse answers in its own way, or at ``--trust`` without a package.
    """
    remaining, trusted = split_trust(typed)
    overrides, flags = _split_flags(remaining)
    return Arguments(list(typed), overrides, flags, trusted)


def split_trust(typed: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments without ``--trust PACKAGE``, and the packages."""
    remaining, trusted = [], []
    words = iter(typed)
    for word in words:
        name, _, value = word.partition("=")
        if name != "--trust":
            remaining.append(word)
            continue
        package = value or next(words, "")
        if not package.replace(".", "_").isidentifier():
            raise ConfigError("--trust needs the name of a package, such as --trust my_attacks")
        trusted.append(package)
    return remaining, trusted


def _split_flags(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    overrides: list[str] = []
    flags: dict[str, str] = {}
    rest = deque(words)
    while rest:
        word = rest.popleft()
        typed, equals, value = word.partition("=")
        name = _SHORT.get(typed, typed)
        if not word.startswith("-"):
            overrides.append(word)
        elif name in _REFUSED:
            raise ConfigError(f"{name}: {_REFUSED[name]}")
        elif name not in _FLAGS:
            raise ConfigError(_unknown(typed, value or (rest[0] if rest else "")))
        elif name in flags:
            raise ConfigError(f"{name} is given twice: keep one")
        else:
            flags[name] = _value(name, value if equals else None, rest)
    _check_together(flags, overrides)
    return overrides, list(flags.items())


def _value(name: str, given: str | None, rest: deque[str]) -> str:
    """The word that a flag takes, from what follows it; empty for one that takes none."""
    allowed = _FLAGS[name]
    if allowed == ():
        if given is not None:
            raise ConfigError(f"{name} takes no value: write {name} alone")
        return ""
    if given is None and name == "--info" and not (rest and rest[0] in _INFO):
        return "all"
    value = (rest.popleft() if rest else "") if given is None else given
    if not value or (allowed is not None and value not in allowed):
        raise ConfigError(f"{name} is {value!r}: give {'a value' if allowed is None else ' or '.join(allowed)}")
    return value


def _check_together(flags: dict[str, str], overrides: list[str]) -> None:
    for name in ("--resolve", "--package"):
        if name in flags and "--cfg" not in flags:
            raise ConfigError(f"{name} is for --cfg: add --cfg job, or leave it out")
    if "--shell-completion" in flags and not (len(overrides) == 1 and _COMPLETION.fullmatch(overrides[0])):
        raise ConfigError("--shell-completion takes one word: install=bash, or uninstall=bash; fish and zsh likewise")
    if len(asked := sorted(_ONE_OF & flags.keys())) > 1:
        raise ConfigError(f"{' and '.join(asked)} ask for different things: keep one")


def _unknown(name: str, value: str) -> str:
    """A flag that does not exist may be a group typed as other programs have it."""
    bare = name.lstrip("-")
    if bare in _SETTINGS:
        return f"{name}: settings have no dashes: write {bare}={value or 'NAME'}"
    return f"{name}: there is no such flag{did_you_mean(nearest(name, [*_FLAGS, *_SHORT]))}; see recpoison --help"
