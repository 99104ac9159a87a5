"""Propagation with fake users as numbers: that of the poisoned graph, and the derivative of its dense matrix."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.algebra.joined_graph import JoinedGraph
from recpoison.algebra.propagation import Propagation

RNG = np.random.default_rng(0)
SEEN = sp.csr_matrix(((RNG.random((12, 7)) < 0.4) | (np.arange(7) == np.arange(12)[:, None] % 7)).astype(float))
FAKES = torch.from_numpy((RNG.random((3, 7)) < 0.5).astype(float))
TABLE = torch.from_numpy(RNG.standard_normal((22, 4)))


def dense_mean(seen, table, fakes, layers):
    """The mean of the layers of the whole normalised matrix; no node of these data is without an edge."""
    pairs = torch.cat([torch.from_numpy(seen.toarray()), fakes])
    n = len(pairs)
    adjacency = torch.zeros(22, 22, dtype=torch.float64)
    adjacency[:n, n:], adjacency[n:, :n] = pairs, pairs.T
    roots = adjacency.sum(1).rsqrt()
    matrix, layer, total = roots[:, None] * adjacency * roots, table, table
    for _ in range(layers):
        layer = matrix @ layer
        total = total + layer
    return total / (layers + 1)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_zeros_and_ones_are_the_poisoned_graph(layers):
    poisoned = sp.vstack([SEEN, sp.csr_matrix(FAKES.numpy())], format="csr")
    want = Propagation.of(poisoned, layers, "cpu").mean(TABLE)
    torch.testing.assert_close(JoinedGraph.of(SEEN, 3, layers, "cpu").mean(TABLE, FAKES), want, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("layers", [1, 3])
def test_derivatives_are_those_of_the_dense_matrix(layers):
    fakes = (1.0 + FAKES).requires_grad_()  # degrees well above 1
    table, along = TABLE.clone().requires_grad_(), torch.from_numpy(RNG.standard_normal(TABLE.shape))
    graph = JoinedGraph.of(SEEN, 3, layers, "cpu")
    ways = graph.mean(table, fakes), dense_mean(SEEN, table, fakes, layers)
    for got, want in zip(*(torch.autograd.grad(mean, (table, fakes), along) for mean in ways), strict=True):
        assert want.norm() > 0.1
        torch.testing.assert_close(got, want, rtol=1e-11, atol=1e-12)


def test_an_empty_fake_user_feels_what_a_first_click_brings():
    """The derivative where nobody has an edge is the difference that the first one makes, to first order in others."""
    seen = sp.csr_matrix(np.array([[1.0, 0.0, 0.0]]))
    graph, table = JoinedGraph.of(seen, 1, 1, "cpu"), torch.tensor([[2.0], [3.0], [5.0], [7.0], [11.0]]).double()
    empty = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(graph.mean(table, empty)[1].sum(), empty)[0]
    assert slope.tolist() == [[2.5, 3.5, 5.5]]  # half of the items' values
    one = torch.tensor([[0.0, 1.0, 0.0]]).double()
    assert graph.mean(table, one)[1].item() - graph.mean(table, empty)[1].item() == 3.5


def test_what_is_kept_for_the_way_back_is_what_went_in():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        table, fakes = TABLE.clone().requires_grad_(), FAKES.clone().requires_grad_()
        JoinedGraph.of(SEEN, 3, 5, "cpu").mean(table, fakes)
    assert [tuple(tensor.shape) for tensor in kept] == [(22, 4), (3, 7)]
