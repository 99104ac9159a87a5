"""The first stage: the rows of the dataset, split."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, cast

from recpoison.border import called
from recpoison.data.dataset import Dataset
from recpoison.data.graph import NodeSplit
from recpoison.data.saving import load_split, save_split
from recpoison.data.splitting import Split
from recpoison.descriptions import code_version, identity
from recpoison.errors import DataError
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.stages.base import Promise, Stage


class SplitStage(Stage[Split]):
    """Reads, filters and splits the rows of a dataset.

    Args:
        parts: What the run is made of.
        seeds: The seed's streams.
        data_dir: Folder of the datasets; None means the default.
    """

    kind = "split"

    def __init__(self, parts: Parts, seeds: Seeds, data_dir: Path | None) -> None:
        self.parts, self.seeds, self.data_dir = parts, seeds, data_dir

    @property
    def title(self) -> str:
        """``split DATA``."""
        return f"split {self.parts.label('dataset')}"

    @property
    def seed(self) -> int:
        """The seed's number."""
        return self.seeds.seed

    @property
    def inputs(self) -> dict[str, Any]:
        """The dataset's settings and its raw files."""
        inputs = {
            "dataset": identity(self.parts.dataset),
            "files": self._files,
            "seed": self.seed,
            "code": code_version(self.parts.dataset, load_split),
        }
        evaluation = self.parts.evaluation
        if evaluation.divide_inputs is None:
            return inputs
        return inputs | {"division": evaluation.divide_inputs, "division_code": code_version(evaluation)}

    @cached_property
    def _files(self) -> str:
        """The raw files as they were when first asked for."""
        return self.parts.dataset.fingerprint(self.data_dir)

    def compute(self, progress: Progress) -> Split:
        """Read and split.

        Raises:
            DataError: If other files were read than those that ``inputs`` name.
        """
        expected, dataset, evaluation = self._files, self.parts.dataset, self.parts.evaluation
        load = dataset.load_whole if evaluation.divides_edges and isinstance(dataset, Dataset) else dataset.load
        loaded = load(self.data_dir, self.seeds, progress)
        if dataset.fingerprint(self.data_dir) != expected:
            name = self.parts.label("dataset")
            raise DataError(
                f"the files of dataset={name} changed while they were read: run it again when they are still"
            )
        return cast(Split, called(evaluation.divide, loaded, self.seeds))

    def save(self, value: Split | NodeSplit, folder: Path) -> None:
        """One npz."""
        if isinstance(value, NodeSplit):
            value.save(folder / "split.npz")
        else:
            save_split(value, folder / "split.npz")

    def load(self, folder: Path) -> Split:
        """The same rows."""
        read = NodeSplit.load if self.parts.dataset.kind == "graph" else load_split
        return cast(Split, read(folder / "split.npz"))

    def promise(self, key: str) -> Split:
        """Rows that nobody has read."""
        return cast(Split, Promise(key))
