"""A table that is in memory already: a pandas frame, from Python only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd

from recpoison.data.formats import Rows, rows_of_frame
from recpoison.data.layout import Column, Layout
from recpoison.data.table import OwnTable
from recpoison.errors import ConfigError
from recpoison.progress import Progress

IN_MEMORY = "frame"
_OF_FILES = ("test_path", "separator", "header", "encoding")


@dataclass(frozen=True)
class InMemory:
    """A frame as a part can hold it: two are the same if their columns' names, types and values are.

    Args:
        sha256: Of all that.
    """

    sha256: str

    @classmethod
    def of(cls, frame: pd.DataFrame) -> InMemory:
        """Holds a copy, so that the frame may change afterwards."""
        whole = hashlib.sha256(repr([(str(name), str(kind)) for name, kind in frame.dtypes.items()]).encode())
        whole.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
        held = cls(whole.hexdigest())
        object.__setattr__(held, "frame", frame.copy())
        return held


@dataclass(frozen=True, kw_only=True)
class FrameTable(OwnTable):
    """The rows of a pandas frame, with the settings of ``dataset=csv`` that are not about files.

    Args:
        path: What messages call it.
        rows: One interaction each.

    Raises:
        ConfigError: If a setting of files is given.
    """

    path: str = IN_MEMORY
    rows: InMemory

    def __post_init__(self) -> None:
        super().__post_init__()
        defaults = {item.name: item.default for item in fields(OwnTable)}
        for setting in _OF_FILES:
            if getattr(self, setting) != defaults[setting]:
                raise ConfigError(f"dataset.{setting} is about files: leave it out beside a frame")

    @classmethod
    def like(cls, table: OwnTable, frame: pd.DataFrame) -> FrameTable:
        """``frame``, read as ``table`` reads its file; only columns that it names are kept.

        Raises:
            ConfigError: If there is no frame, or the table has a setting of files.
        """
        if not isinstance(frame, pd.DataFrame):
            raise ConfigError(f"the data are {type(frame).__name__}: give a pandas DataFrame")
        settings = {item.name: getattr(table, item.name) for item in fields(table)}
        used = [column for column in (table.user, table.item, table.rating, table.time) if column is not None]
        return cls(**settings | {"path": IN_MEMORY, "rows": InMemory.of(_only(frame, used))})

    def fingerprint(self, data_dir: Path | None) -> str:
        """sha256 of the columns' names, types and values."""
        return self.rows.sha256

    def _parts(self, data_dir: Path | None, layout: Layout, progress: Progress) -> list[Rows]:
        return [rows_of_frame(Path(self.path), self.rows.frame, layout, progress)]  # type: ignore[attr-defined]


def _only(frame: pd.DataFrame, used: Sequence[Column]) -> pd.DataFrame:
    """The columns that are used; all where one has a number or is not there, so that a message can name them."""
    names = list(map(str, frame.columns))
    if not all(column in names for column in used):
        return frame
    return frame.iloc[:, sorted({names.index(str(column)) for column in used})]
