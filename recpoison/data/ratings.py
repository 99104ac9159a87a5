"""The known datasets of users and items, read from their sources' own files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recpoison.data.dataset import Dataset
from recpoison.data.delimited import read_delimited
from recpoison.data.filtering import Filters
from recpoison.data.formats import read_grouped, read_negatives
from recpoison.data.ids import places_of
from recpoison.data.interactions import Interactions
from recpoison.data.layout import Layout
from recpoison.data.netflix import read_netflix
from recpoison.data.opening import first_line, on_disk, parts_of
from recpoison.data.pairs import distinct, present
from recpoison.data.provenance import Source, Variant, data_folder, find, require
from recpoison.data.reading import once
from recpoison.data.rows import Rows, number, stack
from recpoison.data.sources import SOURCES
from recpoison.data.splitting import Method, Split, Splitter
from recpoison.errors import ConfigError, DataError
from recpoison.idle import Together
from recpoison.progress import Progress
from recpoison.seeds import Seeds

_LAST = Layout(",", True, "user", "movie", None, None)


class Raw(NamedTuple):
    """All rows of a source, and what it says about which are held out.

    ``given`` is a mask of its own test rows; ``negatives`` are pairs ``(n, 2)`` and items ``(n, m)``, as labels;
    ``last`` is a mask of each user's last row, where it has no times but marks that.
    """

    data: Interactions
    given: np.ndarray | None = None
    negatives: tuple[np.ndarray, np.ndarray] | None = None
    last: np.ndarray | None = None

    @property
    def nbytes(self) -> int:
        """Memory of its arrays."""
        data = self.data
        columns = (data.users, data.items, data.values, data.times, data.user_labels, data.item_labels)
        return sum(
            array.nbytes for array in (*columns, self.given, *(self.negatives or ()), self.last) if array is not None
        )

    def marked(self, method: Method) -> np.ndarray | None:
        """Mask of the rows that the source marks as what ``method`` holds out."""
        return {"given": self.given, "leave_one_out_last": self.last}.get(method)


@dataclass(frozen=True)
class KnownRatings(Dataset):
    """A dataset of ``sources.SOURCES``; ``build_dataset`` gives it as its YAML describes it, which suits each source.

    Args:
        name: What tables call it.
        source: Its name among the sources.
        variant: Which way of reading it.
        filters: What stays.
        split: What is held out.

    Raises:
        ConfigError: If source or variant do not exist.

    Example:
        >>> KnownRatings("ml_100k", "ml_100k", "ratings", Filters(), Splitter()).has_ratings
        True
        >>> KnownRatings("ml_100k", "ml_100k", "ratings", Filters(binarise_at=4), Splitter()).has_ratings
        False
    """

    source: str
    variant: str
    filters: Filters
    split: Splitter

    def __post_init__(self) -> None:
        known = [name for name, source in SOURCES.items() if name != "cora"]
        if self.source not in known:
            raise ConfigError(f"dataset.source is {self.source!r}: give one of {', '.join(known)}, or use dataset=csv")
        if self.variant not in self._source.variants:
            raise ConfigError(f"dataset.variant is {self.variant!r}: give one of {', '.join(self._source.variants)}")

    @property
    def _source(self) -> Source:
        return SOURCES[self.source]

    @property
    def _variant(self) -> Variant:
        return self._source.variants[self.variant]

    @property
    def has_ratings(self) -> bool:
        """Where the source has a scale and the filters leave it."""
        return self._variant.layout.scale is not None and not self.filters.forget

    def idle(self, parts: Together) -> dict[str, str]:
        """Ratings that are to be forgotten, where there are none."""
        if self._variant.layout.scale is not None:
            return {}
        return {"filters.implicit": f"{self.source} ({self.variant}) has no ratings"}

    def read(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """All rows as the source has them; see ``Dataset.read``."""
        return self._raw(data_dir, progress).data

    def _load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """Read, filter and split."""
        raw = once(self, data_dir, progress, self._raw)
        return prepare(raw, self.filters, self.split, seeds, progress)

    def _whole(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """Read and filter."""
        raw = once(self, data_dir, progress, self._raw)
        return self.filters.apply(raw.data, seeds, progress)[0]

    def fingerprint(self, data_dir: Path | None) -> str:
        """sha256 over the files as they lie on disk, in order."""
        paths = require(self._source, self.variant, data_dir)
        for extra in (self._variant.negatives, self._variant.last):
            new = extra is not None and extra not in self._variant.files
            paths += find(data_folder(data_dir) / self._source.folder, extra) if extra and new else []
        return digest(paths)

    def _raw(self, data_dir: Path | None, progress: Progress) -> Raw:
        variant, folder = self._variant, data_folder(data_dir) / self._source.folder
        paths = require(self._source, self.variant, data_dir)
        parts = [read_netflix(paths)] if variant.form == "netflix" else [_read(path, variant) for path in paths]
        data = number(stack(parts), variant.layout.scale)
        self._compare(data, progress)
        given = last = None
        if variant.test:
            marks = [name == variant.test for name in variant.files]
            given = np.repeat(marks, [len(part) for part in parts])
        if variant.last and data.times is None:
            own = variant.last == variant.test
            last = given if own else _marks(data, find(folder, variant.last))
        negatives = find(folder, variant.negatives) if variant.negatives else []
        return Raw(data, given, read_negatives(negatives[0]) if negatives else None, last)

    def _compare(self, data: Interactions, progress: Progress) -> None:
        found = (data.n_users, data.n_items, len(data))
        if self._variant.counts not in (None, found):
            progress.note(f"{self.name} has (users, items, rows) {found}, but {self._variant.counts} were expected")


def _read(path: Path, variant: Variant) -> Rows:
    if variant.form == "grouped":
        return read_grouped(path)
    layout = variant.layout
    if layout.time is not None and not layout.header and not _has_column(path, layout):
        layout = replace(layout, time=None)
    return read_delimited(path, layout)


def _has_column(path: Path, layout: Layout) -> bool:
    """Whether the first line reaches to the time column: copies of ml_1m exist that have none."""
    assert isinstance(layout.time, int)
    return len(first_line(path).split(layout.separator)) > layout.time


def _marks(data: Interactions, paths: list[Path]) -> np.ndarray | None:
    """Mask of the rows that a file of users and items names; None where there is no file."""
    return _mark(data, read_delimited(paths[0], _LAST), paths[0]) if paths else None


def _mark(data: Interactions, last: Rows, path: Path) -> np.ndarray:
    """Mask of the rows that ``last`` names by user and item."""
    assert data.user_labels is not None
    assert data.item_labels is not None
    users = places_of(last.users.labels, data.user_labels)[last.users.codes]
    items = places_of(last.items.labels, data.item_labels)[last.items.codes]
    wanted = np.where((users < 0) | (items < 0), -1, users * data.n_items + items)
    ordered = distinct(wanted)
    places = places_of(data.users * data.n_items + data.items, ordered)
    unknown = ~np.isin(wanted, ordered[places[places >= 0]])
    if unknown.any():
        n = int(unknown.argmax())
        raise DataError(
            f"{path}, line {n + 2}: user {last.users.each[n]} and item {last.items.each[n]} are no row of the ratings: "
            "give the file that belongs to them"
        )
    return places >= 0


def prepare(raw: Raw, filters: Filters, splitter: Splitter, seeds: Seeds, progress: Progress) -> Split:
    """Filter, then split; given negatives follow their test rows."""
    data, rows = filters.apply(raw.data, seeds, progress)
    marked = raw.marked(splitter.method)
    if marked is not None and (lost := _lost(raw.data.users, marked, rows)):
        row = "marked last" if splitter.method == "leave_one_out_last" else "test"
        progress.note(f"filters took the {row} row of {lost:,} of the {data.n_users:,} users who stay")
    split = splitter.split(data, seeds, progress, None if marked is None else marked[rows])
    if raw.negatives is None or splitter.method != "given":
        return split
    return replace(split, negatives=_follow(split.test, *raw.negatives, progress))


def _lost(users: np.ndarray, marked: np.ndarray, rows: np.ndarray) -> int:
    """How many users have one of ``rows``, but none of those that were ``marked`` for them."""
    n_users = users.max(initial=-1) + 1
    stay, had, have = (present(users[part], n_users) for part in (rows, marked, rows[marked[rows]]))
    return int((stay & had & ~have).sum())


def _follow(test: Interactions, pairs: np.ndarray, negatives: np.ndarray, progress: Progress) -> np.ndarray | None:
    """Negatives of each test row as ids; None where filters took one of them away."""
    assert test.user_labels is not None
    assert test.item_labels is not None
    users, items = places_of(pairs[:, 0], test.user_labels), places_of(pairs[:, 1], test.item_labels)
    keys = np.where((users < 0) | (items < 0), -1, users * test.n_items + items)
    order = np.argsort(keys)
    places = places_of(test.users * test.n_items + test.items, keys[order])
    found = places_of(negatives.ravel(), test.item_labels).reshape(negatives.shape)
    if (places < 0).any() or (found[order[places]] < 0).any():
        progress.note("the source's negatives do not cover the filtered test rows: they are left out")
        return None
    return found[order[places]]


def digest(paths: Sequence[Path]) -> str:
    """sha256 over the names and bytes of ``paths``.

    Raises:
        DataError: If one cannot be read.
    """
    whole = hashlib.sha256()
    for path in paths:
        for part in parts_of(path) if path.is_dir() else [path]:
            whole.update(part.name.encode())
            with on_disk(part) as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
