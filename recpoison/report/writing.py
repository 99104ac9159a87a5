"""What a report leaves in a folder: written whole, and what an earlier report left there is taken away."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from recpoison.errors import OutputError

MANIFEST = ".recpoison-report.json"  # sha256 of each file that a report wrote into this folder


def write_file(file: Path, content: bytes) -> None:
    """Write ``file`` whole or not at all.

    Raises:
        OutputError: If it cannot be written.
    """
    draft = file.with_name(f".{file.name}.draft")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        os.replace(draft, file)
    except OSError as error:
        raise OutputError(f"{file} cannot be written: {error.strerror or error}") from error


def write_report(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write ``contents`` by their paths in ``folder``, and remove what an earlier report wrote there and this does not.

    A file that somebody has changed since is no longer the report's, and stays.

    Raises:
        OutputError: If a file cannot be written or removed.
    """
    for name, sha256 in _left_before(folder).items():
        file = folder / name
        if name not in contents and file.is_file() and _sha256(file.read_bytes()) == sha256:
            _remove(file, folder)
    for name, content in contents.items():
        write_file(folder / name, content)
    digests = {name: _sha256(content) for name, content in contents.items()}
    write_file(folder / MANIFEST, json.dumps(digests, indent=1).encode())


def _left_before(folder: Path) -> dict[str, str]:
    """What the folder's manifest names; nothing where there is none that can be read."""
    try:
        named = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    inside = {str(name): str(digest) for name, digest in named.items()} if isinstance(named, dict) else {}
    return {
        name: digest for name, digest in inside.items() if ".." not in Path(name).parts and not Path(name).is_absolute()
    }


def _remove(file: Path, folder: Path) -> None:
    try:
        file.unlink()
        if file.parent != folder and not any(file.parent.iterdir()):
            file.parent.rmdir()
    except OSError as error:
        raise OutputError(f"{file} is of an earlier report and cannot be removed: {error.strerror or error}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
