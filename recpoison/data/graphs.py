"""Citation graphs for node classification: Cora, Cora-ML and Citeseer."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from recpoison.data.dataset import GraphDataset
from recpoison.data.graph import NodeGraph
from recpoison.data.provenance import require
from recpoison.data.sources import SOURCES
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

KEYS = tuple(f"{part}_{piece}" for part in ("adj", "attr") for piece in ("data", "indices", "indptr", "shape"))


def read_graph(path: Path) -> NodeGraph:
    """Read an npz of CSR parts; edges become undirected ones, self-loops are dropped. Nothing is unpickled.

    Raises:
        DataError: If the file is broken or lacks one of the keys.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            part = {key: file[key] for key in (*KEYS, "labels")}
            adjacency, features = (
                sp.csr_matrix((part[f"{p}_data"], part[f"{p}_indices"], part[f"{p}_indptr"]), shape=part[f"{p}_shape"])
                for p in ("adj", "attr")
            )
    except KeyError as error:
        raise DataError(f"{path} has no key {error}: give CSR parts adj_*, attr_* and labels") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no readable npz file ({error}): delete it and fetch it again") from None
    adjacency = (adjacency + adjacency.T).tolil()
    adjacency.setdiag(0)
    adjacency = adjacency.tocsr().astype(np.float32)
    adjacency.eliminate_zeros()
    adjacency.data[:] = 1
    return NodeGraph(adjacency, features.astype(np.float32), part["labels"].astype(np.int64))


@dataclass(frozen=True)
class CitationGraph(GraphDataset):
    """Papers that cite one another, with bag-of-words features and a topic each.

    Args:
        name: What tables call it.
        variant: ``cora``, ``cora_ml`` or ``citeseer``.
        largest_component: Keep the largest connected component only, as the attacks on graphs do.

    Raises:
        ConfigError: If the variant does not exist.

    Example:
        >>> CitationGraph("cora_ml", variant="cora_ml").kind
        'graph'
    """

    variant: str = "cora"
    largest_component: bool = True

    def __post_init__(self) -> None:
        if self.variant not in SOURCES["cora"].variants:
            raise ConfigError(f"dataset.variant is {self.variant!r}: give one of {', '.join(SOURCES['cora'].variants)}")

    def _path(self, data_dir: Path | None) -> Path:
        return require(SOURCES["cora"], self.variant, data_dir)[0]

    def load(self, data_dir: Path | None, seeds: Seeds, progress: Progress) -> NodeGraph:
        """Read the graph; see ``GraphDataset.load``."""
        graph = read_graph(self._path(data_dir))
        return graph.largest_component() if self.largest_component else graph

    def fingerprint(self, data_dir: Path | None) -> str:
        """sha256 of the file."""
        return hashlib.sha256(self._path(data_dir).read_bytes()).hexdigest()
