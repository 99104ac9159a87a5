"""What a dataset is: where a run's training and held-out rows come from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from recpoison.data.graph import NodeGraph
from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.descriptions import NO_EFFECT
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class Dataset(ABC):
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

    @abstractmethod
    def load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> Split:
        """Read, filter and split; ``seeds`` feed the stream ``split`` (and ``data`` where data are drawn).

        Args:
            data_dir: Folder that holds the datasets' folders; None means ``$RECPOISON_DATA``, else the user cache.
            seeds: The run's seeds.
            progress: Hears about dropped rows and counts.

        Raises:
            DataError: If a file is missing or broken, or nothing is left after filtering.
        """

    @abstractmethod
    def fingerprint(self, data_dir: Path | None) -> str:
        """A digest of the raw files that ``load`` reads; of nothing for generated data."""

    @property
    @abstractmethod
    def held_out(self) -> str:
        """Which rows are test rows, in words, for the protocol over every table."""


@dataclass(frozen=True)
class GraphDataset(ABC):
    """A description of a graph whose nodes have classes. Who is trained on is chosen by the evaluation.

    Args:
        name: What tables call it.
    """

    kind: ClassVar[str] = "graph"

    name: str = field(metadata=NO_EFFECT)

    @abstractmethod
    def load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> NodeGraph:
        """Read the graph; arguments and errors are those of ``Dataset.load``."""

    @abstractmethod
    def fingerprint(self, data_dir: Path | None) -> str:
        """A digest of the raw file."""
