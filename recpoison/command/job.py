"""One run on the command line, from a composed configuration to files, and what its failure means."""

from __future__ import annotations

import errno
import logging
import os
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from recpoison.command import cells
from recpoison.command.blame import raised_in, said_by
from recpoison.command.checking import TARGET
from recpoison.command.collector import started
from recpoison.command.config import BASES, build, check, tracker_node
from recpoison.command.ending import out_of_time, raise_stop_behind
from recpoison.command.machine import choose_device, device_of_one, prepared, seeds_at_once, threads_of_a_seed
from recpoison.command.objective import read_objective
from recpoison.command.typed import refuse_idle
from recpoison.drafts import clear_abandoned, draft_of
from recpoison.errors import OutputError, UserError, printable

if TYPE_CHECKING:
    import torch

    from recpoison.records import RunRecord
    from recpoison.report.live import Overview

# What helps where the machine refuses a file, beside choosing another place.
REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space there or ")
REMEDIES |= dict.fromkeys((errno.EACCES, errno.EPERM), "make it yours to write or ")
REMEDIES |= dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "move the file that is in its way or ")
REMEDIES |= {errno.ENAMETOOLONG: "give it a shorter name or ", errno.EROFS: ""}
_PROBE_BYTES = 65536
OUT_OF_TIME = "its time was over, or its machine was wanted; the same command goes on from where it was"


@dataclass(frozen=True)
class Task:
    """What a job is told besides its configuration.

    Args:
        folder: Where its files go.
        labels: The chosen option of each group.
        overrides: What the user typed.
        command: The shell command.
        trusted: Packages besides ``recpoison`` that may be imported.
        cell: Hash of its configuration.
        among_many: Whether it is one of a sweep: its results are not shown, and it shares the machine.
        searched: Whether the sweeper decides by what its jobs return, so that a failure has to be raised.
        alone: Whether no other job writes to the same terminal meanwhile, so that it may draw there.
        overview: Where the sweep is, to be shown beside it.
        threads: CPU threads where the configuration has none; None leaves the choice to PyTorch.
        traceback: Whether a bug's traceback is wanted on the console.
    """

    folder: Path
    labels: dict[str, str]
    overrides: list[str]
    command: str
    trusted: Sequence[str] = ()
    cell: str = ""
    among_many: bool = False
    searched: bool = False
    alone: bool = True
    overview: Overview | None = None
    threads: int | None = None
    traceback: bool = False

    @property
    def chosen_by(self) -> str:
        """The setting that chooses its folder."""
        return "hydra.sweep.dir" if self.among_many else "hydra.run.dir"


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Args:
        code: 0 done, 2 the user's mistake, 1 ours.
        reason: Empty, or what to tell the user.
        seconds: Wall time.
        stopped: Whether it was stopped from outside and can go on.
        objective: The number that ``objective`` names, of a run that is not one of a sweep.
    """

    code: int
    reason: str = ""
    seconds: float = 0.0
    stopped: bool = False
    objective: float | None = None


def attempt(cfg: DictConfig, task: Task) -> Outcome:
    """Do a job and say how it ended. Nothing escapes but the wish to stop (``KeyboardInterrupt``, ``SystemExit``)."""
    start = time.monotonic()
    try:
        _do(cfg, task)
        found = None if cfg.objective is None or task.among_many else read_objective(cfg.objective, task.folder)
        return Outcome(0, seconds=time.monotonic() - start, objective=found)
    except Exception as error:
        raise_stop_behind(error)
        if out_of_time(error):
            return Outcome(1, OUT_OF_TIME, time.monotonic() - start, stopped=True)
        code, reason = explain(error, task.folder, task.trusted, task.chosen_by)
        if task.traceback and not isinstance(error, UserError):
            traceback.print_exception(error)
        return Outcome(code, reason, time.monotonic() - start)


def explain(
    error: Exception, folder: Path | None = None, trusted: Sequence[str] = (), chosen_by: str = "hydra.run.dir"
) -> tuple[int, str]:
    """The exit code and the sentence for an error; the traceback of a bug goes to the log in ``folder``.

    Args:
        error: What was raised.
        folder: The job's; None before there is one.
        trusted: Packages besides ``recpoison`` whose code ran.
        chosen_by: The setting that chooses the folder.
    """
    if isinstance(error, UserError):
        return error.exit_code, str(error)
    if (described := _of_the_machine(error)) is not None:
        return 2, described
    if (place := raised_in(error, trusted)) is not None:
        return 2, f"{place} raised {printable(said_by(error))}{_logged(error, 'a trusted package', folder)}"
    if isinstance(error, OSError) and (error.errno in REMEDIES or folder is None):  # no folder: none could be made
        return 2, _of_a_file(error, folder, chosen_by)
    told = f"a bug in recpoison, not in your settings ({said_by(error)})"
    return 1, f"{told}{_logged(error, 'a bug', folder)}; HYDRA_FULL_ERROR=1 before the command shows it"


def _of_the_machine(error: Exception) -> str | None:
    """What is said where memory or a process gave out, whoever's code ran."""
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "memory ran out: choose a smaller model, filter the data (dataset.filters), or use a larger machine"
    if type(error).__name__ == "OutOfMemoryError":
        return f"the device ran out of memory ({str(error).splitlines()[0]}): choose a smaller model or device=cpu"
    if type(error).__name__ in ("TerminatedWorkerError", "BrokenProcessPool"):
        return "a job's process was killed, perhaps for want of memory: run fewer at once; the same command goes on"
    return None


def _of_a_file(error: OSError, folder: Path | None, chosen_by: str) -> str:
    """What is said of a file: one of the run's is written, and only what is full or read-only fails nowhere else."""
    where = error.filename or folder or "the output folder"
    ours = folder is None or error.filename is None or folder.resolve() in Path(os.path.abspath(where)).parents
    if ours or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return unwritable(where, error, chosen_by)
    return f"{where} cannot be read ({error.strerror}): check the path and its permissions"


def _logged(error: Exception, what: str, folder: Path | None) -> str:
    """Write the traceback to the log in ``folder``, and say so."""
    if folder is None:
        return ""
    logging.getLogger("recpoison.traceback").error(what, exc_info=error)
    return f": the traceback is in {folder / 'run.log'}"


def _do(cfg: DictConfig, task: Task) -> None:
    probe(task.folder, task.chosen_by)
    if task.among_many:
        _compute(cfg, task)
        return
    with cells.claim(task.folder, f"the run in {task.folder}"):
        cells.refuse_results(task.folder, task.cell)
        cells.write_status(task.folder, cells.Status("running", task.cell, process=cells.this_process()))
        try:
            record = _compute(cfg, task)
        finally:
            (task.folder / cells.STATUS).unlink(missing_ok=True)
    point_latest(task.folder)

    import rich

    from recpoison.report.console import show

    show(record, task.folder, rich.get_console())


def _compute(cfg: DictConfig, task: Task) -> RunRecord:
    check(cfg, task.trusted, task.labels)
    if not task.among_many:  # in a sweep a setting may matter in another cell
        refuse_idle(task.overrides, [cfg], task.trusted)
    OmegaConf.set_readonly(cfg, True)
    device = choose_device(cfg.device)
    with (
        prepared(cfg.deterministic, threads_of_a_seed(cfg, device, task.threads)),
        device_of_one(device, cfg.jobs_per_gpu) if task.among_many else nullcontext(device) as chosen,
    ):
        started()
        record = run_configured(cfg, task, chosen)

    from recpoison.records import write

    write(record, task.folder, OmegaConf.to_yaml(cfg, resolve=True), task.overrides, task.command)
    _track(cfg, record, task)
    return record


def _track(cfg: DictConfig, record: RunRecord, task: Task) -> None:
    """Tell the trackers of a run. Its files are written: a tracker that fails costs a warning."""
    for entry in cfg.trackers:
        node = tracker_node(entry)
        try:
            build(node, task.trusted).log(record, task.folder, task.overrides)
        except Exception as error:
            name = node[TARGET].rpartition(".")[2]
            said = (str(error).splitlines() or [""])[0]
            logging.getLogger("recpoison").warning(
                f"{name} failed ({type(error).__name__}: {said}): the run is not in it, but whole in {task.folder}"
            )


def run_configured(
    cfg: DictConfig, task: Task, device: torch.device, given: Mapping[str, Any] = MappingProxyType({})
) -> RunRecord:
    """What a configuration finds; parts that are ``given`` by group stand in place of those that it describes."""
    from recpoison.experiment import Parts, run
    from recpoison.report.live import LiveProgress
    from recpoison.stages.store import Store

    parts: dict[str, Any] = {group: build(cfg[group], task.trusted) for group in BASES if group not in given}
    with LiveProgress(
        quiet=task.among_many and not task.overview, alone=task.alone, overview=task.overview
    ) as progress:
        record = run(
            Parts(**parts, **given, labels=task.labels),
            range(cfg.seed, cfg.seed + cfg.repeats),
            device=device,
            data_dir=Path(cfg.data_dir) if cfg.data_dir else None,
            store=Store(Path(cfg.store_dir)) if cfg.store_dir else None,
            progress=progress,
            checkpoint_seconds=cfg.checkpoint_seconds,
            workers=seeds_at_once(cfg, device, task.threads),
        )
    return replace(record, paired_test=cfg.paired_test)


def unwritable(where: object, error: OSError, chosen_by: str) -> str:
    """What to tell a user whose folder cannot be written."""
    remedy = REMEDIES.get(error.errno or 0, "")
    return f"{where} cannot be written ({error.strerror}): {remedy}choose another {chosen_by}"


def probe(folder: Path, chosen_by: str) -> None:
    """Find out before work is lost whether anything can be written.

    Args:
        folder: Where; made if missing.
        chosen_by: The setting that chooses it.

    Raises:
        OutputError: If nothing can.
    """
    draft = folder / ".probe"  # the same for all: whoever comes after a killed process removes it
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(unwritable(folder, error, chosen_by)) from error
    finally:
        with suppress(OSError):
            draft.unlink()


def point_latest(folder: Path) -> None:
    """Make ``outputs/latest`` lead to ``folder`` if it lies under ``outputs/``; where links fail, go without."""
    outputs = Path("outputs").resolve()
    folder = folder.resolve()
    if outputs not in folder.parents:
        return
    draft = draft_of(outputs / "latest")
    with suppress(OSError):
        clear_abandoned(outputs / "latest")
        draft.symlink_to(folder.relative_to(outputs), target_is_directory=True)
        os.replace(draft, outputs / "latest")
