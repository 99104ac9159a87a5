"""Metattack: what it flips, within what bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F

from recpoison.attacks.nodes.metattack import Metattack, highest
from recpoison.data.graph import NodeGraph
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import ConfigError
from recpoison.models.gcn import GCN
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from tests.small_graph import two_blocks

CPU = torch.device("cpu")


def flips(attack: Metattack, graph: NodeGraph | None = None, seed: int = 0) -> EdgeFlips:
    data = two_blocks() if graph is None else graph
    return attack.poison(data, np.zeros(0, dtype=np.int64), Seeds(seed), CPU, Progress())


def trained_loss(attack: Metattack, graph: NodeGraph, seed: int = 0) -> float:
    """The surrogate's loss on labelled nodes after training with dense matrices."""
    weights = [w.double() for w in attack._weights(graph, Seeds(seed).child("attack"), 0, CPU)]
    looped = torch.from_numpy(graph.adjacency.toarray()).double() + torch.eye(graph.n_nodes).double()
    spread = looped / (looped.sum(1).outer(looped.sum(1))).sqrt()
    inputs = spread @ spread @ torch.from_numpy(graph.features.toarray()).double()
    nodes, classes = torch.from_numpy(graph.labelled), torch.from_numpy(graph.labels[graph.labelled])
    velocity = [torch.zeros_like(w) for w in weights]
    for _ in range(attack.steps):
        state = [w.clone().requires_grad_() for w in weights]
        loss = F.cross_entropy((inputs @ state[0] @ state[1])[nodes], classes)
        velocity = [attack.momentum * v + g for v, g in zip(velocity, torch.autograd.grad(loss, state), strict=True)]
        weights = [w - attack.learning_rate * v for w, v in zip(weights, velocity, strict=True)]
    return float(F.cross_entropy((inputs @ weights[0] @ weights[1])[nodes], classes))


def test_its_first_flip_is_among_the_best_of_all_tried_out() -> None:
    """Each of 66 pairs is flipped and the surrogate trained anew."""
    graph = two_blocks(12, seed=4)
    attack = Metattack(n_flips=1, steps=15, hidden=4)
    losses = {}
    for row in range(12):
        for column in range(row + 1, 12):
            value = 1 - int(graph.adjacency[row, column])
            losses[row, column] = trained_loss(attack, graph.with_flips([row], [column], [value]))
    found = flips(attack, graph)
    ordered = sorted(losses, key=losses.__getitem__, reverse=True)
    assert (int(found.rows[0]), int(found.columns[0])) in ordered[:5]
    assert found.trace["LogLoss"][0] == pytest.approx(trained_loss(attack, graph), rel=1e-4)


def test_flips_keep_the_budget_stay_symmetric_and_never_repeat() -> None:
    found, graph = flips(Metattack(n_flips=12, edges_per_step=5, steps=10)), two_blocks()
    assert len(found) == 12
    assert len(found.trace["LogLoss"]) == 3, "5, 5 and 2"
    changed = found.apply(graph)
    assert (changed.adjacency != changed.adjacency.T).nnz == 0
    assert changed.adjacency.diagonal().sum() == 0
    assert (changed.adjacency != graph.adjacency).nnz == 24
    assert set(np.unique(changed.adjacency.data)) == {1.0}
    assert len(flips(Metattack(budget=0.1, steps=5))) == int(0.1 * graph.n_edges)


def test_fewer_flips_are_the_first_of_more() -> None:
    more, fewer = (flips(Metattack(n_flips=n, edges_per_step=2, steps=10)) for n in (6, 4))
    assert np.array_equal(more.rows[:4], fewer.rows)
    assert np.array_equal(more.columns[:4], fewer.columns)


def test_it_hurts_more_than_as_many_random_flips() -> None:
    graph, rng = two_blocks(60), np.random.default_rng(0)
    found = flips(Metattack(n_flips=30, variant="meta_self"), graph)
    pairs = rng.permutation(np.argwhere(np.triu(np.ones((60, 60)), 1)))[:30]
    values = 1 - np.asarray(graph.adjacency[pairs[:, 0], pairs[:, 1]]).ravel()
    chance = graph.with_flips(pairs[:, 0], pairs[:, 1], values)

    def accuracy(data: NodeGraph) -> float:
        right = []
        for seed in range(3):
            params = GCN(steps=100).fit(data, Seeds(seed), CPU, Progress())
            right.append(GCN().scores(params, data, torch.arange(4, 60)).argmax(1).numpy() == graph.labels[4:])
        return float(np.mean(right))

    assert accuracy(found.apply(graph)) < accuracy(chance) - 0.05


def test_a_last_edge_is_left_alone_on_request() -> None:
    edges = sp.csr_matrix(np.kron(np.eye(4), [[0.0, 1.0], [1.0, 0.0]]))  # four pairs of nodes
    graph = NodeGraph(edges, sp.identity(8, format="csr"), np.repeat([0, 1], 4), np.array([0, 4]))
    kept = flips(Metattack(n_flips=24, edges_per_step=24, steps=5, keep_connected=True), graph)
    assert kept.values.all(), "24 of the 28 pairs are no edges, and the 4 edges are each a node's last"
    with pytest.raises(AssertionError):
        assert flips(Metattack(n_flips=28, edges_per_step=28, steps=5), graph).values.all()


@pytest.mark.parametrize(
    "change",
    [
        {"variant": "meta_self"},
        {"edges_per_step": 1},
        {"initialisation": "redrawn"},
        {"hidden": 3},
        {"steps": 3},
        {"learning_rate": 0.9},
        {"momentum": 0.0},
    ],
)
def test_every_setting_counts_and_the_same_seed_gives_the_same(change: dict[str, object]) -> None:
    attack = Metattack(n_flips=12, edges_per_step=4, steps=20)
    one, again, other = (flips(a) for a in (attack, attack, replace(attack, **change)))
    assert np.array_equal(one.rows, again.rows)
    assert one.trace["LogLoss"].tolist() == again.trace["LogLoss"].tolist()
    assert one.trace["LogLoss"].tolist() != other.trace["LogLoss"].tolist()


@pytest.mark.parametrize(
    "settings",
    [
        {"variant": "both"},
        {"initialisation": "old"},
        {"edges_per_step": 0},
        {"hidden": 0},
        {"steps": 0},
        {"learning_rate": 0.0},
        {"momentum": 1.0},
    ],
)
def test_values_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"attack.{next(iter(settings))} is"):
        Metattack(**settings)


def test_the_highest_in_order_and_equal_ones_by_place() -> None:
    scores = torch.tensor([1.0, 5.0, 3.0, 7.0, 3.0, 5.0, 3.0])
    assert highest(scores, 5).tolist() == [3, 1, 5, 2, 4]
    assert highest(scores, 1).tolist() == [3]
