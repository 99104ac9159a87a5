"""What a store may lose: entries long unused, and what dead processes left in it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recpoison.descriptions import digest
from recpoison.drafts import is_abandoned
from recpoison.intact import altered, named_by_content
from recpoison.stages import locks
from recpoison.stages.store import Entry, Store, children, delete

# Age from which nobody is taken to be at work on a checkpoint where files cannot be locked.
_SURELY_DEAD = 86400.0


@dataclass(frozen=True)
class Leftover:
    """Something in the store's folder that is no entry, and that nobody is at work on.

    Args:
        path: File or folder.
        what: ``unfinished`` (a draft), ``checkpoint``, ``removed`` (half deleted) or ``damaged``.
        last_used: When it was last written to, in seconds since 1970.
    """

    path: Path
    what: str
    last_used: float


def least_recently_used(store: Store, older_than: float | None, keep_size: float | None) -> list[Entry]:
    """Entries to remove so that none was last used over ``older_than`` seconds ago and ``keep_size`` bytes stay."""
    entries = sorted(store.entries(), key=store.last_used)
    since = float("-inf") if older_than is None else time.time() - older_than
    doomed = [entry for entry in entries if store.last_used(entry) < since]
    kept = entries[len(doomed) :]
    sizes = [size(store.path(entry)) for entry in kept]
    excess = sum(sizes) - (float("inf") if keep_size is None else keep_size)
    for entry, bytes_ in zip(kept, sizes, strict=True):
        if excess <= 0:
            break
        doomed.append(entry)
        excess -= bytes_
    return doomed


def leftovers(store: Store) -> list[Leftover]:
    """What dead processes left. Locks that they left are removed on the way."""
    for path in children(store.folder / ".locks"):
        locks.is_free(path)
    return sorted(_leftovers(store), key=lambda leftover: leftover.last_used)


def discard(path: Path) -> None:
    """Remove a file or folder; one that is gone already is fine.

    Raises:
        OSError: If it may not be removed, such as another user's.
    """
    with contextlib.suppress(FileNotFoundError):
        delete(path)


def damage(store: Store, entry: Entry) -> Sequence[str]:
    """What is wrong with an entry.

    Its files that do not match their sha256; else those that hold nothing readable all the same; else ``key`` if its
    inputs do not make it.
    """
    folder = store.path(entry)
    broken = altered(folder, entry.files)
    broken = broken or [name for name in entry.files if not _is_readable(folder / name)]
    return broken or ([] if digest(entry.inputs) == entry.key else ["key"])


def damaged_checkpoints(store: Store) -> list[Path]:
    """Checkpoints of unfinished stages that do not match the sha256 in their name."""
    parts = [path for path in _hidden(store) if path.name.startswith(".part-")]
    written = [path for part in parts for path in children(part) if path.suffix == ".safetensors"]
    return [path for path in written if not named_by_content(path) and os.path.lexists(path)]


def size(path: Path) -> int:
    """Bytes of a file or of all files in a folder; what disappears meanwhile or may not be seen does not count."""
    if not path.is_dir() or path.is_symlink():
        return _bytes(path)
    return sum(_bytes(Path(folder, name)) for folder, _, names in os.walk(path) for name in names)


def _bytes(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0


def _is_readable(file: Path) -> bool:
    """Whether a file holds what its ending promises; nothing in it is unpickled."""
    import numpy as np
    from safetensors import safe_open

    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                for name in arrays.files:
                    arrays[name]
        elif file.suffix == ".safetensors":
            with safe_open(file, framework="np") as tensors:
                tensors.keys()
    except Exception:  # zip, zlib, numpy and safetensors raise what they like
        return False
    return True


def _hidden(store: Store) -> list[Path]:
    """What stands beside entries and is none."""
    stages = [path for path in children(store.folder) if path.name[0] != "."]
    return [path for stage in stages for path in children(stage) if path.name[0] == "."]


def _leftovers(store: Store) -> Iterator[Leftover]:
    for path in children(store.folder / ".damaged"):
        yield Leftover(path, "damaged", _touched(path))
    for path in _hidden(store):
        kind, _, rest = path.name[1:].partition("-")
        stage, key, touched = path.parent.name, rest.partition("-")[0], _touched(path)
        if kind == "removed":
            yield Leftover(path, "removed", touched)
        elif kind == "draft" and is_abandoned(path):
            yield Leftover(path, "unfinished", touched)
        elif kind == "part":
            free = locks.is_free(store.lock_path(stage, key))
            if free or (free is None and time.time() - touched > _SURELY_DEAD):
                yield Leftover(path, "checkpoint", touched)


def _touched(path: Path) -> float:
    try:
        return max(file.lstat().st_mtime for file in (path, *children(path)))
    except OSError:
        return time.time()
