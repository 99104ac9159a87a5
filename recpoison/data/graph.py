"""Nodes, edges, features and labels, for node classification."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from recpoison.data.arrays import save_arrays


@dataclass(frozen=True, eq=False)
class NodeGraph:
    """An undirected graph without self-loops.

    Args:
        adjacency: ``(n_nodes, n_nodes)`` symmetric, ones.
        features: ``(n_nodes, n_features)``.
        labels: ``(n_nodes,)`` class of each node, from 0.
        labelled: Nodes whose class may be learned from; None before the nodes were divided.

    Example:
        >>> path = sp.csr_matrix([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
        >>> graph = NodeGraph(path, sp.identity(3, format="csr"), np.array([0, 1, 1]))
        >>> graph.n_edges, graph.with_flips([0], [2], [1]).n_edges
        (2, 3)
    """

    adjacency: sp.csr_matrix
    features: sp.csr_matrix
    labels: np.ndarray
    labelled: np.ndarray | None = None

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return int(self.adjacency.shape[0])

    @property
    def n_edges(self) -> int:
        """Number of undirected edges."""
        return int(self.adjacency.nnz) // 2

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def __len__(self) -> int:
        return self.n_edges

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of everything a method can see."""
        digest = hashlib.sha256(repr((self.adjacency.shape, self.features.shape)).encode())
        for array in self._arrays().values():
            digest.update(np.ascontiguousarray(array).tobytes())
            digest.update(b"|")
        return digest.hexdigest()

    def _arrays(self) -> dict[str, np.ndarray]:
        matrices = {"adjacency": self.adjacency.sorted_indices(), "features": self.features.sorted_indices()}
        found = {
            f"{name}_{part}": np.asarray(getattr(matrix, part))
            for name, matrix in matrices.items()
            for part in ("data", "indices", "indptr", "shape")
        }
        return found | {"labels": self.labels} | ({} if self.labelled is None else {"labelled": self.labelled})

    def with_flips(self, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> NodeGraph:
        """The graph in which each pair of ``rows`` and ``columns`` is an edge where ``values`` is 1, else none."""
        adjacency = self.adjacency.tolil(copy=True)
        adjacency[rows, columns] = values
        adjacency[columns, rows] = values
        changed = adjacency.tocsr()
        changed.eliminate_zeros()
        changed.sort_indices()
        return replace(self, adjacency=changed)

    def largest_component(self) -> NodeGraph:
        """The largest connected component, nodes in their old order."""
        from scipy.sparse.csgraph import connected_components  # a twentieth of a second, and most runs have no graph

        _, component = connected_components(self.adjacency, directed=False)
        keep = np.flatnonzero(component == np.bincount(component).argmax())
        return NodeGraph(self.adjacency[keep][:, keep].tocsr(), self.features[keep], self.labels[keep])


@dataclass(frozen=True, eq=False)
class NodeSplit:
    """A graph whose labelled nodes are learned from, and the nodes a model is judged by.

    Args:
        train: The graph; its ``labelled`` nodes are those that are learned from.
        test: ``(n,)`` nodes that a model is judged by.
        valid: ``(n,)`` nodes that are neither, which an epoch may be chosen by.
        held_out: Which nodes are test and validation nodes, in words.
        notes: What a reader should know of how they came about.
    """

    train: NodeGraph
    test: np.ndarray
    valid: np.ndarray
    held_out: str
    notes: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of everything an evaluation can see."""
        digest = hashlib.sha256(self.train.fingerprint.encode())
        for nodes in (self.test, self.valid):
            digest.update(np.ascontiguousarray(nodes, dtype=np.int64).tobytes() + b"|")
        return digest.hexdigest()

    def facts(self) -> dict[str, int | float]:
        """What a reader asks first about the graph."""
        graph = self.train
        return {
            "nodes": graph.n_nodes,
            "train_rows": graph.n_edges,
            "classes": graph.n_classes,
            "labelled": 0 if graph.labelled is None else len(graph.labelled),
            "test_rows": len(self.test),
        }

    def save(self, path: Path) -> None:
        """Write as npz."""
        words = {"held_out": np.array(self.held_out), "notes": np.array(self.notes, dtype=str)}
        save_arrays(self.train._arrays() | {"test": self.test, "valid": self.valid} | words, path)

    @staticmethod
    def load(path: Path) -> NodeSplit:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            adjacency, features = (
                sp.csr_matrix(
                    tuple(file[f"{name}_{part}"] for part in ("data", "indices", "indptr")),
                    shape=tuple(file[f"{name}_shape"]),
                )
                for name in ("adjacency", "features")
            )
            graph = NodeGraph(adjacency, features, file["labels"], file["labelled"])
            return NodeSplit(graph, file["test"], file["valid"], str(file["held_out"]), tuple(map(str, file["notes"])))
