"""Fake users that somebody else made, from a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from recpoison.attacks.base import Attack
from recpoison.attacks.profiles.poison_files import PoisonFile, read_poison
from recpoison.attacks.targets import Targets
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions
from recpoison.data.provenance import data_folder
from recpoison.descriptions import NO_EFFECT
from recpoison.errors import ConfigError, DataError, some_of
from recpoison.idle import Together
from recpoison.models.base import Model
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds


@dataclass(frozen=True, kw_only=True)
class GivenAttack(Attack):
    """The fake users of a file; as many as it holds, whatever that is of the real ones.

    Read are VAT's and PamaCF's JSON, revisit_adv_rec's npz, APT's npy, AUSH's and Leg-UP's ``.data``, ARLib's and
    RecommPoison's ``.txt``, our own ``change.npz``, and a csv (fake user, item, rating). Nothing is unpickled. Where a
    file has clicks alone and the data have ratings, a click is the highest one. In tables with real users, those whom
    the data do not know are fake; of ARLib's, those called ``fakeUser``.

    Args:
        path: The file, relative to where you are or else to the folder of the datasets (``$RECPOISON_DATA``).
        own_targets: Whether targets are those that the file names (JSON, ``change.npz``); else ``targets``.
        targets: How the items to promote are chosen.
        repeated_clicks: ``drop`` all but the first click of a fake user on an item, or ``keep`` them as more rows, as
            VAT's and PamaCF's code does.
        min_length: Fake users with fewer clicks, repeats counted, are left out; 10 in VAT's code.
        fake_split: ``none``: all clicks are trained on. ``70-10-20``: the first 70% of each fake user's, rounded down,
            as VAT's code takes them, in the order of the file.
        id_space: ``raw``: items are ids of the dataset's source. ``mapped``: numbers from 0 that recpoison gives.
            ``auto``: mapped for matrices and ``change.npz``, raw for the others.
        first_fake: In a table with real users, the number from which users are fake; None: those unknown to the data.

    Raises:
        ConfigError: If a setting is out of range.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> data = Interactions([0, 1], [0, 1], [1, 1], n_users=2, n_items=3)
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder) / "fakes.json"
        ...     _ = file.write_text('{"target_items": ["2"], "fake_users": {"a": ["2", "0", "2"]}}')
        ...     attack = GivenAttack(path=str(file))
        ...     targets = attack.choose_targets(data, Seeds(0))
        ...     fakes = attack.poison(data, targets, Seeds(0), torch.device("cpu"), Progress())
        >>> fakes.items.tolist(), fakes.diagnosis["repeated_clicks"]
        ([2, 0], 1.0)
    """

    path: str = field(metadata=NO_EFFECT)
    own_targets: bool = True
    targets: Targets = field(default_factory=Targets)
    repeated_clicks: str = ranged("drop", words=("drop", "keep"))
    min_length: int = ranged(0, low=0)
    fake_split: str = ranged("none", words=("none", "70-10-20"))
    id_space: str = ranged("auto", words=("auto", "raw", "mapped"))
    first_fake: int | None = ranged(None, low=0, null="those unknown to the data")

    def __post_init__(self) -> None:
        check_ranges(self, "attack")

    def idle(self, parts: Together) -> dict[str, str]:
        """The rule for targets, where the file names them."""
        return {"targets": "own_targets is true, and the file names them"} if self.own_targets else {}

    @property
    def reads(self) -> str:
        """sha256 of the file."""
        return hashlib.sha256(self._file.read_bytes()).hexdigest() if self._file.is_file() else "missing"

    @property
    def _file(self) -> Path:
        """Where ``path`` leads from here, or else from the folder of the datasets."""
        here, there = Path(self.path), data_folder(None) / self.path
        return there if there.is_file() and not here.exists() else here

    def check_model(self, model: Model) -> None:
        """Read the file once before anything is fitted, so that what is wrong with it is told then."""
        read_poison(self._file)

    def choose_targets(self, data: Interactions, seeds: Seeds) -> np.ndarray:
        """The file's own targets, or those of ``targets``.

        Raises:
            ConfigError: If the file names none, or one that the data do not know.
        """
        if not self.own_targets:
            return self.targets.choose(data, seeds.numpy("targets"))
        file = read_poison(self._file)
        if not file.targets:
            raise ConfigError(f"{self.path} names no targets: set attack.own_targets=false and choose attack.targets")
        found = self._numbers(np.array(file.targets, dtype=object), file, data)
        if (found < 0).any():
            unknown = [name for name, number in zip(file.targets, found, strict=True) if number < 0]
            raise ConfigError(
                f"{self.path} has targets that the catalogue lacks ({some_of(unknown)}): choose the dataset that it "
                "was made for, with weaker dataset.filters, or set attack.id_space"
            )
        return np.array(list(dict.fromkeys(found.tolist())), dtype=np.int64)

    def poison(
        self, data: Interactions, targets: np.ndarray, seeds: Seeds, device: torch.device, progress: Progress
    ) -> FakeProfiles:
        """The fake users of the file, and what was found in it.

        Raises:
            ConfigError: If nobody is left.
        """
        file = self._fakes_alone(read_poison(self._file), data)
        names, profile = np.unique(file.users.astype(str), return_inverse=True)
        first = np.full(len(names), len(profile))
        np.minimum.at(first, profile, np.arange(len(profile)))
        profile = np.argsort(np.argsort(first))[profile]  # numbered as they come
        items = self._numbers(file.items, file, data)
        lengths = np.bincount(profile)
        kept = (lengths[profile] >= self.min_length) & (items >= 0)
        found: dict[str, float] = {"in_file": len(lengths), "too_short": int((lengths < self.min_length).sum())}
        found["unknown_ids"] = len(set(file.items[items < 0]))
        found["unknown_clicks"] = int((items < 0).sum())
        values = self._values(file, data)
        profile, items, values = profile[kept], items[kept], values[kept]
        if not len(profile):
            raise ConfigError(
                f"nothing of {self.path} is left ({in_plain(found)}): choose its dataset, attack.id_space, or a "
                "smaller attack.min_length"
            )
        numbers, profile = np.unique(profile, return_inverse=True)
        found |= _diagnosis(profile, items, targets, data.n_items)
        rows = self._trained_on(profile, items, data.n_items)
        found["clicks_left_out"] = len(profile) - len(rows)
        change = FakeProfiles(
            profile[rows],
            items[rows],
            values[rows],
            n_fakes=len(numbers),
            targets=targets,
            diagnosis={name: float(x) for name, x in found.items()},
            repeats=self.repeated_clicks == "keep",
        )
        return change

    def _fakes_alone(self, file: PoisonFile, data: Interactions) -> PoisonFile:
        if not file.with_real or all(user.startswith("fakeUser") for user in file.users):
            return file
        if self.first_fake is not None:
            if not all(user.isdecimal() for user in set(file.users)):
                raise DataError(f"{self.path} has users that are no numbers: set attack.first_fake=null")
            fake = file.users.astype(np.int64) >= self.first_fake
        else:
            known = range(data.n_users) if data.user_labels is None else data.user_labels
            fake = ~np.isin(file.users, np.array([str(name) for name in known], dtype=object))
        if not fake.any():
            raise ConfigError(f"{self.path} has no fake users: all are users of the data; set attack.first_fake")
        values = None if file.values is None else file.values[fake]
        return file._replace(users=file.users[fake], items=file.items[fake], values=values)

    def _numbers(self, items: np.ndarray, file: PoisonFile, data: Interactions) -> np.ndarray:
        """The numbers of ``items`` in the catalogue; -1 where it lacks one."""
        mapped = self.id_space == "mapped" or (self.id_space == "auto" and file.numbered)
        if mapped and file.n_items not in (None, data.n_items):
            raise ConfigError(
                f"{self.path} has {file.n_items} columns, but the catalogue {data.n_items} items: choose the dataset "
                "that it was made for, or attack.id_space=raw where a column's number is an item's id in the source"
            )
        if self.id_space == "raw" and data.item_labels is None:
            raise ConfigError("attack.id_space is raw, but this dataset keeps no item ids of its source: set mapped")
        names = range(data.n_items) if mapped or data.item_labels is None else data.item_labels
        numbers = {str(name): number for number, name in enumerate(names)}
        return np.array([numbers.get(item, -1) for item in items], dtype=np.int64)

    def _values(self, file: PoisonFile, data: Interactions) -> np.ndarray:
        if data.scale is None:
            return np.ones(len(file.items))
        if file.values is None:
            return np.full(len(file.items), float(data.scale.high))
        return data.scale.snap(file.values * data.scale.high) if file.share else file.values

    def _trained_on(self, profile: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
        """Which rows are trained on, in their order."""
        rows = np.arange(len(profile))
        if self.repeated_clicks == "drop":
            rows = np.sort(np.unique(profile * n_items + items, return_index=True)[1])
        if self.fake_split == "none":
            return rows
        counts = np.bincount(profile[rows])  # a file may mix its fake users' rows
        order = np.argsort(profile[rows], kind="stable")
        place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.sort(rows[order[place < np.repeat(counts * 7 // 10, counts)]])


def in_plain(found: dict[str, float]) -> str:
    """A diagnosis in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {x:g}" for name, x in found.items())


def _diagnosis(profile: np.ndarray, items: np.ndarray, targets: np.ndarray, n_items: int) -> dict[str, float]:
    """What the fake users are like, as the file has them."""
    lengths, keys = np.bincount(profile), np.unique(profile * n_items + items)
    repeats = lengths - np.bincount(keys // n_items, minlength=len(lengths))
    held = np.bincount(keys[np.isin(keys % n_items, targets)] // n_items, minlength=len(lengths))
    return {
        "fakes": len(lengths),
        "shortest": int(lengths.min()),
        "mean_length": float(lengths.mean()),
        "longest": int(lengths.max()),
        "profiles_with_repeats": int((repeats > 0).sum()),
        "repeated_clicks": int(repeats.sum()),
        "least_targets": int(held.min()),
        "targets_per_fake": float(held.mean()),
        "most_targets": int(held.max()),
        "pairs": int(held.sum()),
    }
