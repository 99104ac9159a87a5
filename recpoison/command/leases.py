"""GPUs lent to one job at a time (or a few), so that parallel jobs queue rather than run out of memory."""

from __future__ import annotations

import getpass
import itertools
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from recpoison.stages import locks

log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.5


@contextmanager
def leased(
    devices: Sequence[str], jobs_per_device: int, folder: Path, look_seconds: float = _LOOK_SECONDS
) -> Iterator[int]:
    """Hold one of ``devices`` for a block; wait while all are taken. The emptiest comes first.

    A lease is the lock of a file, which the kernel drops when its holder dies.

    Args:
        devices: A name for each that all processes of the machine agree on, such as a GPU's UUID.
        jobs_per_device: How many may hold the same one at once.
        folder: Where the files are; the same for all jobs of the machine, on a local disk.
        look_seconds: Time between two looks while all are taken.

    Yields:
        The position of the device in ``devices``.
    """
    places = list(itertools.product(range(jobs_per_device), range(len(devices))))
    waited = False
    while True:
        for slot, index in places:
            lock = locks.attempt(folder / f"{devices[index]}-{slot}")
            if lock is not None:
                with lock:
                    yield index
                return
        if not waited:
            log.warning(_waiting(len(devices), jobs_per_device))
        waited = True
        time.sleep(look_seconds)


def _waiting(n_devices: int, jobs_per_device: int) -> str:
    """What is said once of a wait: that it is one, and what to type where it need not be."""
    gpus = "the GPU has" if n_devices == 1 else f"all {n_devices} GPUs have"
    jobs = "a job" if jobs_per_device == 1 else f"{jobs_per_device} jobs"
    each = "" if n_devices == 1 else " each"
    return (
        f"{gpus} {jobs}{each} (jobs_per_gpu={jobs_per_device}): waiting until one ends. To let more share a GPU, where "
        f"its memory suffices, stop this and type the same command with jobs_per_gpu={jobs_per_device + 1}"
    )


def default_folder() -> Path:
    """Where the leases of this user's jobs on this machine are."""
    return Path(tempfile.gettempdir(), f"recpoison-{_user()}", "gpus")


def cuda_names() -> list[str]:
    """A name of each CUDA device that this process sees, the same in a process that sees others."""
    import torch

    return [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]


def _user() -> str:
    """The user's name, or number where a container has no name for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
