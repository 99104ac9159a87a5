"""The known datasets of users and items, read from their sources' own files."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
from recpoison.data.provenance import Source, Variant, data_folder, find, require
from recpoison.data.rows import Rows, number, stack
from recpoison.data.sources import SOURCES
from recpoison.data.splitting import Split, Splitter
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

_LAST = Layout(",", True, "user", "movie", None, None)


class Raw(NamedTuple):
    """All rows of a source, and what it says about which are held out.

    ``given`` is a mask of the rows that it marks; ``negatives`` are pairs ``(n, 2)`` and items ``(n, m)``, as labels.
    """

    data: Interactions
    given: np.ndarray | None = None
    negatives: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True)
class KnownRatings(Dataset):
    """A dataset of ``sources.SOURCES``.

    Args:
        name: What tables call it.
        source: Its name among the sources.
        variant: Which way of reading it; None is the first.
        filters: What stays.
        split: What is held out.

    Raises:
        ConfigError: If source or variant do not exist.
    """

    source: str
    variant: str | None = None
    filters: Filters = field(default_factory=Filters)
    split: Splitter = field(default_factory=Splitter)

    def __post_init__(self) -> None:
        known = [name for name, source in SOURCES.items() if name != "cora"]
        if self.source not in known:
            raise ConfigError(f"dataset.source is {self.source!r}: give one of {', '.join(known)}, or use dataset=csv")
        if self.variant is not None and self.variant not in self._source.variants:
            raise ConfigError(f"dataset.variant is {self.variant!r}: give one of {', '.join(self._source.variants)}")

    @property
    def _source(self) -> Source:
        return SOURCES[self.source]

    @property
    def _variant_name(self) -> str:
        return self.variant or next(iter(self._source.variants))

    @property
    def _variant(self) -> Variant:
        return self._source.variants[self._variant_name]

    def read(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """All rows as the source has them; see ``Dataset.read``."""
        return self._raw(data_dir, progress).data

    def load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """Read, filter and split; see ``Dataset.load``."""
        return prepare(self._raw(data_dir, progress), self.filters, self.split, seeds, progress)

    @property
    def held_out(self) -> str:
        """As the splitter says."""
        return self.split.in_words

    def fingerprint(self, data_dir: Path | None) -> str:
        """sha256 over the files as they lie on disk, in order."""
        paths = require(self._source, self._variant_name, data_dir)
        for extra in (self._variant.negatives, self._variant.last):
            paths += find(data_folder(data_dir) / self._source.folder, extra) if extra else []
        return digest(paths)

    def _raw(self, data_dir: Path | None, progress: Progress) -> Raw:
        variant, folder = self._variant, data_folder(data_dir) / self._source.folder
        paths = require(self._source, self._variant_name, data_dir)
        parts = [read_netflix(paths)] if variant.form == "netflix" else [_read(path, variant) for path in paths]
        data = number(stack(parts), variant.layout.scale)
        self._compare(data, progress)
        given = None
        if variant.test:
            marks = [name == variant.test for name in variant.files]
            given = np.repeat(marks, [len(part) for part in parts])
        elif variant.last and data.times is None and (last := find(folder, variant.last)):
            given = _mark(data, read_delimited(last[0], _LAST), last[0])
        negatives = find(folder, variant.negatives) if variant.negatives else []
        return Raw(data, given, read_negatives(negatives[0]) if negatives else None)

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
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            first = file.readline().decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error):
        return True  # reading the whole file says what is wrong with it
    assert isinstance(layout.time, int)
    return len(first.split(layout.separator)) > layout.time


def _mark(data: Interactions, last: Rows, path: Path) -> np.ndarray:
    """Mask of the rows that ``last`` names by user and item."""
    assert data.user_labels is not None
    assert data.item_labels is not None
    users = places_of(last.users.labels, data.user_labels)[last.users.codes]
    items = places_of(last.items.labels, data.item_labels)[last.items.codes]
    wanted = np.where((users < 0) | (items < 0), -1, users * data.n_items + items)
    ordered = np.unique(wanted)
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
    given = None if raw.given is None else raw.given[rows]
    split = splitter.split(data, seeds, progress, given)
    if raw.negatives is None or splitter.method != "given":
        return split
    return replace(split, negatives=_follow(split.test, *raw.negatives, progress))


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
        whole.update(path.name.encode())
        try:
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}): check the path and its permissions") from None
    return whole.hexdigest()
