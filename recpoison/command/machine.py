"""What of the machine a job takes: its device and its threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from recpoison.errors import ConfigError

if TYPE_CHECKING:
    import torch

_MOST_ON_CUDA = 4  # seeds at once


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


@contextmanager
def device_of_one(device: torch.device, jobs_per_gpu: int) -> Iterator[torch.device]:
    """The device for one job among many: on CUDA a GPU that it leases, any unless ``device`` has a number."""
    import torch

    from recpoison.command.leases import cuda_names, default_folder, leased

    if device.type != "cuda":
        yield device
        return
    names = cuda_names()
    first = device.index or 0
    offered = names if device.index is None else names[first : first + 1]
    with leased(offered, jobs_per_gpu, default_folder()) as index:
        yield torch.device("cuda", first + index)


def set_up(deterministic: bool, threads: int | None) -> None:
    """Threads and determinism of this process; in a sweep the next job sets them again."""
    if deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    import numba
    import torch

    if torch.are_deterministic_algorithms_enabled() != deterministic:  # the setter imports seconds' worth of compiler
        torch.use_deterministic_algorithms(deterministic)
    if threads is not None:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
        torch.set_num_threads(threads)  # last: numba's first call sets OpenMP's threads, which are torch's too


@contextmanager
def prepared(deterministic: bool, threads: int | None) -> Iterator[None]:
    """For a block as ``set_up``, with as many threads of BLAS; afterwards the process has again what it had."""
    import numba
    import torch
    from threadpoolctl import threadpool_limits

    was_deterministic, of_torch, compiled = (
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        numba.get_num_threads(),
    )
    try:
        with nullcontext() if threads is None else threadpool_limits(threads, user_api="blas"):
            set_up(deterministic, threads)
            yield
    finally:
        if torch.are_deterministic_algorithms_enabled() != was_deterministic:
            torch.use_deterministic_algorithms(was_deterministic)
        numba.set_num_threads(compiled)
        torch.set_num_threads(of_torch)


def threads_of_a_seed(cfg: DictConfig, device: torch.device, of_job: int | None) -> int | None:
    """CPU threads of one seed, whatever the number of seeds at once; None leaves the choice to PyTorch.

    Args:
        cfg: The configuration of the run.
        device: Where it runs.
        of_job: CPU threads for the job, None where it has all cores.
    """
    if cfg.threads is not None:
        return int(cfg.threads)
    return 1 if cfg.repeats > 1 and device.type == "cpu" else of_job


def seeds_at_once(cfg: DictConfig, device: torch.device, of_job: int | None) -> int:
    """How many seeds of a run may run at once; arguments as of ``threads_of_a_seed``.

    On CUDA the threads that launch share Python's lock, which more than a few wait for.
    """
    if cfg.workers is not None:
        return int(cfg.workers)
    if device.type == "cuda":
        return max(1, min(_MOST_ON_CUDA, (of_job or cores()) // (cfg.jobs_per_gpu or 1)))
    return max(1, (of_job or cores()) // (threads_of_a_seed(cfg, device, of_job) or 1))


def threads_of_one(launcher: DictConfig) -> int | None:
    """CPU threads for one job of a sweep, so that all running at once share the cores; None where it runs alone.

    On a cluster and on Ray a job has the cores that it asks for, one unless told otherwise.

    Args:
        launcher: Hydra's, such as ``hydra.launcher``.
    """
    kind = str(OmegaConf.select(launcher, "_target_", default="")).rpartition(".")[2]
    if kind == "JoblibLauncher":
        asked = OmegaConf.select(launcher, "n_jobs", default=1) or 1
        at_once = asked if asked > 0 else max(1, cores() + 1 + asked)
        return max(1, cores() // at_once) if at_once > 1 else None
    if kind in ("LocalLauncher", "SlurmLauncher"):
        return OmegaConf.select(launcher, "cpus_per_task", default=None) or 1
    if kind == "RayLauncher":
        return int(OmegaConf.select(launcher, "ray.remote.num_cpus", default=None) or 1)
    return None


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
