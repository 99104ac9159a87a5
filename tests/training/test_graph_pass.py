"""Edges and zeros by the final rows of a graph: log odds and gradient against dense autograd, and steps by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.attacks.edges.meta_attack import MetaAttack
from recpoison.data.interactions import Edges, Interactions
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.models.cf import CF
from recpoison.models.lightgcn import LightGCN
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.edges.graph_pass import GraphPass
from recpoison.training.edges.passes import mean_log_loss
from recpoison.training.edges.trainer import EdgeTrainer

CPU = torch.device("cpu")


@pytest.fixture
def edges() -> Interactions:
    """Two blocks of 12 users and 10 items: rows inside, zeros outside, and a few pairs of each left out."""
    inside = (np.arange(24)[:, None] < 12) == (np.arange(20) < 10)
    left_out = (np.arange(24)[:, None] * 20 + np.arange(20)) % 7 == 0
    users, items = np.nonzero(inside & ~left_out)
    zeros = Edges(*np.nonzero(~inside & ~left_out))
    order = np.random.default_rng(0).permutation(len(users))
    twice = np.concatenate([order, order[:9]])  # repeats are edges of their own, and one of the graph
    return Interactions(users[twice], items[twice], np.ones(len(twice)), 24, 20, zeros=zeros)


@pytest.mark.parametrize("layers", [0, 2])
def test_logits_and_gradient_are_those_of_dense_autograd(edges, layers):
    made, generator = GraphPass(edges, layers, CPU), torch.Generator().manual_seed(0)
    tables = [torch.randn(n, 3, generator=generator, dtype=torch.float64, requires_grad=True) for n in (24, 20)]
    x = torch.from_numpy((edges.csr.toarray() > 0).astype(float))
    adjacency = torch.zeros(44, 44, dtype=torch.float64)
    adjacency[:24, 24:], adjacency[24:, :24] = x, x.T
    roots = adjacency.sum(1).rsqrt()
    layer = total = torch.cat(tables)
    for _ in range(layers):
        layer = (roots[:, None] * adjacency * roots) @ layer
        total = total + layer
    final, labelled = total / (layers + 1), edges.labelled()
    want = (final[labelled.users] * final[24 + torch.from_numpy(labelled.items)]).sum(1)
    labels = torch.from_numpy(labelled.labels).double()
    slopes = torch.autograd.grad(mean_log_loss(want, labels), tables)
    found, gradient = made.gradient(tuple(table.detach() for table in tables), made.labels.double())
    assert len(found) == len(labelled.users)
    order = np.lexsort((labelled.items, labelled.users))
    torch.testing.assert_close(found, want.detach()[order], rtol=1e-12, atol=1e-12)
    for got, slope in zip(gradient, slopes, strict=True):
        torch.testing.assert_close(got, slope, rtol=1e-11, atol=1e-13)


def test_edges_and_zeros_are_told_apart_by_log_odds(edges):
    model = LightGCN(8, layers=2, edge_trainer=EdgeTrainer(steps=60, learning_rate=0.05))
    fitted = model.fitted(edges, Seeds(0), CPU, Progress())
    users, items = torch.arange(24).repeat_interleave(20), torch.arange(20).repeat(24)
    found = model.edge_logits(fitted.prepared, edges, users, items)
    assert torch.equal(found > 0, (users < 12) == (items < 10)), "pairs left out too"
    torch.testing.assert_close(found.view(24, 20), fitted.scores(torch.arange(24)), rtol=1e-5, atol=1e-5)


def test_one_step_of_sgd_without_layers_by_hand():
    """User 0 at 2 has item 0 at 1, not item 1 at -1: logits 2, -2; s = 1/(1 + e²) is the step's only slope."""
    data = Interactions([0], [0], [1], 1, 2, zeros=Edges(np.array([0]), np.array([1])))
    params = {"user": torch.tensor([[2.0]]), "item": torch.tensor([[1.0], [-1]])}
    model = LightGCN(1, layers=0, edge_trainer=EdgeTrainer(steps=1, optimizer="sgd", learning_rate=0.5))
    stepped, s = model.fit_edges(params, data, Seeds(0), Progress(), None), 1 / (1 + math.exp(2))
    assert stepped["user"].item() == pytest.approx(2 + 0.5 * s, rel=1e-6)
    assert stepped["item"].flatten().tolist() == pytest.approx([1 + 0.5 * s, -1 - 0.5 * s], rel=1e-6)


def test_flipped_zeros_change_graph_and_labels_of_lightgcn(edges):
    """Learned on cf, transferred: the blocks are harder to tell apart once the worst zeros are edges."""
    model = LightGCN(8, layers=2, edge_trainer=EdgeTrainer(steps=60, learning_rate=0.05))
    attack = MetaAttack(n_flips=60, surrogate=CF(embedding_size=4, edge_trainer=EdgeTrainer(steps=20)))
    poisoned = attack.poison(edges, np.zeros(0, dtype=np.int64), Seeds(0), CPU, Progress()).apply(edges)
    assert len(poisoned.zeros.users) == len(edges.zeros.users) - 60
    assert poisoned.seen.nnz == edges.seen.nnz + 60
    losses = []
    users, items = torch.arange(24).repeat_interleave(20), torch.arange(20).repeat(24)
    for data in (edges, poisoned):
        fitted = model.fitted(data, Seeds(0), CPU, Progress())
        found = model.edge_logits(fitted.prepared, data, users, items)
        losses.append(mean_log_loss(found, ((users < 12) == (items < 10)).float()).item())
    assert losses[1] > 1.5 * losses[0]


def test_what_ranks_is_refused_where_edges_are_learned(edges):
    with pytest.raises(IncompatibleParts, match="choose defense=none, and an attack with no surrogate that learns to"):
        LightGCN().objective(edges, Seeds(0), CPU)
    with pytest.raises(IncompatibleParts, match="learned in full batches"):
        LightGCN().inner_problem(edges, 2, Seeds(0), CPU)
    with pytest.raises(ConfigError, match=r"model\.edge_trainer\.backend=numba has no LightGCN: set backend=auto or"):
        replace(LightGCN(), edge_trainer=EdgeTrainer(backend="numba"))
