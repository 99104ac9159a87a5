"""What was typed: overrides for Hydra, flags, and the packages that the user trusts."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from recpoison.errors import ConfigError
from recpoison.nearest import did_you_mean, nearest

_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
_TAKE_VALUE = (*_WITH_VALUE, "--info", "-i", "--experimental-rerun")
_FLAGS = (
    *_WITH_VALUE,
    *("--help", "-h", "--version", "--trust", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc", "--info", "-i", "--experimental-rerun"),
)
_SHOWS = {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"}
_UNREADABLE = {"--experimental-rerun", "--shell-completion", "-sc"}


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
        return bool(self.names & {"-m", "--multirun"})

    @property
    def composes(self) -> bool:
        """Whether a configuration is composed from the overrides."""
        return not self.names & _UNREADABLE

    @property
    def in_place(self) -> list[str]:
        """The overrides, after one that makes the folders of ``--config-dir`` known."""
        folders = [value for name, value in self.flags if name in ("--config-dir", "-cd")]
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
    flags: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            overrides.append(word)
        elif name not in _FLAGS:
            near = did_you_mean(nearest(name, _FLAGS))
            raise ConfigError(f"{name}: there is no such flag{near}; see recpoison --help")
        else:
            flags.append((name, value if equals else next(rest, "") if name in _TAKE_VALUE else ""))
    return overrides, flags
