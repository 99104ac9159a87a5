"""Names of what is being written, which tell whose it is: locks may not be shared, as on some network file systems."""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from contextlib import suppress
from pathlib import Path

# Age from which nobody is taken to be at work on a draft of another host.
_SURELY_DEAD = 86400.0


def draft_of(path: Path, word: str = "") -> Path:
    """A hidden name of this process beside ``path``: ``.WORD-HOST-PROCESS-NUMBER``; ``WORD`` is its own name."""
    return path.with_name(f".{word or path.name}-{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")


def is_abandoned(draft: Path) -> bool:
    """Whether nobody is at work on a draft: its process on this host is dead, or it is of elsewhere and a day old."""
    *_, host, process, _ = ["", "", "", *draft.name.rsplit("-", 3)]
    if host == _host() and process.isdecimal() and os.name == "posix":
        return not _is_alive(int(process))
    try:
        inside = list(draft.iterdir()) if draft.is_dir() and not draft.is_symlink() else []
        return time.time() - max(path.lstat().st_mtime for path in (draft, *inside)) > _SURELY_DEAD
    except OSError:  # going or gone
        return False


def clear_abandoned(path: Path, word: str = "") -> None:
    """Delete what dead processes left of their drafts for ``path``; those of the living stay."""
    for left in path.parent.glob(f".{word or path.name}-*"):
        if is_abandoned(left):
            with suppress(OSError):
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def _host() -> str:
    return socket.gethostname().replace("-", "_")


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True
