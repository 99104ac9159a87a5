"""How much memory is free, so that what cannot fit is refused before it takes all of it."""

from __future__ import annotations

import os
from pathlib import Path

from recpoison.errors import ConfigError

# files of a container's limit and of what it has taken: cgroup 2, then cgroup 1
_CONTAINERS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def available_memory() -> int:
    """Bytes that this process may still take: what the machine has free, or its container if that has less."""
    free = [_machine()]
    for limit, taken in _CONTAINERS:
        try:
            free.append(int(limit.read_text()) - int(taken.read_text()))
        except (OSError, ValueError):  # no such container, or one without a limit ("max")
            continue
    return max(min(free), 0)


def refuse_beyond_memory(n_bytes: float, what: str, remedy: str) -> None:
    """Refuse what would not fit into the memory that is free.

    Args:
        n_bytes: What it takes.
        what: What takes it, as the beginning of a sentence.
        remedy: Which setting to change.

    Raises:
        ConfigError: If it is more than there is.
    """
    free = available_memory()
    if n_bytes > free:
        raise ConfigError(
            f"{what} would take {n_bytes / 2**30:,.1f} GiB, but {free / 2**30:,.1f} GiB are free: {remedy}"
        )


def resident_memory(*, peak: bool = False) -> int:
    """Bytes that this process has now, or had at most; 0 where nobody knows."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:" if peak else "VmRSS:"))
    except (OSError, StopIteration, IndexError, ValueError):  # no Linux
        return 0


def _machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, IndexError, ValueError):  # no Linux: half of all memory stands for what is free
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
