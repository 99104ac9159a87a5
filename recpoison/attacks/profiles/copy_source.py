"""Whom CopyAttack may copy: users of a source domain, with their profiles in the items of the target domain."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from recpoison.data.dataset import Dataset
from recpoison.data.interactions import Interactions
from recpoison.data.named import build_dataset
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

SHARES = np.arange(1, 11) / 10  # of a profile that a window may keep


class Source(NamedTuple):
    """Profiles that may be copied, each in time order.

    Args:
        data: The users of the source, in the items of the target domain; each pair once, rows by user and then time.
        begin: ``(n_users + 1,)`` where a user's rows begin.
    """

    data: Interactions
    begin: np.ndarray

    def owners(self, target: int) -> np.ndarray:
        """``(n_users,)`` whether a user has the target."""
        owners = np.zeros(self.data.n_users, dtype=bool)
        owners[self.data.users[self.data.items == target]] = True
        return owners

    def window(self, user: int, target: int, share: float) -> slice:
        """The rows of a user that are copied: ``share`` of them, rounded up, centred on the target.

        A window that would leave the profile is moved into it. Without the target the centre is the profile's.
        """
        begin, end = int(self.begin[user]), int(self.begin[user + 1])
        length = max(1, int(np.ceil(share * (end - begin) - 1e-9)))
        place = np.flatnonzero(self.data.items[begin:end] == target)
        middle = int(place[0]) if len(place) else (end - begin) // 2
        start = begin + min(max(0, middle - length // 2), end - begin - length)
        return slice(start, start + length)


def in_order(data: Interactions) -> Source:
    """The users of ``data`` who have a row, numbered anew, with the first row of each pair, by time where it is known.

    Raises:
        ConfigError: If nobody has.
    """
    if not len(data):
        raise ConfigError(
            "nobody is left to copy: raise attack.source_share, or see that attack.item_map names items of both domains"
        )
    times = np.arange(len(data)) if data.times is None else data.times
    order = np.lexsort((np.arange(len(data)), times, data.users))
    _, first = np.unique(data.users[order] * data.n_items + data.items[order], return_index=True)
    rows = data.take(order[np.sort(first)])
    known, users = np.unique(rows.users, return_inverse=True)
    kept = Interactions(users, rows.items, rows.values, len(known), rows.n_items, rows.scale)
    return Source(kept, np.searchsorted(users, np.arange(len(known) + 1)))


def some_users(data: Interactions, share: float, seeds: Seeds) -> Source:
    """A share of the users of ``data`` itself, drawn without replacement, one at least."""
    chosen = seeds.numpy("source").permutation(data.n_users)[: max(1, int(share * data.n_users + 1e-9))]
    return in_order(data.take(np.isin(data.users, chosen)))


def dataset_of(name: str, settings: tuple[str, ...]) -> Dataset:
    """The dataset of the source domain.

    Raises:
        ConfigError: If there is none of this name, or it is a graph.
    """
    found = build_dataset(name, settings)
    if not isinstance(found, Dataset):
        raise ConfigError(f"attack.source is {name}, which has no users and items: choose another dataset")
    return found


def other_users(
    name: str, settings: tuple[str, ...], item_map: str | None, data: Interactions, seeds: Seeds, progress: Progress
) -> Source:
    """All users of another dataset, with what they have of the items of ``data``.

    Args:
        name: The dataset.
        settings: Of it, as ``name=value``.
        item_map: A csv with the columns ``source`` and ``target``, ids of an item as the two datasets' files have them;
            None: an item has the same id in both.
        data: Of the target domain; ratings are put on its scale.
        seeds: Of what the dataset draws.
        progress: Hears what has no place in the target domain.

    Raises:
        DataError: If a file cannot be read, or the map gives an item twice.
    """
    rows = dataset_of(name, settings).load_whole(None, seeds.child("source"), progress).train
    ours = {str(label): number for number, label in enumerate(_labels(data))}
    named = {str(label): str(label) for label in _labels(rows)} if item_map is None else read_map(Path(item_map))
    numbers = np.array([ours.get(named.get(str(label), ""), -1) for label in _labels(rows)], dtype=np.int64)
    items = numbers[rows.items]
    known = items >= 0
    progress.note(
        f"source {name}: {(numbers >= 0).sum():,} of {rows.n_items:,} items are in the target domain, and with them "
        f"{known.sum():,} of {len(rows):,} rows; the others cannot be copied"
    )
    values = np.ones(len(rows))
    if data.scale is not None:
        shares = values if rows.scale is None else rows.values / rows.scale.high
        values = data.scale.snap(shares * data.scale.high)
    times = None if rows.times is None else rows.times[known]
    kept = (rows.users[known], items[known], values[known])
    return in_order(Interactions(*kept, rows.n_users, data.n_items, data.scale, times))


def read_map(path: Path) -> dict[str, str]:
    """From an item's id in the source domain to that in the target domain.

    Raises:
        DataError: If the file is missing, lacks a column or gives an item of either domain twice.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): attack.item_map is a csv of source,target") from None
    for column in ("source", "target"):
        if column not in table:
            raise DataError(f"{path} has no column {column}: attack.item_map is a csv with the columns source,target")
        if (again := table[column].duplicated()).any():
            line = int(np.flatnonzero(again)[0]) + 2
            raise DataError(f"{path}, line {line}: {table[column][line - 2]} is mapped twice: keep one of its lines")
    return dict(zip(table["source"], table["target"], strict=True))


def _labels(data: Interactions) -> np.ndarray:
    return np.arange(data.n_items) if data.item_labels is None else data.item_labels
