"""What a dataset is: where a run's training and held-out rows come from."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from recpoison.data.splitting import Split
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class Dataset(ABC):
    """A description of data, its filters and its split; ``load`` does the reading.

    Args:
        name: What tables call it.
    """

    name: str

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
