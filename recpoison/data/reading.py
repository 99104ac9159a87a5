"""Files of a dataset, read once for all seeds of a run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from recpoison.data.notes import Heard
from recpoison.progress import QUIET, Progress

MOST_BYTES = 2**28
"""Largest table that is kept: of a larger one, reading is little beside the fits that its memory would be missed in."""


class Table(Protocol):
    """What was read; nobody changes it."""

    @property
    def nbytes(self) -> int:
        """Its memory."""


Read = TypeVar("Read", bound=Table)


class Files(Protocol):
    """A dataset in files."""

    def fingerprint(self, data_dir: Path | None) -> str:
        """A digest of them."""


_open: dict[int, _Reading] = {}  # by the dataset's id: equal ones may have no hash
_door = threading.Lock()


@contextmanager
def read_once(dataset: Any) -> Iterator[None]:
    """Inside the block ``once`` reads the files of ``dataset`` once, whatever thread asks; at its end nothing is kept.

    Blocks on the same dataset, one inside another or in several threads, share one reading until the last of them ends.
    """
    with _door:
        reading = _open.setdefault(id(dataset), _Reading())
        reading.blocks += 1
    try:
        yield
    finally:
        with _door:
            reading.blocks -= 1
            if not reading.blocks:
                del _open[id(dataset)]


def once(
    dataset: Files, data_dir: Path | None, progress: Progress, read: Callable[[Path | None, Progress], Read]
) -> Read:
    """What ``read`` gives for the files as they are now; inside ``read_once`` kept, with its notes, if not too large.

    Args:
        dataset: Whose files.
        data_dir: Folder of the datasets.
        progress: Hears the notes, each time.
        read: Reads them.
    """
    reading = _open.get(id(dataset))
    if reading is None or reading.too_large:
        return read(data_dir, progress)
    return reading.given(dataset.fingerprint(data_dir), progress, lambda heard: read(data_dir, heard))


class _Kept(NamedTuple):
    """What was read of one state of the files, and what was noted."""

    files: str | None
    table: Any
    notes: list[str]


class _Reading:
    """The reading of one dataset.

    Attributes:
        blocks: How many share it.
        too_large: Whether its table is not to be kept.
    """

    def __init__(self) -> None:
        self.blocks, self.too_large = 0, False
        self._lock = threading.Lock()
        self._kept = _Kept(None, None, [])

    def given(self, files: str, progress: Progress, read: Callable[[Progress], Any]) -> Any:
        """What was read of ``files``, or is now, while others wait."""
        with self._lock:
            if not self.too_large:
                kept = self._kept if self._kept.files == files else self._anew(files, read)
                for note in kept.notes:
                    progress.note(note)
                return kept.table
        return read(progress)

    def _anew(self, files: str, read: Callable[[Progress], Any]) -> _Kept:
        heard = Heard(QUIET)
        found = _Kept(files, read(heard), heard.notes)
        self.too_large = found.table.nbytes > MOST_BYTES
        if not self.too_large:
            self._kept = found
        return found
