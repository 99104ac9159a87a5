"""What a store may lose: entries long unused, and what dead processes left in it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recpoison.descriptions import digest
from recpoison.stages import locks
from recpoison.stages.store import Entry, Store, broken_files

# Age from which nobody is taken to be at work on a draft where files cannot be locked.
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
    for path in (store.folder / ".locks").glob("*"):
        locks.is_free(path)
    return sorted(_leftovers(store), key=lambda leftover: leftover.last_used)


def discard(path: Path) -> None:
    """Remove a file or folder; one that is gone already is fine."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def damage(store: Store, entry: Entry) -> Sequence[str]:
    """What is wrong with an entry: its files that do not match their sha256, or ``key`` if its inputs do not."""
    broken = broken_files(store.path(entry), entry)
    return broken or ([] if digest(entry.inputs) == entry.key else ["key"])


def size(path: Path) -> int:
    """Bytes of a file or of all files in a folder; what disappears meanwhile does not count."""
    total = 0
    for file in [path] if path.is_file() else path.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def _leftovers(store: Store) -> Iterator[Leftover]:
    for path in (store.folder / ".damaged").glob("*"):
        yield Leftover(path, "damaged", _touched(path))
    for path in store.folder.glob("*/.*"):
        kind, _, rest = path.name[1:].partition("-")
        stage, key, touched = path.parent.name, rest.partition("-")[0], _touched(path)
        if kind == "removed":
            yield Leftover(path, "removed", touched)
        elif kind in ("draft", "part"):
            free = locks.is_free(store.lock_path(stage, key))
            if free or (free is None and time.time() - touched > _SURELY_DEAD):
                yield Leftover(path, "unfinished" if kind == "draft" else "checkpoint", touched)


def _touched(path: Path) -> float:
    try:
        return max(file.stat().st_mtime for file in (path, *path.glob("*")))
    except FileNotFoundError:
        return time.time()
