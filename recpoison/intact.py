"""Whether files are as they were left, by the sha256 that was taken of them then; and that a crash leaves them so."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path


def sha256_of(path: Path) -> str | None:
    """The sha256 of a file's bytes; None where it is missing, cannot be read or is no regular file (which may hang)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def settle(path: Path) -> None:
    """Wait until what was written to a file, or renamed within a folder, has reached the disk.

    Raises:
        OSError: If a file cannot get there, as on a disk that is full after all.
    """
    if os.name == "nt":  # where what is open for reading cannot be asked
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # not every file system does it for folders
            raise
    finally:
        os.close(descriptor)


def altered(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Those of ``files`` in ``folder`` whose bytes do not have the sha256 given for their name; missing ones too."""
    return [name for name, expected in files.items() if sha256_of(folder / name) != expected]


def named_by_content(path: Path) -> bool:
    """Whether a file whose name ends with ``-SHA256`` before its ending, as a checkpoint's, still has that sha256."""
    return sha256_of(path) == path.stem.rpartition("-")[2]
