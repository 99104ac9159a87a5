"""Sweeps whose sweeper decides as it goes: what it is told of a job, and what it found."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy

import yaml  # type: ignore[import-untyped]
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException, ValidationError

from recpoison.command import cells
from recpoison.command.cells import Status
from recpoison.command.checking import TARGET
from recpoison.command.composed import options_of, settings_of
from recpoison.command.glance import glance
from recpoison.command.job import Task
from recpoison.command.objective import read_objective
from recpoison.command.overrides import Sweep
from recpoison.errors import ConfigError, UserError

_FOUND = "optimization_results.yaml"  # what sweepers of Hydra's leave at their end


class TrialFailed(UserError):
    """A job of a search failed: its sweeper must not take that for a number."""


def refuse_aimless(sweep: Sweep) -> None:
    """Refuse a search for the best of nothing; a sweeper that searches has a direction.

    Raises:
        ConfigError: If no objective is named.
    """
    if sweep.jobs is None and "direction" in sweep.cfg.hydra.sweeper and sweep.cfg.objective is None:
        raise ConfigError(
            "this sweeper searches for the best value of a number: name it, such as objective=target.HR@50, "
            "and its way, hydra.sweeper.direction=maximize"
        )


def refuse_fractions(sweep: Sweep) -> None:
    """Refuse to draw from an interval of fractions what takes whole numbers, or none: every trial would fail.

    Raises:
        ConfigError: With what to write instead.
    """
    for name, interval in sweep.intervals.items():
        if _fits(sweep.cfg, name, 0.5):
            continue
        if _fits(sweep.cfg, name, 1) and not isinstance(OmegaConf.select(sweep.cfg, name), bool):
            raise ConfigError(f"{name} takes whole numbers: write {name}=int({interval})")
        raise ConfigError(f"{name} is no number, so that none can be drawn from {interval}: write {name}=choice(A,B)")


def _fits(cfg: DictConfig, name: str, value: float) -> bool:
    """Whether a setting takes a value by its type; also where there is no such setting, which each trial tells."""
    tried = deepcopy(cfg)
    try:
        OmegaConf.update(tried, name, value)
    except ValidationError:
        return False
    except OmegaConfBaseException:
        return True
    return not any(said.startswith(f"{name} is ") for said in glance(settings_of(tried), options_of(cfg.hydra)))


def answer(cfg: DictConfig, task: Task) -> float | None:
    """What a job tells its sweeper: the number that ``objective`` names; None where it names none or the job failed.

    Raises:
        TrialFailed: If the job is not done, to a sweeper that searches.
        ConfigError: If the run has no such number, to a sweeper that searches; others are not interested.
    """
    status = cells.read_status(task.folder)
    if status is None or status.status != "done":
        if task.searched:
            raise TrialFailed((status and status.reason) or f"it stopped without a word: see {task.folder}/run.log")
        return None
    try:
        return None if cfg.objective is None else read_objective(cfg.objective, task.folder)
    except UserError as error:
        if task.searched:
            raise
        print(f"recpoison: {error}", file=sys.stderr)
        return None


@contextmanager
def in_our_words(sweep: Sweep) -> Iterator[None]:
    """Keep Optuna from telling between our lines what we tell ourselves; its warnings and errors are not hidden.

    That an argument is experimental is no news to whoever gave it.
    """
    if ".hydra_optuna_sweeper." not in sweep.cfg.hydra.sweeper[TARGET]:
        yield
        return
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def gave_up(error: Exception, statuses: Iterable[Status]) -> bool:
    """Whether a sweeper stopped for its failed trials, whose statuses tell why; without any number some raise.

    Optuna's sweeper also raises where the last cell of a grid failed, and then names no best.
    """
    ended_a_grid = isinstance(error, RuntimeError) and "Study.stop" in str(error)
    if isinstance(error, TrialFailed) or ended_a_grid:
        return True
    return isinstance(error, ValueError) and {status.status for status in statuses} == {"failed"}


def best_of(sweep: Sweep) -> str:
    """What a search found, in a line; empty where its sweeper left no such file or not a single best."""
    if sweep.jobs is not None:
        return ""
    try:
        found = yaml.safe_load((sweep.folder / _FOUND).read_text(encoding="utf-8"))
        settings = " ".join(f"{name}={value}" for name, value in found["best_params"].items())
        return f"best {sweep.cfg.objective} {found['best_value']:.6g}: {settings}\n"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return ""
