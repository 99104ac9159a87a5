"""Many cells from one command: those already done are skipped, each leaves its status, and the end reads them all."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from recpoison.command import cells
from recpoison.command.cells import Status
from recpoison.command.job import Outcome, Task, attempt, point_latest, probe, unwritable
from recpoison.command.overrides import Sweep
from recpoison.errors import OutputError, UserError
from recpoison.progress import duration
from recpoison.sweeps.board import Board
from recpoison.sweeps.roster import Roster, read_roster, what_differs
from recpoison.sweeps.searching import answer, best_of, gave_up, in_our_words, refuse_aimless, refuse_fractions
from recpoison.sweeps.undefined import UNDEFINED, defined_only, mark, offer_to_leave_out, say_left_out
from recpoison.sweeps.workers import end_when_killed, lost_worker, still_at_work

_CHOSEN_BY = "hydra.sweep.dir"
_NO_WORD = "it stopped without a word; see its run.log"


def run_sweep(sweep: Sweep, launch: Callable[[list[str]], None], trusted: Sequence[str] = ()) -> int:
    """Run what is missing of a sweep.

    Args:
        sweep: What to run.
        launch: Has Hydra run all jobs, with these overrides in addition.
        trusted: Packages besides ``recpoison`` that may be imported; cells on data of others are left to their jobs.

    Returns:
        The exit code: 0 if all cells are done, else the gravest among them.

    Raises:
        OutputError: If the folder holds results of other runs, or cannot be written.
        IncompatibleParts: If cells that are not defined are to be left out, and no other is left.
    """
    from recpoison.report.audit.page import leave_pages

    refuse_aimless(sweep)
    refuse_fractions(sweep)
    whole = sweep
    sweep, left_out = defined_only(whole, trusted)
    _refuse_others(sweep.folder)
    if left_out:
        say_left_out(left_out, len(whole.jobs or ()))
        probe(sweep.folder, _CHOSEN_BY)
        mark(sweep, left_out)
    board = Board(sweep.folder, named_cells(sweep))
    found = board.statuses()
    before = found if board.cells else {}
    finished = _settled_cells(sweep, before, trusted)
    if finished:
        _say_skipped(board, [before[cell] for cell in finished])
    if not before or len(finished) < len(before):
        probe(sweep.folder, _CHOSEN_BY)
        _announce(board, before)
        _enlist(sweep, board, finished, trusted)
        _run_all(sweep, board, launch)
    code = _tell(board, found)
    offer_to_leave_out(sweep, board.statuses(), trusted)
    for line in leave_pages(board.folder):
        print(line)
    return code


def _run_all(sweep: Sweep, board: Board, launch: Callable[[list[str]], None]) -> None:
    """Have Hydra run the cells; what is done when somebody stops it is said."""
    chosen = Path(sweep.cfg.hydra.sweep.dir) == sweep.folder
    try:
        with in_our_words(sweep):
            launch([] if chosen else [f"{_CHOSEN_BY}={sweep.folder}"])
        print(best_of(sweep), end="")
    except KeyboardInterrupt:
        done = sum(status.status == "done" for status in board.statuses().values())
        count = len(board.cells or ())
        print(f"recpoison: {done} of {count} cells are done; the same command does the rest", file=sys.stderr)
        for line in still_at_work(board.statuses().values(), sweep.cfg.hydra.launcher):
            print(f"recpoison: {line}", file=sys.stderr)
        raise
    except OSError as error:
        raise OutputError(unwritable(error.filename or sweep.folder, error, _CHOSEN_BY)) from error
    except Exception as error:
        if sweep.jobs is None and gave_up(error, board.statuses().values()):
            return
        if not lost_worker(error):
            raise
        print("recpoison: a worker was killed; the same command does what is missing", file=sys.stderr)


def _enlist(sweep: Sweep, board: Board, finished: set[str], trusted: Sequence[str]) -> None:
    """Leave in the folder what every process of the sweep needs to say how far the whole is."""
    if board.cells is None:
        return
    from recpoison.sweeps.prices import forecast

    todo = forecast(sweep, [cell for cell in board.cells if cell not in finished], trusted)
    with suppress(OSError):  # told when the job runs
        Roster(what_differs(board.cells), len(board.cells), todo).write(board.folder)


def _say_skipped(board: Board, skipped: list[Status]) -> None:
    """Say which cells are not run, and why."""
    done = sum(status.status == "done" for status in skipped)
    print(f"{done} of {len(board.cells or ())} cells already done in {shown(board.folder)}", flush=True)
    if failed := len(skipped) - done:
        are = "is" if failed == 1 else "are"
        print(f"{failed} failed earlier and {are} not tried again: add sweep.retry_failed=true", flush=True)


def named_cells(sweep: Sweep) -> dict[str, list[str]] | None:
    """The overrides of each cell by its hash, in order."""
    if sweep.jobs is None:
        return None
    return {job.cell: job.overrides for job in sweep.jobs}


def _settled_cells(sweep: Sweep, statuses: dict[str, Status], trusted: Sequence[str]) -> set[str]:
    retry = bool(sweep.cfg.sweep.retry_failed)
    cfgs = {job.cell: job.settings for job in sweep.jobs or ()}
    return {cell for cell, cfg in cfgs.items() if settled(sweep.folder / cell, statuses[cell], cfg, trusted, retry)}


def settled(folder: Path, status: Status | None, cfg: DictConfig, trusted: Sequence[str], retry_failed: bool) -> bool:
    """Whether a cell needs no more work: done, with its files as it left them, failed for good, or left out.

    By the code and on the data as they are now.
    """
    if status is None or status.status not in ("done", "failed", UNDEFINED) or status.version != cells.version_of(cfg):
        return False
    if status.status == UNDEFINED:
        return bool(cfg.sweep.skip_undefined)
    data = cells.data_of(cfg, trusted)
    if status.data != data and not (data is None and status.status == "done"):  # what is done needs no data
        return False
    return not cells.damaged(folder, status) if status.status == "done" else not retry_failed


def run_cell(cfg: DictConfig, task: Task) -> float | None:
    """Do one cell of a sweep in whatever process it is given, unless it is settled; what its sweeper is told.

    Its status tells how it ended.
    """
    _ignore_wake_up()
    end_when_killed()
    _do_unless_settled(cfg, task)
    return answer(cfg, task)


def _do_unless_settled(cfg: DictConfig, task: Task) -> None:
    roster = read_roster(task.folder.parent)
    name = roster.name(task.cell, task.overrides)
    with cells.claim(task.folder, name):
        before = cells.read_status(task.folder)
        if settled(task.folder, before, cfg, task.trusted, cfg.sweep.retry_failed):
            return
        data = cells.data_of(cfg, task.trusted)
        now = Status("running", task.cell, cells.version_of(cfg), task.overrides, data=data or "")
        if before and before.status == "done" and data is None:  # by other code, or damaged: nothing can replace it now
            print(f"{name}: its data cannot be read now; its results stay as they are", flush=True)
            return
        if before and data is not None and _was_done(task.folder, before, now):
            _write(task.folder, replace(before, status="done", files=cells.digests(task.folder)))
            return
        _set_aside(task.folder, name, before, now)
        overview = roster.overview(task.folder.parent, task.cell, task.overrides)
        outcome = _watched(cfg, replace(task, overview=overview), now)
    said = "stopped" if outcome.stopped else "failed" if outcome.code else f"done in {duration(outcome.seconds)}"
    print(f"{name}: {said}", flush=True)


def _set_aside(folder: Path, name: str, before: Status | None, now: Status) -> None:
    """Make room for new results of a cell, and say why they are made again."""
    with suppress(OSError):
        changed = _what_changed(folder, before, now)
        aside = cells.set_results_aside(folder)
        if aside or (before and before.status == "done"):
            where = f"its earlier results are in {shown(aside)}" if aside else "it is computed again"
            print(f"{name}: {changed}; {where}", flush=True)


def _was_done(folder: Path, before: Status, now: Status) -> bool:
    """Whether a cell was killed between its last file and its status; what it left must be readable."""
    same = (before.version, before.data) == (now.version, now.data)
    if not same or before.status not in ("running", "stopped") or not (folder / "metrics.csv").is_file():
        return False
    from recpoison.report.runs import read_runs

    try:
        read_runs([folder])
    except UserError:
        return False
    return True


def _what_changed(folder: Path, before: Status | None, now: Status) -> str:
    if before is None or before.status == "pending":  # results without a status: it was lost
        return "its status cannot be read"
    if before.version != now.version:
        return "the code has changed since"
    if before.data != now.data:
        return "the data have changed since"
    return f"not as the run left it: {', '.join(cells.damaged(folder, before))}"


def _watched(cfg: DictConfig, task: Task, status: Status) -> Outcome:
    """Do the job and keep its status: ``running``, then ``done``, ``failed`` or ``stopped``."""
    start = time.monotonic()
    end = replace(status, status="stopped", process=cells.this_process())
    _write(task.folder, replace(status, process=cells.this_process()))
    try:
        outcome = attempt(cfg, task)
        word = "stopped" if outcome.stopped else "failed" if outcome.code else "done"
        files = cells.digests(task.folder) if word == "done" else {}
        end = replace(end, status=word, code=outcome.code, reason=outcome.reason, files=files)
    finally:
        if not _is_done_by_another(task.folder, end):
            _write(task.folder, replace(end, seconds=time.monotonic() - start))
    return outcome


def _is_done_by_another(folder: Path, end: Status) -> bool:
    """Whether another process, which did not see our lock, did the cell that we could not do."""
    there = cells.read_status(folder)
    if end.status == "done" or there is None or there.status != "done" or there.version != end.version:
        return False
    return not cells.damaged(folder, there)


def _write(folder: Path, status: Status) -> None:
    try:
        cells.write_status(folder, status)
    except OSError as error:  # The job says so itself where it cannot write; here nothing must be lost by saying it.
        print(f"recpoison: {folder / cells.STATUS} cannot be written ({error.strerror})", file=sys.stderr)


def _announce(board: Board, statuses: dict[str, Status]) -> None:
    """Put ``pending`` on disk for cells that nobody has begun."""
    for cell, status in statuses.items():
        if status.status == "pending":
            with suppress(OSError):  # told when the job runs
                cells.write_status(board.folder / cell, status, only_first=True)


def _refuse_others(folder: Path) -> None:
    for found in [folder, *sorted(path.parent for path in folder.glob("*/metrics.csv"))]:
        if (found / "metrics.csv").is_file() and not cells.is_cell(found):
            raise OutputError(
                f"{found} holds results of another run (metrics.csv): choose another hydra.sweep.dir, or remove it"
            )


def _tell(board: Board, before: dict[str, Status]) -> int:
    """Name the cells that are missing from the tables, and give the exit code.

    Args:
        board: The sweep's.
        before: The statuses before this command did anything: a failed cell that still has its own was not tried.
    """
    statuses = board.statuses()
    missing = {cell: status for cell, status in statuses.items() if status.status != "done"}
    point_latest(board.folder)
    print(f"{len(statuses) - len(missing)} of {len(statuses)} cells done: recpoison-report {shown(board.folder)}")
    if strangers := board.strangers():
        print(f"{shown(board.folder)} also holds {strangers} cells that this command does not name; reports show them")
    differs = what_differs({cell: status.overrides for cell, status in statuses.items()})
    for cell, status in missing.items():
        reason = status.reason or (_NO_WORD if status.status == "stopped" else f"it is {status.status}")
        if status.status == "failed" and status == before.get(cell):
            reason = f"failed earlier: {reason}"
        typed = " ".join(differs[cell] or status.overrides)
        print(f"recpoison: cell {cell} ({typed}) is missing: {reason}", file=sys.stderr)
    failed = [status for status in missing.values() if status.status == "failed"]
    if failed:
        print("recpoison: sweep.retry_failed=true tries failed cells again", file=sys.stderr)
    return min((status.code if status.status == "failed" else 1 for status in missing.values()), default=0)


def _ignore_wake_up() -> None:
    """SIGUSR1 and SIGUSR2 ask a fit for a checkpoint; where there is none, they must not kill."""
    for number in (getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)):
        with suppress(ValueError):  # not in the main thread
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, signal.SIG_IGN)


def shown(folder: Path) -> str:
    """``folder`` as a user would type it from here."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative
