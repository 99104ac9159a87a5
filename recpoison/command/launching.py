"""How Hydra is started: with words of ours in place of the shell's, and its errors raised instead of printed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, chdir, contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from recpoison.command.arguments import Arguments
from recpoison.command.cells import identify
from recpoison.command.composed import options_of, searches
from recpoison.command.job import Task
from recpoison.command.machine import threads_of_one
from recpoison.command.overrides import run_composed
from recpoison.errors import ConfigError, UserError, behind
from recpoison.paths import CONF_DIR, ROOT_CONFIG


def launch(job: Callable[[Any], float | None], words: Sequence[str], composed: DictConfig | None = None) -> None:
    """Have Hydra compose and run.

    Args:
        job: What it calls for each run.
        words: What stands in ``sys.argv`` for it.
        composed: What the words of a single run compose to, with the ``hydra`` node: it is not composed again.

    Raises:
        ConfigError: If Hydra itself, told by the user how to start, cannot.
        OSError: If it cannot make the run's folder, or its log in there.
    """
    import hydra
    from hydra.types import RunMode

    broken: list[Exception] = []

    def told(cfg: Any) -> float | None:
        try:
            return job(cfg)
        except Exception as error:
            broken.append(error)
            raise

    with _raising(), _argv(words):
        try:
            if composed is not None and composed.hydra.mode != RunMode.MULTIRUN:
                run_composed(composed, told, words)
            else:
                hydra.main(version_base="1.3", config_path=str(CONF_DIR), config_name=ROOT_CONFIG)(told)()
        except (UserError, OSError, MemoryError):
            raise
        except Exception as error:
            if broken or not any("hydra" in word or word == "--config-dir" for word in words):
                raise
            if (refused := _refused_by_the_machine(error)) is not None:
                raise refused from error
            said = (str(error).splitlines() or [type(error).__name__])[0]
            raise ConfigError(f"Hydra cannot start the run ({said}): check the settings of hydra.*") from error


def _refused_by_the_machine(error: BaseException | None) -> OSError | None:
    """The refusal of a file behind what Hydra raised, such as of its log in a folder that may not be written."""
    return next((seen for seen in behind(error) if isinstance(seen, OSError)), None)


def in_folder_of_call() -> AbstractContextManager[None]:
    """Be where the command was typed, whatever ``hydra.job.chdir`` says: paths lead from there."""
    from hydra.core.hydra_config import HydraConfig

    return chdir(HydraConfig.get().runtime.cwd)


def task_of(cfg: Any, line: Arguments, traceback: bool) -> Task:
    """What the job that Hydra is about to run is told besides its configuration."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    many = hydra.mode == RunMode.MULTIRUN
    return Task(
        Path(hydra.runtime.output_dir),
        labels=options_of(hydra),
        overrides=list(hydra.overrides.task),
        command=line.command,
        trusted=line.trusted,
        cell=identify(cfg, hydra.runtime.choices),
        among_many=many,
        searched=many and searches(hydra),
        alone=str(hydra.launcher["_target_"]).endswith(".BasicLauncher"),
        threads=threads_of_one(hydra.launcher) if many else None,
        traceback=traceback,
    )


@contextmanager
def _raising() -> Iterator[None]:
    """Have Hydra raise its errors, and logging keep quiet about a full disk: both are answered later, in a sentence."""
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
def _argv(words: Sequence[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [before[0], *words]
    try:
        yield
    finally:
        sys.argv = before
