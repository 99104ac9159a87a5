from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from recpoison.data.graphs import CitationGraph, read_graph
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress


def save(path: Path, without: str = "") -> Path:
    """Edges 0-1 (both ways), 1-2 and 3-4, and a self-loop at 4."""
    edges = sp.csr_matrix((np.ones(5), ([0, 1, 1, 3, 4], [1, 0, 2, 4, 4])), shape=(5, 5))
    words = sp.csr_matrix(np.eye(5, 3))
    parts = {}
    for name, matrix in (("adj", edges), ("attr", words)):
        parts |= {f"{name}_{piece}": getattr(matrix, piece) for piece in ("data", "indices", "indptr", "shape")}
    parts["labels"] = np.array([0, 1, 0, 1, 1])
    parts.pop(without, None)
    np.savez(path, idx_to_node=np.array([{"never": "unpickled"}], dtype=object), **parts)
    return path


def test_edges_become_undirected_and_loops_go(tmp_path: Path):
    graph = read_graph(save(tmp_path / "cora.npz"))
    assert (graph.n_nodes, graph.n_edges, graph.n_classes) == (5, 3, 2)
    assert graph.adjacency.toarray().tolist() == [
        [0, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
    ]


def test_largest_component(tmp_path: Path, seeds):
    (tmp_path / "cora").mkdir()
    save(tmp_path / "cora" / "cora.npz")
    graph = CitationGraph("cora").load(tmp_path, seeds, Progress())
    assert (graph.n_nodes, graph.n_edges) == (3, 2)
    assert graph.labels.tolist() == [0, 1, 0]
    assert graph.features.toarray().tolist() == np.eye(3).tolist()
    assert CitationGraph.kind == "graph"


def test_bad_files(tmp_path: Path):
    with pytest.raises(DataError, match=r"no key .*labels"):
        read_graph(save(tmp_path / "a.npz", without="labels"))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:500])
    with pytest.raises(DataError, match=r"b.npz is no readable npz"):
        read_graph(tmp_path / "b.npz")
    with pytest.raises(ConfigError, match=r"dataset.variant is 'pubmed': give one of cora"):
        CitationGraph("cora", "pubmed")


@pytest.mark.data
def test_cora(data_dir: Path, seeds):
    graph = CitationGraph("cora").load(data_dir, seeds, Progress())
    assert (graph.n_nodes, graph.n_edges, graph.n_classes, graph.features.shape[1]) == (2485, 5069, 7, 1433)
    assert (graph.adjacency != graph.adjacency.T).nnz == 0
    assert CitationGraph("cora", largest_component=False).load(data_dir, seeds, Progress()).n_nodes == 2708
