"""The meta-gradient of a linear GCN against retraining, and against autograd through the same steps."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.algebra.linear_gcn import Judged, LinearGCN, Momentum, Weights

CPU, N_NODES, N_FEATURES, HIDDEN, N_CLASSES = torch.device("cpu"), 9, 5, 4, 3
RULE = Momentum(steps=6, learning_rate=0.5, momentum=0.9)


def problem() -> tuple[np.ndarray, sp.csr_matrix, Weights, Judged, Judged]:
    rng = np.random.default_rng(3)
    upper = np.triu(rng.random((N_NODES, N_NODES)) < 0.35, 1)
    adjacency = (upper | upper.T).astype(float)
    features = sp.csr_matrix((rng.random((N_NODES, N_FEATURES)) < 0.5).astype(float))
    weights = Weights(*(torch.from_numpy(rng.normal(size=s)) for s in ((N_FEATURES, HIDDEN), (HIDDEN, N_CLASSES))))
    classes = torch.from_numpy(rng.integers(0, N_CLASSES, N_NODES))
    labelled, others = torch.tensor([0, 2, 5, 7]), torch.tensor([1, 3, 4, 6, 8])
    return adjacency, features, weights, Judged(labelled, classes[labelled]), Judged(others, classes[others])


def dense_loss(adjacency: Tensor, features: Tensor, weights: Weights, trained: Judged, outer: Judged) -> Tensor:
    """The same training with dense matrices and autograd through every step."""
    looped = adjacency + torch.eye(len(adjacency), dtype=torch.float64)
    scale = looped.sum(1).rsqrt()
    spread = looped * scale * scale.unsqueeze(1)
    state = [w.clone().requires_grad_() for w in weights]
    velocity = [torch.zeros_like(w) for w in weights]

    def loss(judged: Judged) -> Tensor:
        logits = spread @ (spread @ features @ state[0]) @ state[1]
        return F.cross_entropy(logits[judged.nodes], judged.classes)

    for _ in range(RULE.steps):
        slopes = torch.autograd.grad(loss(trained), state, create_graph=True)
        velocity = [RULE.momentum * v + g for v, g in zip(velocity, slopes, strict=True)]
        state = [w - RULE.learning_rate * v for w, v in zip(state, velocity, strict=True)]
    return loss(outer)


@pytest.mark.parametrize("outer_is_trained", [False, True])
def test_it_is_the_gradient_of_training_and_looking(outer_is_trained: bool) -> None:
    adjacency, features, weights, trained, others = problem()
    outer = trained if outer_is_trained else others
    gcn = LinearGCN(sp.csr_matrix(adjacency), features, CPU, torch.float64)
    found, loss = gcn.meta_gradient(weights, trained, outer, RULE)
    dense = torch.from_numpy(adjacency).requires_grad_()
    expected = dense_loss(dense, torch.from_numpy(features.toarray()), weights, trained, outer)
    (single,) = torch.autograd.grad(expected, dense)
    assert loss == pytest.approx(float(expected), rel=1e-12)
    off = ~torch.eye(N_NODES, dtype=torch.bool)
    torch.testing.assert_close(found[off], (single + single.T)[off], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("pair", [(0, 1), (2, 7), (3, 8), (4, 5)])
def test_it_is_what_a_small_change_of_a_pair_does(pair: tuple[int, int]) -> None:
    adjacency, features, weights, trained, others = problem()
    gcn = LinearGCN(sp.csr_matrix(adjacency), features, CPU, torch.float64)
    found, _ = gcn.meta_gradient(weights, trained, others, RULE)
    losses = []
    for size in (1e-5, -1e-5):
        moved = torch.from_numpy(adjacency.copy())
        moved[pair] += size
        moved[pair[::-1]] += size
        losses.append(float(dense_loss(moved, torch.from_numpy(features.toarray()), weights, trained, others)))
    assert float(found[pair]) == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-5)
