"""Where numba keeps what it compiled."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path


def keep_compiled_code() -> None:
    """Name numba's cache folder after the source of all kernels, in a place where nobody else can write.

    Numba looks at a function's own file only, so that an edit of a kernel that others inline would leave them stale;
    beside an installed package it often cannot write, which would be an error on import; and it unpickles what lies in
    its cache. Where no such place is found, nothing is kept: the code goes to a fresh folder that this process removes.
    A folder of the user's own (``NUMBA_CACHE_DIR``) is left alone.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    name = _kernels()
    for place in _places():
        folders = [place, place / "numba", place / "numba" / name]
        if _made(folders):
            os.environ["NUMBA_CACHE_DIR"] = str(folders[-1])
            return
    try:
        fresh = tempfile.mkdtemp(prefix="recpoison-")
    except OSError:
        return  # Numba then looks beside the package, which is trusted as the code itself is.
    atexit.register(shutil.rmtree, fresh, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = fresh


def _made(folders: list[Path]) -> bool:
    """Whether folders, each in the one before, are there, can be written, and belong to this user alone."""
    parent = folders[0].parent
    try:
        if not parent.is_absolute():
            return False  # No home is known.
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in folders:
            folder.mkdir(mode=0o700, exist_ok=True)
        return _keeps_its_names(parent) and all(map(_is_private, folders)) and os.access(folders[-1], os.W_OK)
    except OSError:
        return False


def _is_private(folder: Path) -> bool:
    """Whether this user owns a folder (and the link that leads to it) and nobody else may write into it."""
    if not hasattr(os, "getuid"):  # Windows: the places are the user's own
        return True
    about = folder.stat()
    owned = about.st_uid == folder.lstat().st_uid == os.getuid()
    return owned and not about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _keeps_its_names(folder: Path) -> bool:
    """Whether nobody but its owner can put another folder in the place of one inside: as ``/tmp`` does with its bit."""
    about = folder.stat()
    theirs = hasattr(os, "getuid") and about.st_uid not in (0, os.getuid())
    return not theirs and (not about.st_mode & stat.S_IWOTH or bool(about.st_mode & stat.S_ISVTX))


def _kernels() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        source = path.read_bytes()
        if b"njit" in source:
            digest.update(source)
    return digest.hexdigest()[:16]


def _places() -> list[Path]:
    from platformdirs import user_cache_path

    own = os.getuid() if hasattr(os, "getuid") else "user"
    return [user_cache_path() / "recpoison", Path(tempfile.gettempdir()) / f"recpoison-cache-{own}"]
