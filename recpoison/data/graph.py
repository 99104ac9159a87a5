"""Nodes, edges, features and labels, for node classification."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, eq=False)
class NodeGraph:
    """An undirected graph without self-loops.

    Args:
        adjacency: ``(n_nodes, n_nodes)`` symmetric, ones.
        features: ``(n_nodes, n_features)``.
        labels: ``(n_nodes,)`` class of each node, from 0.
    """

    adjacency: sp.csr_matrix
    features: sp.csr_matrix
    labels: np.ndarray

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

    def largest_component(self) -> NodeGraph:
        """The largest connected component, nodes in their old order."""
        _, component = connected_components(self.adjacency, directed=False)
        keep = np.flatnonzero(component == np.bincount(component).argmax())
        return NodeGraph(self.adjacency[keep][:, keep].tocsr(), self.features[keep], self.labels[keep])
