"""Data that need no file: the injection paper's low-rank generator, and blocks with a known answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recpoison.data.dataset import Dataset
from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split, Splitter
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.ranges import ANY, check_ranges, ranged
from recpoison.seeds import Seeds

MAX_DRAWS = 100


@dataclass(frozen=True)
class Synthetic(Dataset):
    """Low-rank implicit feedback (Tang, Wen and Wang 2020, section 3.1).

    User u has item i where mu_u . nu_i >= threshold, with mu and nu from N_d(0, I). With the paper's 900 users,
    300 items, rank 20 and threshold 5 about 12% of the cells are filled. Users with fewer than 2 items are drawn again,
    because one is held out. Items that nobody has stay in the catalogue. Stream ``data``.

    Args:
        name: What tables call it.
        n_users: Users.
        n_items: Items.
        rank: d, the length of mu and nu.
        threshold: Least product that counts as feedback.
        split: What is held out.

    Raises:
        ConfigError: If a size is out of range.

    Example:
        >>> dataset = Synthetic("synthetic", n_users=50, n_items=30, rank=2, threshold=0)
        >>> split = dataset.load(None, Seeds(0), Progress())
        >>> split.train.n_users, split.train.n_items, len(split.test)  # one row of each user is held out
        (50, 30, 50)
    """

    n_users: int = ranged(900, low=1)
    n_items: int = ranged(300, low=2)
    rank: int = ranged(20, low=1)
    threshold: float = ranged(5.0, low=ANY)
    split: Splitter = field(default_factory=lambda: Splitter("leave_one_out_random"))

    def __post_init__(self) -> None:
        check_ranges(self, "dataset")

    @property
    def has_ratings(self) -> bool:
        """They are clicks."""
        return False

    def read(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """Draw all rows; see ``Dataset.read``."""
        rng = seeds.numpy("data")
        users = rng.standard_normal((self.n_users, self.rank))
        items = rng.standard_normal((self.n_items, self.rank))
        for _ in range(MAX_DRAWS):
            has = users @ items.T >= self.threshold
            few = np.flatnonzero(has.sum(axis=1) < 2)
            if not len(few):
                rows, columns = np.nonzero(has)
                return Interactions(rows, columns, np.ones(len(rows)), self.n_users, self.n_items)
            users[few] = rng.standard_normal((len(few), self.rank))
        raise DataError(
            f"dataset.threshold={self.threshold:g} leaves {len(few)} of {self.n_users} users with fewer than "
            "2 items: lower it"
        )

    def _load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """Draw and split."""
        return self.split.split(self.read(data_dir, seeds, progress), seeds, progress)

    def _whole(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """All rows; nothing is filtered."""
        return self.read(data_dir, seeds, progress)

    def fingerprint(self, data_dir: Path | None) -> str:
        """Digest of no file."""
        return hashlib.sha256().hexdigest()


@dataclass(frozen=True)
class Planted(Dataset):
    """Blocks with a known answer: user u likes every item of the block ``u % n_blocks``, and item u is held out.

    One more item, the last, belongs to nobody: a target for attacks. Nothing is drawn.

    Args:
        name: What tables call it.
        n_users: Users, and items besides the last.
        n_blocks: Blocks; each must have 2 users or more.

    Raises:
        ConfigError: If a block would have one user only.

    Example:
        >>> split = Planted("planted", n_users=4).load(None, Seeds(0), Progress())
        >>> split.train.seen.astype(int).toarray()
        array([[0, 0, 1, 0, 0],
               [0, 0, 0, 1, 0],
               [1, 0, 0, 0, 0],
               [0, 1, 0, 0, 0]])
        >>> split.test.items.tolist()
        [0, 1, 2, 3]
    """

    n_users: int = ranged(200, low=2)
    n_blocks: int = ranged(2, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "dataset")
        if self.n_users < 2 * self.n_blocks:
            raise ConfigError(
                f"dataset.n_blocks is {self.n_blocks} for dataset.n_users={self.n_users}: "
                "give 2 users or more to each block"
            )

    @property
    def has_ratings(self) -> bool:
        """They are clicks."""
        return False

    def read(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """All rows, held-out ones too; see ``Dataset.read``."""
        users, items = np.meshgrid(np.arange(self.n_users), np.arange(self.n_users), indexing="ij")
        same = users % self.n_blocks == items % self.n_blocks
        return Interactions(users[same], items[same], np.ones(same.sum()), self.n_users, self.n_users + 1)

    def _load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """Training rows without the diagonal, and the diagonal."""
        data = self.read(data_dir, seeds, progress)
        held = data.users == data.items
        return Split(data.take(~held), data.take(held), held_out="item u of user u")

    def _whole(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """All rows; nothing is filtered."""
        return self.read(data_dir, seeds, progress)

    def fingerprint(self, data_dir: Path | None) -> str:
        """Digest of no file."""
        return hashlib.sha256().hexdigest()
