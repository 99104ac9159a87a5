"""One run on the command line, from a composed configuration to files, and what its failure means."""

from __future__ import annotations

import errno
import logging
import os
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from recpoison.config import BASES, build, check
from recpoison.errors import ConfigError, OutputError, UserError

if TYPE_CHECKING:
    import torch

    from recpoison.records import RunRecord

_CANNOT_WRITE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}
_PROBE_BYTES = 65536


@dataclass(frozen=True)
class Task:
    """What a job is told besides its configuration.

    Args:
        folder: Where its files go.
        labels: The chosen option of each group.
        overrides: What the user typed.
        command: The shell command.
        trusted: Packages besides ``recpoison`` that may be imported.
        quiet: Whether it is one of a sweep and should keep to itself.
        traceback: Whether a bug's traceback is wanted on the console.
    """

    folder: Path
    labels: dict[str, str]
    overrides: list[str]
    command: str
    trusted: Sequence[str] = ()
    quiet: bool = False
    traceback: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Args:
        code: 0 done, 2 the user's mistake, 1 ours.
        reason: Empty, or what to tell the user.
        seconds: Wall time.
    """

    code: int
    reason: str = ""
    seconds: float = 0.0


def attempt(cfg: DictConfig, task: Task) -> Outcome:
    """Do a job and say how it ended. Nothing escapes but the wish to stop (``KeyboardInterrupt``, ``SystemExit``)."""
    start = time.monotonic()
    try:
        _do(cfg, task)
        return Outcome(0, seconds=time.monotonic() - start)
    except Exception as error:
        code, reason = explain(error, task.folder)
        if task.traceback and code == 1:
            traceback.print_exception(error)
        return Outcome(code, reason, time.monotonic() - start)


def explain(error: Exception, folder: Path | None = None) -> tuple[int, str]:
    """The exit code and the sentence for an error; the traceback of a bug goes to the log in ``folder``."""
    if isinstance(error, UserError):
        return error.exit_code, str(error)
    if isinstance(error, OSError) and (error.errno in _CANNOT_WRITE or folder is None):  # no folder: none could be made
        where = error.filename or folder or "the output folder"
        return 2, f"{where} cannot be written ({error.strerror}): free space there or choose another hydra.run.dir"
    if type(error).__name__ == "OutOfMemoryError":
        return 2, f"the device ran out of memory ({str(error).splitlines()[0]}): choose a smaller model or device=cpu"
    if folder:
        logging.getLogger("recpoison.traceback").error("a bug", exc_info=error)
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    where = f" The traceback is in {folder / 'run.log'};" if folder else ""
    return (
        1,
        f"a bug in recpoison, not in your settings ({said}).{where} HYDRA_FULL_ERROR=1 before the command shows it.",
    )


def _do(cfg: DictConfig, task: Task) -> None:
    refuse_results(task.folder)
    _probe(task.folder)
    check(cfg, task.trusted, task.labels)
    OmegaConf.set_readonly(cfg, True)
    device = choose_device(cfg.device)
    _set_up(cfg)
    record = _run(cfg, task, device)

    from recpoison.records import write

    write(record, task.folder, OmegaConf.to_yaml(cfg, resolve=True), task.overrides, task.command)
    if task.quiet:
        return
    point_latest(task.folder)

    import rich

    from recpoison.report.console import show

    show(record, task.folder, rich.get_console())


def _run(cfg: DictConfig, task: Task, device: torch.device) -> RunRecord:
    from recpoison.experiment import Parts, run
    from recpoison.report.live import LiveProgress
    from recpoison.store import Store

    parts: dict[str, Any] = {group: build(cfg[group], task.trusted) for group in BASES}
    with LiveProgress(quiet=task.quiet) as progress:
        return run(
            Parts(**parts, labels=task.labels),
            range(cfg.seed, cfg.seed + cfg.repeats),
            device=device,
            data_dir=Path(cfg.data_dir) if cfg.data_dir else None,
            store=Store(Path(cfg.store_dir)) if cfg.store_dir else None,
            progress=progress,
        )


def refuse_results(folder: Path) -> None:
    """Refuse a folder that a run has already written to.

    Raises:
        OutputError: If it holds results.
    """
    held = [name for name in ("metrics.csv", "run.json", "config.yaml") if (folder / name).exists()]
    if held:
        raise OutputError(f"{folder} already holds results ({held[0]}): choose another hydra.run.dir, or remove it")


def _probe(folder: Path) -> None:
    """Find out before work is lost whether anything can be written."""
    probe = folder / f".probe-{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}): free space there or choose another hydra.run.dir"
        ) from error
    finally:
        with suppress(OSError):
            probe.unlink()


def choose_device(name: str) -> torch.device:
    """The device that ``device=name`` means here; ``auto`` takes CUDA where there is any.

    Raises:
        ConfigError: If this PyTorch does not see it.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise ConfigError(
            f"device is {name}, but PyTorch {torch.__version__} sees no CUDA device: use device=cpu or auto"
        )
    if int(name.partition(":")[2] or 0) >= count:
        raise ConfigError(f"device is {name}, but there are {count} CUDA devices: use cuda:0 to cuda:{count - 1}")
    return torch.device(name)


def _set_up(cfg: DictConfig) -> None:
    """Threads and determinism of this process; in a sweep the next job sets them again."""
    if cfg.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    import numba
    import torch

    torch.use_deterministic_algorithms(cfg.deterministic)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
        numba.set_num_threads(min(cfg.threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


def point_latest(folder: Path) -> None:
    """Make ``outputs/latest`` lead to ``folder`` if it lies under ``outputs/``; where links fail, go without."""
    outputs = Path("outputs").resolve()
    folder = folder.resolve()
    if outputs not in folder.parents:
        return
    draft = outputs / f".latest-{os.getpid()}"
    with suppress(OSError):
        draft.unlink(missing_ok=True)
        draft.symlink_to(folder.relative_to(outputs), target_is_directory=True)
        os.replace(draft, outputs / "latest")
