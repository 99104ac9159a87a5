"""Content-addressed stages: what was computed once is never computed again.

Layout: ``<folder>/<stage>/<key>/`` holds a stage's files and ``entry.json`` with their sha256. An entry appears by one
rename, so that it is there whole or not at all, and is never changed. Beside it, hidden: ``.draft-<key>-*`` an entry
being written, ``.part-<key>`` where a long stage keeps its checkpoints, ``.removed-*`` an entry being deleted. And
``<folder>/.locks``, ``<folder>/.damaged``.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from recpoison.drafts import clear_abandoned, draft_of
from recpoison.errors import OutputError
from recpoison.intact import altered, sha256_of
from recpoison.stages import locks

log = logging.getLogger(__name__)
Value = TypeVar("Value")


def default_store_dir() -> Path:
    """``outputs/store`` of the working directory: seen, on the disk of the results, and deleted with them."""
    return Path("outputs", "store")


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
        title: What a reader is told, such as ``fit bprmf (none/none)``; another run may call it otherwise.
        files: sha256 of each file.
    """

    stage: str
    key: str
    inputs: dict[str, Any]
    seconds: float
    peak_mb: float
    created: float
    title: str = ""
    files: dict[str, str] = field(default_factory=dict)


class Store:
    """A folder of finished stages that any number of processes may share, also over a network file system.

    Args:
        folder: Where it lives; made when first written to.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> parts = Parts(Planted("planted"), Popularity(), evaluation=FullRanking(cutoffs=[10]))
        >>> with TemporaryDirectory() as folder:
        ...     records = [run(parts, store=Store(Path(folder))) for _ in range(2)]
        >>> [{cost.reused for cost in record.costs} for record in records]
        [{False}, {True}]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._stuck: set[Path] = set()

    def find(self, stage: str, key: str) -> Entry | None:
        """The entry of ``key``, or None; one that is not as it was written is set aside, and is missing."""
        folder = self.folder / stage / key
        entry = read_entry(folder)
        broken = altered(folder, entry.files) if entry else []
        if entry is None or not os.path.lexists(folder):  # Pruned while we looked.
            return None
        if broken:
            self.set_aside(entry, broken)
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
        title: str = "",
    ) -> tuple[Value, Entry, bool]:
        """The value of a stage: loaded if it is here, computed under a lock and kept if not.

        A value that cannot be kept (a full disk) is returned all the same, with a warning.

        Args:
            stage: Its kind.
            key: Digest of ``inputs``.
            inputs: Everything that can affect it, in plain values.
            compute: Returns the value, the seconds and the peak memory in MB.
            save: Writes the value's files into a folder.
            load: Reads them.
            title: What a reader is told.

        Returns:
            The value, its entry, and whether it was found rather than computed.

        Raises:
            OutputError: If the store's folder cannot be made or read.
        """
        found = self.load(stage, key, load)
        if found is None:
            with self.lock(stage, key):
                found = self.load(stage, key, load)
                if found is None:
                    value, seconds, peak_mb = compute()
                    clear_abandoned(self.folder / stage / key, f"draft-{key}")
                    entry = self._keep(Entry(stage, key, inputs, seconds, peak_mb, time.time(), title), value, save)
                    return value, entry, False
        return *found, True

    def lock(self, stage: str, key: str) -> AbstractContextManager[None]:
        """Hold the stage's lock for a block; none in a store that may only be read, where nothing can be kept."""
        if self.folder.is_dir() and not os.access(self.folder, os.W_OK):
            return nullcontext()
        _make(self.lock_path(stage, key).parent)
        return locks.holding(self.lock_path(stage, key), f"{stage} {key[:12]}")

    def lock_path(self, stage: str, key: str) -> Path:
        """The file of a stage's lock."""
        return self.folder / ".locks" / f"{stage}-{key}"

    def part(self, stage: str, key: str) -> Path:
        """Where an unfinished stage may keep its checkpoints; removed when the stage is stored."""
        return self.folder / stage / f".part-{key}"

    def entries(self) -> list[Entry]:
        """All entries, oldest first; those that cannot be read among them."""
        stages = [path for path in children(self.folder) if path.name[0] != "."]
        found = [read_entry(path) for stage in stages for path in children(stage) if path.name[0] != "."]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.created)

    def path(self, entry: Entry) -> Path:
        """Where an entry's files are."""
        return self.folder / entry.stage / entry.key

    def last_used(self, entry: Entry) -> float:
        """When an entry was last made or loaded, in seconds since 1970; when it was made if nobody can tell."""
        try:
            return (self.path(entry) / "entry.json").stat().st_mtime
        except OSError:
            return entry.created

    def remove(self, entry: Entry) -> None:
        """Delete an entry: it disappears by one rename first, so that nobody loads half of it.

        Raises:
            OSError: If it may not be deleted, such as another user's.
        """
        doomed = self.folder / entry.stage / f".removed-{uuid.uuid4().hex}"
        with contextlib.suppress(FileNotFoundError):  # Removed by another process.
            os.replace(self.path(entry), doomed)
            delete(doomed)

    def set_aside(self, entry: Entry, broken: Sequence[str]) -> bool:
        """Move a damaged entry where nobody loads it, and say so, once. Whether it is gone from its place."""
        aside = self.folder / ".damaged" / f"{entry.stage}-{entry.key}-{uuid.uuid4().hex[:8]}"
        what = f"{entry.stage} {entry.key[:12]}"
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.path(entry), aside)
        except FileNotFoundError:
            return True  # Another process set it aside.
        except OSError as error:  # A store we may only read.
            if self.path(entry) not in self._stuck:
                log.warning("the stored %s is damaged (%s) and stays: %s", what, ", ".join(broken), error)
            self._stuck.add(self.path(entry))
            return False
        log.warning("the stored %s is damaged (%s): set aside as %s", what, ", ".join(broken), aside)
        return True

    def load(self, stage: str, key: str, load: Callable[[Path], Value]) -> tuple[Value, Entry] | None:
        """A stored value and its entry, or None; an entry that ``load`` cannot read is set aside, and is missing."""
        entry = self.find(stage, key)
        if entry is None:
            return None
        folder = self.path(entry)
        try:
            value = load(folder)
        except Exception as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
                raise
            if (folder / "entry.json").exists():  # Else pruned while we read.
                self.set_aside(entry, [f"{type(error).__name__}: {error}".splitlines()[0]])
            return None
        with contextlib.suppress(OSError):  # Gone, or a store we may only read.
            os.utime(folder / "entry.json")
        shutil.rmtree(self.part(stage, key), ignore_errors=True)  # of a process that died once its entry was there
        return value, entry

    def _keep(self, entry: Entry, value: Value, save: Callable[[Value, Path], None]) -> Entry:
        draft = draft_of(self.path(entry), f"draft-{entry.key}")
        try:
            draft.mkdir(parents=True)
            save(value, draft)
            files = {path.name: sha256_of(path) or "" for path in sorted(draft.iterdir())}
            entry = replace(entry, files=files)
            about = draft / "entry.json"
            about.write_text(json.dumps(asdict(entry), indent=1), encoding="utf-8")
            for name in files:  # safetensors makes its files private, and a store may be shared.
                (draft / name).chmod(about.stat().st_mode)
            os.rename(draft, self.path(entry))
            shutil.rmtree(self.part(entry.stage, entry.key), ignore_errors=True)
        except OSError as error:
            if not self.path(entry).exists():  # Else a process without our lock was quicker; its entry is as good.
                what = f"{entry.stage} {entry.key[:12]}"
                log.warning("%s cannot be stored in %s (%s): free space, or set store_dir", what, self.folder, error)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return entry


def read_entry(folder: Path) -> Entry | None:
    """The entry in ``folder``, None where there is none; one that cannot be read counts as one with a broken file."""
    about = folder / "entry.json"
    try:
        if not about.is_file():
            gone = not os.path.lexists(folder) or about.is_file()  # An entry comes and goes whole.
            return None if gone else _unreadable(folder)
        entry = Entry(**json.loads(about.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError):
        return _unreadable(folder)
    if (entry.stage, entry.key) != (folder.parent.name, folder.name):  # Moved by hand: not what its place promises.
        return _unreadable(folder)
    return entry if _is_plausible(entry) else _unreadable(folder)


def _is_plausible(entry: Entry) -> bool:
    """Whether what was read has the types of an entry, and its files lie in its folder."""
    if not isinstance(entry.inputs, dict) or not isinstance(entry.files, dict):
        return False
    texts, numbers = (entry.title, *entry.files, *entry.files.values()), (entry.seconds, entry.peak_mb, entry.created)
    return (
        all(isinstance(text, str) for text in texts)
        and all(isinstance(number, int | float) for number in numbers)
        and all(Path(name).name == name for name in entry.files)
    )


def _unreadable(folder: Path) -> Entry:
    return Entry(folder.parent.name, folder.name, {}, 0.0, 0.0, 0.0, files={"entry.json": ""})


def delete(path: Path) -> None:
    """Delete a file, a link or a folder.

    Raises:
        OSError: If it may not be deleted, or is gone.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def children(folder: Path) -> list[Path]:
    """What is in ``folder``, by name; nothing where it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the store folder {folder} cannot be made ({error.strerror}): set store_dir to another folder or to null"
        ) from error
