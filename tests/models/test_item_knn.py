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
    """Two rows: of three equal ones the lower two stay, and what is zero never does."""
    columns = np.array([3, 0, 2, 1, 4, 1], dtype=np.int32)
    similarity = np.array([0.5, 0.5, 0.5, 0.25, 0.0, 0.125], dtype=np.float32)
    kept = _nearest(np.array([0, 4, 6]), columns, similarity, 2)
    assert kept.tolist() == [False, True, True, False, False, True]


def dense(data: Interactions, model: ItemKNN) -> np.ndarray:
    """The same model by sorting whole rows of the square of the catalogue, in the same float32 arithmetic."""
    seen = data.seen.toarray()
    common, counts = seen.T @ seen, data.item_counts.astype(np.float32)
    cosine = model.similarity == "cosine"
    below = np.sqrt(np.outer(counts, counts)) if cosine else np.add.outer(counts, counts) - common
    similarity = np.divide(common, below, out=np.zeros_like(common), where=common > 0)
    np.fill_diagonal(similarity, 0)
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : model.neighbors]  # stable: of equals the lower first
    near = np.zeros_like(similarity)
    np.put_along_axis(near, order, np.take_along_axis(similarity, order, axis=1), axis=1)
    return near.T if model.neighbors_of == "candidate" else near


@pytest.mark.parametrize("similarity", ["cosine", "jaccard"])
@pytest.mark.parametrize("neighbors_of", ["candidate", "history"])
@pytest.mark.parametrize("neighbors", [1, 4, 100])
@pytest.mark.parametrize("share", [0.03, 0.3])
def test_bit_for_bit_as_the_dense_way(monkeypatch, similarity, neighbors_of, neighbors, share):
    """Few users make many ties; a quarter of the items has no user, and some pairs of items share none."""
    monkeypatch.setattr(item_knn, "BLOCK_BYTES", 50 * item_knn.BYTES_EACH)  # several blocks
    rng = np.random.default_rng(5)
    users, items = np.nonzero(rng.random((25, 60)) < share)
    data = Interactions(users, items, np.ones(len(users)), 25, 80)
    model = ItemKNN(neighbors, similarity, neighbors_of)
    got, want = matrix(model.fit(data, Seeds(0), CPU, Progress()), 80), dense(data, model)
    assert np.array_equal(got, want)
    nonzero = np.sort(want[want > 0])
    assert (np.diff(nonzero) == 0).any(), "there are ties"
    assert (want == 0).sum() > 2000


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((60, 31)) < 0.2)
    data = Interactions(users, items, np.ones(len(users)), 60, 31)
    whole = ItemKNN(5).fit(data, Seeds(0), CPU, Progress())
    for room in (31 * 4, 1):  # of four items and more, of one item
        monkeypatch.setattr(item_knn, "BLOCK_BYTES", room * item_knn.BYTES_EACH)
        parts = ItemKNN(5).fit(data, Seeds(0), CPU, Progress())
        assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_settings_out_of_range():
    with pytest.raises(ConfigError, match=r"model.neighbors is 0"):
        ItemKNN(0)
    with pytest.raises(ConfigError, match=r"model.similarity is 'pearson': choose one of cosine, jaccard"):
        ItemKNN(5, "pearson")
    with pytest.raises(ConfigError, match=r"model.neighbors_of is 'user': choose one of candidate, history"):
        ItemKNN(5, neighbors_of="user")
