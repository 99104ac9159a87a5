"""What a dataset is: where a run's training and held-out rows come from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from recpoison.data.graph import NodeGraph
from recpoison.data.interactions import Interactions
from recpoison.data.notes import Heard
from recpoison.data.splitting import Split
from recpoison.descriptions import NO_EFFECT
from recpoison.idle import Part
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class Dataset(Part, ABC):
    """A description of data, its filters and its split; ``load`` does the reading.

    Args:
        name: What tables call it.
    """

    kind: ClassVar[str] = "interactions"

    name: str = field(metadata=NO_EFFECT)

    @abstractmethod
    def read(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """All rows as the source has them, before filters and split. Arguments and errors are those of ``load``.

        Where the source counts (plays, hours), ``values`` are the counts and ``scale`` is None.
        """

    @final
    def load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """Read, filter and split; ``seeds`` feed the stream ``split`` (and ``data`` where data are drawn).

        Whatever is noted on the way stays with the split, so that a table tells it too where the split is reused.

        Args:
            data_dir: Folder that holds the datasets' folders; None means ``$RECPOISON_DATA``, else the user cache.
            seeds: The run's seeds.
            progress: Hears about dropped rows and counts.

        Raises:
            DataError: If a file is missing or broken, or nothing is left after filtering.
        """
        heard = Heard(progress)
        split = self._load(data_dir, seeds, heard)
        if unjudged := split.train.n_users - split.n_judged:
            heard.note(f"{unjudged:,} of {split.train.n_users:,} users have no test row: learned from, but not judged")
        return replace(split, notes=(*split.notes, *heard.notes))

    @final
    def load_whole(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """Read and filter, for who divides the rows another way: all are training rows, with all repeats, and in order.

        Arguments and errors are those of ``load``.
        """
        heard = Heard(progress)
        data = self._whole(data_dir, seeds, heard)
        return Split(data, data.take(np.zeros(0, dtype=np.int64)), held_out="none", notes=tuple(heard.notes))

    @abstractmethod
    def _load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """What ``load`` says; a split says itself which of its rows are held out."""

    def _whole(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Interactions:
        """All rows that filters leave; those of a split, which holds out each pair once, where nobody says better."""
        return self._load(data_dir, seeds, progress).whole

    @abstractmethod
    def fingerprint(self, data_dir: Path | None) -> str:
        """A digest of the raw files that ``load`` reads; of nothing for generated data."""

    @property
    def has_ratings(self) -> bool:
        """Whether rows have a rating when filters are through; where nobody can tell, yes."""
        return True


@dataclass(frozen=True)
class GraphDataset(Part, ABC):
    """A description of a graph whose nodes have classes. Who is trained on is chosen by the evaluation.

    Args:
        name: What tables call it.
    """

    kind: ClassVar[str] = "graph"
    has_ratings: ClassVar[bool] = False

    name: str = field(metadata=NO_EFFECT)

    @abstractmethod
    def load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> NodeGraph:
        """Read the graph; arguments and errors are those of ``Dataset.load``."""

    @abstractmethod
    def fingerprint(self, data_dir: Path | None) -> str:
        """A digest of the raw file."""
