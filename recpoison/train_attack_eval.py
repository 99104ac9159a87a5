"""The command: ``recpoison`` and ``python -m recpoison.train_attack_eval``."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from recpoison import __version__
from recpoison.answering import printing
from recpoison.command.arguments import Arguments, sort_arguments
from recpoison.command.collector import collected_seldom
from recpoison.command.ending import Stops, Terminated, say, signals_answered, wants_traceback
from recpoison.errors import UserError

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recpoison.command.overrides import Sweep


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
    own = arguments is None
    with printing(), collected_seldom(own), signals_answered(until_the_end=own) as stops:
        try:
            return stops.end(_answered(typed, stops))
        except KeyboardInterrupt as stop:
            code = stops.end(143 if isinstance(stop, Terminated) else 130)
            say("stopped; no partial results were left")
            return code


def _answered(typed: list[str], stops: Stops) -> int:
    """The command's exit code, and a sentence for each way in which it may fail; a wish to stop is raised."""
    try:
        try:
            return _flushed(0 if _shows(typed) else _command(sort_arguments(typed)))
        finally:
            stops.raise_lost()
    except UserError as error:
        say(str(error))
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except Exception as error:
        from recpoison.command.arguments import split_trust
        from recpoison.command.job import explain

        if wants_traceback():
            raise
        code, reason = explain(error, trusted=split_trust(typed)[1])
        say(reason)
        return code


def _shows(typed: list[str]) -> bool:
    """Print what needs neither Hydra nor a configuration, if it was asked for; whether it was."""
    if {"--help", "-h"} & set(typed):
        line = sort_arguments(typed)
        if line.overrides:
            from recpoison.command.explaining import explain_option

            print(explain_option(line))
            return True
        from rich.console import Console

        from recpoison.command.help import show_help

        show_help(Console())
        return True
    if "--version" in typed:
        print(f"recpoison {__version__}")
        return True
    return False


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def _command(line: Arguments) -> int:
    """Understand the line before any folder is made, then plan, sweep, or have Hydra run the one job."""
    codes: list[int] = []

    def launch(more: Sequence[str] = (), composed: DictConfig | None = None) -> None:
        from recpoison.command.launching import launch

        launch(_job(line, codes), [*line.ordered, *more], composed)

    if not line.composes:
        launch()
        return 0
    from recpoison.command.overrides import Sweep
    from recpoison.command.understanding import understand

    understood = understand(line.in_place, line.sweeping, line.trusted, line.runs)
    if isinstance(understood, Sweep):
        return _sweep(understood, line, launch)
    launch(composed=None if line.flags else understood)  # flags are Hydra's to answer
    return max(codes, default=0) if line.runs else 0


def _sweep(sweep: Sweep, line: Arguments, launch: Callable[..., None]) -> int:
    """Show what a sweep is, plan it or run it."""
    from recpoison.command.typed import refuse_idle

    refuse_idle(line.overrides, [job.cfg for job in sweep.jobs or ()], line.trusted)
    if not line.runs:
        launch()
        return 0
    if sweep.cfg.sweep.plan:
        from recpoison.sweeps.plan import show_plan

        return show_plan(sweep, line.trusted)
    from recpoison.sweeps.sweep import run_sweep

    return run_sweep(sweep, launch, line.trusted)


def _job(line: Arguments, codes: list[int]) -> Callable[[Any], float | None]:
    """What Hydra calls for each run; it returns what ``objective`` names.

    It never raises an ``Exception`` but to a sweeper that searches: another sweep goes on, and the status tells.
    """
    traceback = wants_traceback()  # asked before Hydra is started, which is told to raise by the same variable

    def job(cfg: Any) -> float | None:
        from recpoison.command.job import attempt
        from recpoison.command.launching import in_folder_of_call, task_of

        task = task_of(cfg, line, traceback)
        with in_folder_of_call():
            if task.among_many:
                from recpoison.sweeps.sweep import run_cell

                return run_cell(cfg, task)
            outcome = attempt(cfg, task)
        codes.append(outcome.code)
        if outcome.code:
            say(outcome.reason)
        elif outcome.objective is not None:
            print(f"objective {cfg.objective}: {outcome.objective:.6g}")
        return outcome.objective

    return job


if __name__ == "__main__":
    sys.exit(main())
