"""Where numba keeps what it compiled."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path


def keep_compiled_code() -> None:
    """Name numba's cache folder after the source of all kernels, in a place that can be written.

    Numba looks at a function's own file only, so that an edit of a kernel that others inline would leave them stale;
    and beside an installed package it often cannot write, which would be an error on import. A folder of the user's
    own (``NUMBA_CACHE_DIR``) is left alone.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    name = _kernels()
    for parent in _places():
        folder = parent / "recpoison" / "numba" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            os.environ["NUMBA_CACHE_DIR"] = str(folder)
            return


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
    return [user_cache_path(), Path(tempfile.gettempdir()) / f"cache-{own}"]
