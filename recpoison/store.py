"""Content-addressed stages: what was computed once is never computed again.

Layout: ``<folder>/<stage>/<key>/`` holds a stage's files and ``entry.json`` with their sha256; ``<folder>/locks`` the
locks. An entry appears by one rename, so that it is there whole or not at all, and is never changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from recpoison.errors import OutputError

try:
    import fcntl
except ImportError:  # Windows: without locks a stage may be computed twice, but never half-written.
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)
Value = TypeVar("Value")


@dataclass(frozen=True)
class Entry:
    """What the store knows of one finished stage.

    Args:
        stage: Its kind, such as ``fit``.
        key: Digest of everything that can affect it.
        inputs: What the key was made of.
        seconds: Wall time it took.
        peak_mb: Highest memory by its end, MB.
        created: Seconds since 1970.
        files: sha256 of each file.
    """

    stage: str
    key: str
    inputs: dict[str, Any]
    seconds: float
    peak_mb: float
    created: float
    files: dict[str, str] = field(default_factory=dict)


class Store:
    """A folder of finished stages that any number of processes may share, also over a network file system.

    Args:
        folder: Where it lives; made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def find(self, stage: str, key: str) -> Entry | None:
        """The entry of ``key``, or None; one whose files do not match their sha256 is set aside and counts as missing."""
        folder = self.folder / stage / key
        entry = read_entry(folder)
        if entry is None:
            return None
        broken = broken_files(folder, entry)
        if broken:
            self._set_aside(folder, broken)
            return None
        return entry

    def obtain(
        self,
        stage: str,
        key: str,
        inputs: dict[str, Any],
        compute: Callable[[], tuple[Value, float, float]],
        save: Callable[[Value, Path], None],
        load: Callable[[Path], Value],
    ) -> tuple[Value, Entry, bool]:
        """The value of a stage: loaded if it is here, computed under a lock and kept if not.

        Args:
            stage: Its kind.
            key: Digest of ``inputs``.
            inputs: Everything that can affect it, in plain values.
            compute: Returns the value, the seconds and the peak memory in MB.
            save: Writes the value's files into a folder.
            load: Reads them.

        Returns:
            The value, its entry, and whether it was found rather than computed.
        """
        entry = self.find(stage, key)
        if entry is None:
            with self.lock(stage, key):
                entry = self.find(stage, key)
                if entry is None:
                    value, seconds, peak_mb = compute()
                    entry = self._keep(Entry(stage, key, inputs, seconds, peak_mb, time.time()), value, save)
                    return value, entry, False
        return load(self.folder / stage / key), entry, True

    @contextmanager
    def lock(self, stage: str, key: str) -> Iterator[None]:
        """Hold the stage's lock. The kernel drops it when its holder dies, however it dies."""
        if fcntl is None:
            yield
            return
        folder = self.folder / "locks"
        _make(folder)
        with (folder / f"{stage}-{key}").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("waiting for another process that computes %s %s", stage, key[:12])
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        found = [
            read_entry(path.parent)
            for path in self.folder.glob("*/*/entry.json")
            if not path.parent.name.startswith(".")
        ]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.created)

    def path(self, entry: Entry) -> Path:
        """Where an entry's files are."""
        return self.folder / entry.stage / entry.key

    def size(self, entry: Entry) -> int:
        """Bytes of an entry on disk."""
        return sum(path.stat().st_size for path in self.path(entry).iterdir())

    def remove(self, entry: Entry) -> None:
        """Delete an entry: it disappears by one rename first, so that nobody loads half of it."""
        doomed = self.folder / entry.stage / f".removed-{uuid.uuid4().hex}"
        os.replace(self.path(entry), doomed)
        shutil.rmtree(doomed)

    def _keep(self, entry: Entry, value: Value, save: Callable[[Value, Path], None]) -> Entry:
        parent = self.folder / entry.stage
        _make(parent)
        draft = parent / f".draft-{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            save(value, draft)
            files = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
            entry = Entry(**{**asdict(entry), "files": files})
            (draft / "entry.json").write_text(json.dumps(asdict(entry), indent=1), encoding="utf-8")
            target = parent / entry.key
            if target.exists():
                shutil.rmtree(draft)  # A process without our lock was quicker; its entry is as good.
            else:
                os.rename(draft, target)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise OutputError(
                f"the store {self.folder} cannot be written ({error.strerror}): free space, or set store_dir elsewhere or to null"
            ) from error
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        return entry

    def _set_aside(self, folder: Path, broken: list[str]) -> None:
        aside = self.folder / "corrupt" / f"{folder.parent.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
        log.warning(
            "the stored %s %s is damaged (%s): set aside as %s and computed again",
            folder.parent.name,
            folder.name[:12],
            ", ".join(broken),
            aside,
        )
        _make(aside.parent)
        try:
            os.replace(folder, aside)
        except FileNotFoundError:
            return  # Another process set it aside first.


def read_entry(folder: Path) -> Entry | None:
    """The entry in ``folder``, or None where there is none; an unreadable one counts as one with a missing file."""
    try:
        return Entry(**json.loads((folder / "entry.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Entry(folder.parent.name, folder.name, {}, 0.0, 0.0, 0.0, {"entry.json": ""})


def broken_files(folder: Path, entry: Entry) -> list[str]:
    """Files of an entry that are missing or do not match their sha256."""
    return [
        name
        for name, expected in entry.files.items()
        if not (folder / name).is_file() or _sha256(folder / name) != expected
    ]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the store folder {folder} cannot be made: {error.strerror}; set store_dir to another folder or to null"
        ) from error
