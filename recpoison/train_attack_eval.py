"""The command: ``recpoison`` and ``python -m recpoison.train_attack_eval``."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recpoison import __version__
from recpoison.errors import ConfigError, UserError
from recpoison.nearest import did_you_mean, nearest

if TYPE_CHECKING:
    from recpoison.command.overrides import Sweep

_WITH_VALUE = ("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd")
_FLAGS = (
    *_WITH_VALUE,
    *("--help", "-h", "--version", "--trust", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc", "--info", "-i", "--experimental-rerun"),
)


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a batch system sends it before it kills."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; ``sys.argv`` where None.

    Returns:
        The exit code: 0 done, 2 the user's mistake, 1 ours, 130 after Ctrl-C, 143 after SIGTERM.
    """
    # On busy cores OpenMP's threads must not spin while they wait: the demo took 3 minutes instead of half of one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if {"--help", "-h"} & set(typed):
        from rich.console import Console

        from recpoison.command.help import show_help

        show_help(Console())
        return 0
    if "--version" in typed:
        print(f"recpoison {__version__}")
        return 0
    with _signals():
        try:
            return _command(typed)
        except UserError as error:
            _say(str(error))
            return error.exit_code
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
        except KeyboardInterrupt as stop:
            _say("stopped; no partial results were left")
            return 143 if isinstance(stop, Terminated) else 130
        except Exception as error:
            return _unexpected(error)


def _command(typed: list[str]) -> int:
    remaining, trusted = split_trust(typed)
    overrides, words = _split_flags(remaining)
    flags = dict(words)
    runs = not {"--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion", "-sc"} & flags.keys()
    context = [f"hydra.searchpath=[file://{os.path.abspath(path)}]" for path in _config_dirs(flags)]
    sweeping = bool({"-m", "--multirun"} & flags.keys())
    sweep = None
    if "--experimental-rerun" not in flags and not {"-sc", "--shell-completion"} & flags.keys():
        sweep = _understand([*context, *overrides], sweeping, trusted)
    told = {"command": shlex.join(["recpoison", *typed]), "trusted": trusted, "traceback": _wants_traceback()}
    codes: list[int] = []
    ordered = [word for pair in words for word in pair if word]  # argparse wants overrides together, after the flags

    def launch(more: Sequence[str] = ()) -> None:
        with _hydra_raises(), _argv([*ordered, *overrides, *more]):
            import hydra

            from recpoison.paths import CONF_DIR

            hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name="train_attack_eval")(
                _job(told, codes)
            )()

    if sweep and runs:
        return _run_sweep(sweep, trusted, launch)
    launch()
    return max(codes, default=0) if runs else 0


def _run_sweep(sweep: Sweep, trusted: list[str], launch: Callable[[list[str]], None]) -> int:
    if sweep.cfg.sweep.plan:
        from recpoison.sweeps.plan import show_plan

        return show_plan(sweep, trusted)
    from recpoison.sweeps.sweep import run_sweep

    return run_sweep(sweep, launch, trusted)


def _job(told: dict[str, Any], codes: list[int]) -> Callable[[Any], None]:
    """What Hydra calls for each run. It never raises an ``Exception``: a sweep goes on, and the status tells."""

    def job(cfg: Any) -> None:
        from pathlib import Path

        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from recpoison.command.cells import identify
        from recpoison.command.config import BASES
        from recpoison.command.job import Task, attempt
        from recpoison.command.machine import threads_of_one
        from recpoison.sweeps.sweep import run_cell

        hydra = HydraConfig.get()
        choices = hydra.runtime.choices
        labels = {group: str(choices[group]) for group in BASES if group in choices}
        task = Task(
            Path(hydra.runtime.output_dir), labels, list(hydra.overrides.task), cell=identify(cfg, choices), **told
        )
        if hydra.mode == RunMode.MULTIRUN:
            run_cell(cfg, replace(task, among_many=True, threads=threads_of_one(hydra.launcher)))
            return
        outcome = attempt(cfg, task)
        codes.append(outcome.code)
        if outcome.code:
            _say(outcome.reason)

    return job


def _understand(overrides: list[str], sweeping: bool, trusted: list[str]) -> Sweep | None:
    """The sweep that a command line asks for, None for a single run; or all that is wrong with it, before any folder.

    Raises:
        ConfigError: With one sentence for each problem.
    """
    from recpoison.command.config import check
    from recpoison.command.overrides import compose_root, compose_sweep, is_sweep, misread, try_each

    presets = ("experiment", "setting", "victim", "hydra.mode")
    names_preset = any(text.lstrip("+").startswith(presets) for text in overrides)
    sweeping = sweeping or (names_preset and is_sweep(overrides))
    reasons = misread(overrides, sweeping=sweeping)
    try:
        if not reasons and sweeping:
            return compose_sweep(overrides)
        if not reasons:
            cfg = compose_root(overrides)
            if cfg.sweep.plan or cfg.sweep.retry_failed:
                raise ConfigError("sweep.plan and sweep.retry_failed are for sweeps: add -m")
            return None
    except Exception as error:  # Hydra, OmegaConf and antlr raise what they like
        reasons = [str(error).splitlines()[0]]
    verdict = try_each(overrides, sweeping=sweeping)
    problems = verdict.problems or reasons
    if verdict.composes:
        try:
            check(compose_root(verdict.good), trusted)
        except ConfigError as error:
            problems += [problem for problem in str(error).splitlines() if problem not in problems]
    raise ConfigError("\n".join(problems))


def split_trust(typed: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments without ``--trust PACKAGE``, and the packages. Hydra never sees them, so no YAML can add one."""
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
    """Overrides, and the flags with their values; unknown flags are refused before argparse answers in its own way."""
    overrides: list[str] = []
    flags: list[tuple[str, str]] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            overrides.append(word)
        elif name not in _FLAGS:
            raise ConfigError(
                f"{name}: there is no such flag{did_you_mean(nearest(name, _FLAGS))}; see recpoison --help"
            )
        else:
            takes = name in (*_WITH_VALUE, "--info", "-i", "--experimental-rerun")
            flags.append((name, value if equals else next(rest, "") if takes else ""))
    return overrides, flags


def _config_dirs(flags: dict[str, str]) -> Iterator[str]:
    for name in ("--config-dir", "-cd"):
        if name in flags:
            if not os.path.isdir(flags[name]):
                raise ConfigError(f"--config-dir {flags[name]}: there is no such folder")
            yield flags[name]


def _unexpected(error: Exception) -> int:
    from recpoison.command.job import explain

    if _wants_traceback():
        raise error
    code, reason = explain(error)
    _say(reason)
    return code


def _wants_traceback() -> bool:
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def _say(text: str) -> None:
    lines = text.splitlines() or [""]
    if len(lines) == 1:
        print(f"recpoison: {lines[0]}", file=sys.stderr)
    else:
        print(f"recpoison: {len(lines)} problems:", *(f"  {line}" for line in lines), sep="\n", file=sys.stderr)


@contextmanager
def _hydra_raises() -> Iterator[None]:
    """Have Hydra raise its errors, and logging keep quiet about a full disk: both are answered in one sentence here."""
    before, shown = os.environ.get("HYDRA_FULL_ERROR"), logging.raiseExceptions
    os.environ["HYDRA_FULL_ERROR"] = "1"
    logging.raiseExceptions = False
    try:
        yield
    finally:
        logging.raiseExceptions = shown
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


@contextmanager
def _argv(words: list[str]) -> Iterator[None]:
    """Hydra reads ``sys.argv``."""
    before = sys.argv
    sys.argv = [before[0], *words]
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM ends the command in order; SIGUSR1, which asks a fit for a checkpoint, does nothing outside fits."""

    def stop(number: int, frame: Any) -> None:
        raise Terminated

    answers: dict[str, Any] = {"SIGTERM": stop, "SIGUSR1": signal.SIG_IGN}
    numbers = {getattr(signal, name): answer for name, answer in answers.items() if hasattr(signal, name)}
    if threading.current_thread() is not threading.main_thread():  # where signals do not arrive
        yield
        return
    before = {number: signal.signal(number, answer) for number, answer in numbers.items()}
    try:
        yield
    finally:
        for number, answer in before.items():
            signal.signal(number, answer)


if __name__ == "__main__":
    sys.exit(main())
