"""Anyone's own table of users and items: csv, tsv, JSON lines or parquet, packed or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from recpoison.data.dataset import Dataset
from recpoison.data.delimited import read_delimited
from recpoison.data.filtering import Filters
from recpoison.data.formats import read_parquet
from recpoison.data.interactions import Interactions, Scale
from recpoison.data.layout import Column, Layout
from recpoison.data.locating import own_files
from recpoison.data.opening import is_parquet
from recpoison.data.ratings import Raw, digest, prepare
from recpoison.data.reading import once
from recpoison.data.recognising import is_encoding
from recpoison.data.rows import Rows, number, stack
from recpoison.data.scales import in_words, is_whole, proposal
from recpoison.data.splitting import Split, Splitter
from recpoison.descriptions import NO_EFFECT
from recpoison.errors import ConfigError, DataError
from recpoison.idle import Together
from recpoison.progress import Progress
from recpoison.ranges import ANY, Range, check_ranges, ranged
from recpoison.seeds import Seeds

_COLUMN = Range(low=0, text="the name of a column")


@dataclass(frozen=True)
class OwnTable(Dataset):
    r"""A table with one interaction a row.

    Args:
        name: What tables call it.
        path: The file, from where the command is run or from the data folder: text with separators or JSON lines, plain
            or packed (gz, xz, bz2, zip; ``some.zip/member.csv`` in a zip of several), parquet or a folder of its parts.
            Its first bytes say which, not its name.
        test_path: A second file with test rows, for ``split.method=given``; None where one file is to be split.
        separator: Between columns, one character or one repeated; ``"\s+"`` is any white space; None guesses.
        header: Whether the first line names the columns.
        user: Column of users: its name in the header, or its number from 0.
        item: Column of items.
        rating: Column of ratings; None where there is none. It needs ``low`` and ``high``, or a filter that uses it.
        time: Column of timestamps (seconds or ISO dates); None where there is none.
        encoding: What the text was written in, such as ``latin-1``; a byte order mark goes first.
        low: Lowest rating; None (with ``high``) means implicit feedback.
        high: Highest rating.
        step: Step of the rating scale; ``high`` is a whole number of steps above ``low``.
        missing: Ratings that mean "not rated", such as 0, -1 or 99; their rows are dropped, and counted in a note.
        drop_invalid: Drop rows without an id, and those whose rating or time is missing, no number or off the scale,
            and count them in a note; False refuses the file.
        filters: What stays.
        split: What is held out.

    Raises:
        ConfigError: If the scale is out of order or off its own steps, or has no ratings to go with.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = Path(folder, "mine.csv").write_text("user,item,stars\nann,emma,4\nbob,emma,5\nann,ulysses,1\n")
        ...     table = OwnTable("mine", f"{folder}/mine.csv", rating="stars", low=1, high=5)
        ...     data = table.read(None, Seeds(0), Progress())
        >>> data.n_users, data.n_items, data.values.tolist()
        (2, 2, [4.0, 5.0, 1.0])
    """

    path: str = field(metadata=NO_EFFECT)  # the fingerprint knows the files' bytes
    test_path: str | None = field(default=None, metadata=NO_EFFECT)
    separator: str | None = None
    header: bool = True
    user: Column = ranged("user", _COLUMN)
    item: Column = ranged("item", _COLUMN)
    rating: Column | None = ranged(None, replace(_COLUMN, null="no ratings"))
    time: Column | None = ranged(None, replace(_COLUMN, null="no times"))
    encoding: str = "utf-8"
    low: float | None = ranged(None, low=ANY, null="implicit feedback")
    high: float | None = ranged(None, low=ANY, null="implicit feedback")
    step: float = ranged(1.0, low=0.0, open_low=True)
    missing: Sequence[float] = ranged((), low=ANY, many=True)
    drop_invalid: bool = False
    filters: Filters = field(default_factory=lambda: Filters(min_user=2))
    split: Splitter = field(default_factory=lambda: Splitter("leave_one_out_random"))

    def __post_init__(self) -> None:
        check_ranges(self, "dataset")
        if (self.low is None) != (self.high is None):
            raise ConfigError("dataset.low and dataset.high go together: give both, or neither for implicit feedback")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ConfigError(
                f"dataset.low={self.low:g} is not below dataset.high={self.high:g}: give the ends of the scale"
            )
        if not is_encoding(self.encoding):
            raise ConfigError(f"dataset.encoding is {self.encoding!r}: give utf-8, latin-1, cp1252, utf-16 or such")
        if self.low is not None and self.high is not None and not is_whole((self.high - self.low) / self.step):
            raise ConfigError(
                f"dataset.high={self.high:g} is no whole number of steps of dataset.step={self.step:g} above "
                f"dataset.low={self.low:g}: give the step of the ratings (half stars have dataset.step=0.5)"
            )
        if self.rating is None and (self.low is not None or self.missing):
            setting = "low" if self.low is not None else "missing"
            raise ConfigError(
                f"dataset.{setting} is set, but dataset.rating names no column: name it, or drop {setting}"
            )

    @property
    def has_ratings(self) -> bool:
        """Where a scale is given and the filters leave it."""
        return self.low is not None and not self.filters.forget

    def idle(self, parts: Together) -> dict[str, str]:
        """What only a scale that stays can use; what a parquet file says itself."""
        found = {}
        if self.low is None:
            found = dict.fromkeys(("step", "filters.implicit"), "low and high are not given, so feedback is implicit")
        elif self.filters.forget:
            found["step"] = "filters forget the ratings"
        if self.low is None and self.rating is not None:
            del found["filters.implicit"]  # there it says that ratings are to be forgotten
        if Path(self.path).suffix == ".parquet":
            found |= dict.fromkeys(("separator", "header", "encoding"), "a parquet file says this itself")
        return found

    def read(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """All rows of the file or files that can be used; see ``Dataset.read``."""
        return self._raw(data_dir, progress).data

    def _load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """Read, filter and split."""
        split = prepare(once(self, data_dir, progress, self._raw), self.filters, self.split, seeds, progress)
        progress.note(f"{self.name}: feedback is {in_words(split.train.scale)}")
        return split

    def _whole(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """Read and filter."""
        data, _ = self.filters.apply(once(self, data_dir, progress, self._raw).data, seeds, progress)
        progress.note(f"{self.name}: feedback is {in_words(data.scale)}")
        return data

    def fingerprint(self, data_dir: Path | None) -> str:
        """sha256 over the files."""
        return digest(self._paths(data_dir))

    def _paths(self, data_dir: Path | None) -> list[Path]:
        return own_files(self.path, self.test_path, data_dir)

    @property
    def _scale(self) -> Scale | None:
        return None if self.low is None or self.high is None else Scale(self.low, self.high, self.step)

    def _raw(self, data_dir: Path | None, progress: Progress) -> Raw:
        layout = Layout(
            self.separator,
            self.header,
            self.user,
            self.item,
            self.rating,
            self.time,
            self._scale,
            encoding=self.encoding,
            missing=tuple(self.missing),
            drop_invalid=self.drop_invalid,
        )
        parts = self._parts(data_dir, layout, progress)
        given = np.repeat([False, True], [len(part) for part in parts]) if self.test_path is not None else None
        data = number(stack(parts), self._scale)
        self._refuse_idle_rating(data)
        return Raw(data, given)

    def _parts(self, data_dir: Path | None, layout: Layout, progress: Progress) -> list[Rows]:
        """Rows to learn from, or to split; test rows of their own come second."""
        return [_read(path, layout, progress) for path in self._paths(data_dir)]

    def _refuse_idle_rating(self, data: Interactions) -> None:
        """Ratings without a scale are forgotten: so they must be, by a filter, and not by an oversight."""
        used = self._scale is not None or self.filters.binarise_at is not None or self.filters.implicit
        if self.rating is not None and not used:
            raise DataError(
                f"dataset.rating={self.rating} does nothing without its scale: {proposal(data.values)}, or "
                "dataset.filters.implicit=true to forget them"
            )


def _read(path: Path, layout: Layout, progress: Progress) -> Rows:
    read = read_parquet if is_parquet(path) else read_delimited
    return read(path, layout, progress)
