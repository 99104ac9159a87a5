"""Two blocks of nodes, each a class, with features that hardly tell them apart, so that edges decide."""

import numpy as np
import scipy.sparse as sp

from recpoison.data.graph import NodeGraph


def two_blocks(n_nodes: int = 40, seed: int = 0) -> NodeGraph:
    """``n_nodes`` nodes in two blocks with edges inside; two of each block are labelled."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_nodes) % 2
    inside = labels[:, None] == labels
    upper = np.triu(rng.random((n_nodes, n_nodes)) < np.where(inside, 0.3, 0.01), 1)
    features = (rng.random((n_nodes, 12)) < 0.3 + 0.2 * (np.arange(12) % 2 == labels[:, None])).astype(np.float32)
    adjacency = sp.csr_matrix((upper | upper.T).astype(np.float32))
    return NodeGraph(adjacency, sp.csr_matrix(features), labels.astype(np.int64), np.arange(4))
