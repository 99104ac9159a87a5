"""Locks between processes, as files: the kernel drops a lock when its holder dies, however it dies."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import FileIO
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


@contextmanager
def holding(path: Path, what: str) -> Iterator[None]:
    """Hold the lock ``path``; wait while another process holds it, and say which.

    Where files cannot be locked (Windows, some network file systems) the block runs without a lock, so that it must be
    correct, if wasteful, when two processes run it at once.

    Args:
        path: The lock's file; it is there only while somebody holds the lock or waits for it.
        what: What the holder does, for the log, such as ``fit 0a1b2c``.
    """
    file = _acquire(path, what)
    try:
        yield
    finally:
        _release(path, file)


def attempt(path: Path) -> AbstractContextManager[object] | None:
    """The lock ``path``, held from now until the end of a ``with`` block; None while another process holds it.

    Where files cannot be locked, a context without a lock.
    """
    if fcntl is None:
        return contextlib.nullcontext()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            file.close()
            raise
    except BlockingIOError:
        return None
    except OSError as error:
        log.warning("%s cannot be locked (%s)", path, error.strerror)
        return contextlib.nullcontext()
    return file


def is_free(path: Path) -> bool | None:
    """Whether nobody holds the lock ``path``; None where files cannot be locked, so that nobody knows.

    The file that a dead holder left is removed.
    """
    if fcntl is None:
        return None
    try:
        with path.open("rb+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _release(path, file)  # A dead holder left its file.
    except FileNotFoundError:
        return True
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _acquire(path: Path, what: str) -> FileIO | None:
    if fcntl is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+")
        except OSError as error:  # Read-only, or another user's.
            log.warning("the lock %s cannot be made (%s): work may be done twice", path, error.strerror)
            return None
        try:
            _wait_for(file, what)
            if _is_at(file, path):
                file.truncate(0)
                file.write(
                    f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%H:%M:%S')}".encode()
                )
                return file
        except OSError as error:
            log.warning("files in %s cannot be locked (%s): work may be done twice", path.parent, error.strerror)
            file.close()
            return None
        except BaseException:
            file.close()
            raise
        file.close()  # The holder before us took its file away with it: try again with the new one.


def _wait_for(file: FileIO, what: str) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file.fileno(), 200, 0).decode(errors="replace") or "another process"
        log.warning("%s is being computed by %s: waiting for it", what, holder)
        fcntl.flock(file, fcntl.LOCK_EX)


def _is_at(file: FileIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _release(path: Path, file: FileIO | None) -> None:
    if file is None:
        return
    with file, contextlib.suppress(OSError):
        if _is_at(file, path):
            path.unlink()  # While still held: whoever opened it meanwhile sees that it is gone, and tries again.
