"""ItemKNN against similarities counted by hand."""

import math

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models import item_knn
from recpoison.models.item_knn import ItemKNN, _nearest
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CPU = torch.device("cpu")


def matrix(params, n_items: int) -> np.ndarray:
    parts = tuple(params[name].numpy() for name in ("similarity", "indices", "indptr"))
    return sp.csr_matrix(parts, shape=(n_items, n_items)).toarray()


@pytest.fixture
def data() -> Interactions:
    """Users of item 0: {0, 1, 2}; of 1: {0, 1}; of 2: {2, 3}; of 3: nobody. One pair comes twice."""
    users, items = np.array([0, 1, 2, 0, 1, 2, 3, 0]), np.array([0, 0, 0, 1, 1, 2, 2, 0])
    return Interactions(users, items, np.ones(8), 4, 4)


@pytest.mark.parametrize(
    ("similarity", "near", "far"), [("cosine", 2 / math.sqrt(6), 1 / math.sqrt(6)), ("jaccard", 2 / 3, 1 / 4)]
)
def test_by_hand(data, similarity, near, far):
    model = ItemKNN(3, similarity)
    params = model.fit(data, Seeds(0), CPU, Progress())
    want = np.zeros((4, 4))
    want[0, 1] = want[1, 0] = near
    want[0, 2] = want[2, 0] = far
    np.testing.assert_allclose(matrix(params, 4), want, rtol=1e-6)
    scores = model.scores(params, data, torch.tensor([2, 0]))
    np.testing.assert_allclose(scores, [[far, near, far, 0], [near, near, far, 0]], rtol=1e-6)


def test_only_the_nearest_speaks_for_an_item(data):
    """With one neighbour item 0 listens to item 1 only, but items 1 and 2 still listen to item 0."""
    got = matrix(ItemKNN(1, "jaccard").fit(data, Seeds(0), CPU, Progress()), 4)
    want = np.zeros((4, 4))
    want[1, 0] = want[0, 1] = 2 / 3
    want[0, 2] = 1 / 4
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_each_item_of_the_history_speaks_for_its_nearest(data):
    """The other direction: item 2 speaks for its one neighbour, item 0, but nobody's neighbour is item 2."""
    model = ItemKNN(1, "jaccard", "history")
    params = model.fit(data, Seeds(0), CPU, Progress())
    want = np.zeros((4, 4))
    want[0, 1] = want[1, 0] = 2 / 3
    want[2, 0] = 1 / 4
    np.testing.assert_allclose(matrix(params, 4), want, rtol=1e-6)
    np.testing.assert_allclose(model.scores(params, data, torch.tensor([2])), [[1 / 4, 2 / 3, 0, 0]], rtol=1e-6)


def test_of_equals_the_lower_ids_are_kept():
    columns, values = _nearest(np.array([[0.5, 0.25, 0.5, 0.5, 0.0]], dtype=np.float32), 2)
    assert sorted(columns[0]) == [0, 2]
    assert values.tolist() == [[0.5, 0.5]]


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((60, 31)) < 0.2)
    data = Interactions(users, items, np.ones(len(users)), 60, 31)
    whole = ItemKNN(5).fit(data, Seeds(0), CPU, Progress())
    monkeypatch.setattr(item_knn, "BLOCK_BYTES", 8 * 31 * 4)
    parts = ItemKNN(5).fit(data, Seeds(0), CPU, Progress())
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match=r"model.neighbors is 0"):
        ItemKNN(0)
    with pytest.raises(ConfigError, match=r"model.similarity is 'pearson': choose one of cosine, jaccard"):
        ItemKNN(5, "pearson")
    with pytest.raises(ConfigError, match=r"model.neighbors_of is 'user': choose one of candidate, history"):
        ItemKNN(5, neighbors_of="user")
