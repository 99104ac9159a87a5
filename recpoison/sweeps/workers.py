"""Workers of a sweep that outlive the command: on a cluster, or as processes of submitit's on this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from contextlib import suppress

from omegaconf import DictConfig, OmegaConf

from recpoison.command.cells import Status
from recpoison.command.ending import Terminated
from recpoison.errors import behind


def lost_worker(error: BaseException | None) -> bool:
    """Whether submitit says of a job that it was killed or ran out of time, and not that it failed by itself."""
    for seen in behind(error):
        names = [kind.__name__ for kind in type(seen).__mro__ if kind.__module__.startswith("submitit")]
        if "UncompletedJobError" in names:
            return names[0] == "UncompletedJobError" or "UncompletedJobError" in str(seen)  # its own traceback
    return False


def end_when_killed() -> None:
    """Have SIGTERM end this process if it is a worker of submitit's on this machine.

    Submitit's own answer is to log it and go on, which suits Slurm's jobs: SIGKILL follows there. Nothing follows a
    plain ``kill``.
    """
    if os.environ.get("SUBMITIT_EXECUTOR") == "local":
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: object) -> None:
    raise Terminated


def still_at_work(statuses: Collection[Status], launcher: DictConfig) -> list[str]:
    """What is to be said when the command is stopped and its workers go on; nothing where they end with it.

    Args:
        statuses: Of all cells.
        launcher: Hydra's.
    """
    kind = str(OmegaConf.select(launcher, "_target_", default="")).rpartition(".")[2]
    if kind == "SlurmLauncher":
        name = OmegaConf.select(launcher, "name", default="recpoison")
        return [f"jobs that Slurm has go on; scancel --me --name={name} ends them"]
    running = [status.process for status in statuses if status.status == "running"]
    running = [process for process in running if process.partition(" ")[0] != str(os.getpid())]
    if kind != "LocalLauncher" or not running:
        return []
    told = f"{len(running)} cells go on in processes of their own" if len(running) > 1 else "1 cell goes on by itself"
    return [f"{told}; kill {' '.join(process.partition(' ')[0] for process in running)} ends that"]
