"""The loss of all data: its triples, its gradient against autograd and finite differences, its memory."""

import tracemalloc

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions, Scale
from recpoison.models.bprmf import BPRMF
from recpoison.models.mf import MF
from recpoison.models.wrmf import WRMF
from recpoison.seeds import Seeds
from recpoison.training import pair_blocks
from recpoison.training.pair_blocks import PairBlocks

CPU = torch.device("cpu")
MODELS = [BPRMF(embedding_size=5, regularization=0.1), MF(embedding_size=5, regularization=0.1), WRMF(embedding_size=5)]


@pytest.fixture
def data() -> Interactions:
    """12 users x 9 items; user 3 has none, user 4 all."""
    rng = np.random.default_rng(0)
    seen = rng.random((12, 9)) < 0.4
    seen[3], seen[4] = False, True
    users, items = np.nonzero(seen)
    return Interactions(users, items, rng.integers(1, 6, len(users)).astype(float), 12, 9, Scale(1, 5, 1))


def numbers(data: Interactions, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(1)
    rows = {"user": data.n_users, "item": data.n_items}
    return {name: torch.tensor(rng.normal(size=(n, 5)), dtype=dtype) for name, n in rows.items()}


def triples(data: Interactions, draw: int = 0) -> np.ndarray:
    return np.concatenate([np.stack(block, axis=1) for block in PairBlocks(data, Seeds(0)).draw(draw)])


@pytest.mark.parametrize("size", [1 << 16, 7, 1])
def test_each_pair_comes_once_with_an_unseen_item(data, size, monkeypatch):
    monkeypatch.setattr(pair_blocks, "BLOCK", size)
    found = triples(data)
    expected = [(u, i) for u, i in zip(*data.seen.nonzero(), strict=True) if u != 4]
    assert [(u, i) for u, i, _ in found] == expected
    assert all(data.seen[u, j] == 0 for u, _, j in found)


def test_negatives_are_uniform_and_belong_to_their_draw(data):
    user = 0
    unseen = np.setdiff1d(np.arange(9), data.seen[user].indices)
    drawn = np.concatenate([t[t[:, 0] == user, 2] for t in (triples(data, k) for k in range(600))])
    counts = np.bincount(drawn, minlength=9)[unseen]
    expected = len(drawn) / len(unseen)
    assert ((counts - expected) ** 2 / expected).sum() < 30  # chi-squared, a chance of under 1e-4 at 7 degrees
    assert counts.sum() == len(drawn)
    assert (triples(data, 1) == triples(data, 1)).all()
    assert (triples(data, 1) != triples(data, 2)).any()


def test_one_pair_by_hand():
    """User 0 has item 0 of two: the negative is item 1. Margin 1·2 + 0·0 - 1·1 = 1, pull 1 / (1 + e)."""
    data = Interactions(np.array([0]), np.array([0]), np.ones(1), 1, 2)
    params = {"user": torch.tensor([[1.0, 0.0]]), "item": torch.tensor([[2.0, 0.0], [1.0, 3.0]])}
    loss, gradient = BPRMF(embedding_size=2).data_loss(data, Seeds(0), CPU).gradient(params)
    pull = 1 / (1 + np.e)
    assert loss == pytest.approx(np.log(1 + np.exp(-1)))
    assert gradient["user"].tolist() == [pytest.approx([-pull * 1, pull * 3])]
    assert gradient["item"].tolist() == [pytest.approx([-pull, 0]), pytest.approx([pull, 0])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_is_autograd(data, dtype):
    loss = MODELS[0].data_loss(data, Seeds(0), CPU)
    params = numbers(data, dtype)
    value, gradient = loss.gradient(params, draw=3)
    plain_value, plain = loss.plain.gradient(params, draw=3)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    assert value == pytest.approx(plain_value, rel=tolerance)
    for name in plain:
        assert gradient[name].dtype == dtype
        torch.testing.assert_close(gradient[name], plain[name], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_gradients_are_finite_differences(data, model):
    loss, params = model.data_loss(data, Seeds(0), CPU), numbers(data)
    before = {name: table.clone() for name, table in params.items()}
    _, gradient = loss.gradient(params)
    step = 1e-5
    for name, row, column in (("user", 0, 0), ("user", 5, 4), ("item", 2, 1), ("item", 8, 3)):
        moved = []
        for sign in (1, -1):
            table = params[name].clone()
            table[row, column] += sign * step
            moved.append(loss.gradient(params | {name: table})[0])
        assert gradient[name][row, column].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-5)
    assert all(torch.equal(before[name], params[name]) for name in params)


def test_losses_are_sums_over_all_data(data):
    params = numbers(data)
    p, q = (params[name].numpy() for name in ("user", "item"))
    errors = (p[data.users] * q[data.items]).sum(1) - data.values / 5
    squares = (p[data.users] ** 2).sum(1) + (q[data.items] ** 2).sum(1)
    value, _ = MF(embedding_size=5, regularization=0.1).data_loss(data, Seeds(0), CPU).gradient(params)
    assert value == pytest.approx((errors**2 + 0.05 * squares).sum(), rel=1e-6)
    seen = data.seen.toarray()
    cells = np.where(seen > 0, 20.0, 1.0) * (seen - p @ q.T) ** 2
    assert WRMF(embedding_size=5, weight=20.0).data_loss(data, Seeds(0), CPU).gradient(params)[0] == pytest.approx(
        cells.sum(), rel=1e-9
    )


def test_memory_does_not_grow_with_the_pairs():
    peaks = []
    for n_items in (1000, 4000):  # 200,000 and 800,000 pairs; tables count apart
        users, items = np.divmod(np.arange(400 * n_items, step=2), n_items)
        data = Interactions(users, items, np.ones(len(users)), 400, n_items)
        loss = BPRMF(embedding_size=2).data_loss(data, Seeds(0), CPU)
        params = {"user": torch.zeros(400, 2), "item": torch.zeros(n_items, 2)}
        loss.gradient(params)
        tracemalloc.start()
        loss.gradient(params)
        peaks.append(tracemalloc.get_traced_memory()[1] - 8 * (400 + n_items))
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
