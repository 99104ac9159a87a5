"""Where a run over several seeds lays down what it needs again only at its end: on disk, not in memory."""

from __future__ import annotations

import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from recpoison.changes import Change
from recpoison.drafts import clear_abandoned, draft_of
from recpoison.evaluation.base import Record
from recpoison.records import CellResult

log = logging.getLogger(__name__)
_NAME = "recpoison-ranks"


class Shelf:
    """A folder for temporary files (``TMPDIR`` says where). It is removed with the last result that lies in it.

    A process that was killed leaves it behind; the next run on the same machine clears it away.
    """

    def __init__(self) -> None:
        place = Path(tempfile.gettempdir(), _NAME)
        clear_abandoned(place)
        self._folder = draft_of(place)
        self._count = 0
        self._failed = False
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def lay_down(self, result: CellResult, read: Callable[[Path], Record]) -> CellResult:
        """The result with its ranks and its change on disk, and without the numbers of single users.

        Where they cannot be written it stays as it is, with a warning.

        Args:
            result: What a cell showed.
            read: Reads what its ``seen`` saves.
        """
        place = self._folder / str(self._count)
        self._count += 1
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            result.seen.save(place.with_suffix(".seen.npz"))
            if result.change is not None:
                result.change.save(place.with_suffix(".change.npz"))
        except OSError as error:
            if not self._failed:
                log.warning("the ranks of finished seeds stay in memory (%s): set TMPDIR to where there is room", error)
            self._failed = True
            return result
        return _LaidDown(self, place, result, read)


class _LaidDown(CellResult):
    """A result whose ranks and change are read each time that they are asked for."""

    _shelf: Shelf  # held, so that its folder stays
    _place: Path
    _read: Callable[[Path], Record]
    _kind: Any

    def __init__(self, shelf: Shelf, place: Path, result: CellResult, read: Callable[[Path], Record]) -> None:
        plain = [replace(measure, units=None, per_unit=None) for measure in result.measures]
        kind: Any = None if result.change is None else type(result.change)
        vars(self).update(cell=result.cell, measures=plain, curve=result.curve)
        vars(self).update(_shelf=shelf, _place=place, _read=read, _kind=kind)

    @property
    def seen(self) -> Record:
        """What the evaluation looked at."""
        return self._read(self._place.with_suffix(".seen.npz"))

    @property
    def change(self) -> Change | None:
        """The crafted change."""
        return None if self._kind is None else self._kind.load(self._place.with_suffix(".change.npz"))


class Sights(Sequence[Record]):
    """What the evaluation looked at in each cell, one after the other.

    Args:
        results: The cells.
    """

    def __init__(self, results: Sequence[CellResult]) -> None:
        self._results = results

    def __len__(self) -> int:
        return len(self._results)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Sights(self._results[place])
        return self._results[place].seen
