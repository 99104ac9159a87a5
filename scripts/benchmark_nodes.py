"""One meta-gradient of metattack on Cora against dense matrices with autograd through every step."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from benchmark_rows import in_turn, rows_of
from torch import Tensor

from recpoison.algebra.linear_gcn import Judged, LinearGCN, Momentum, Weights
from recpoison.data.graph import NodeGraph
from recpoison.data.graphs import CitationGraph
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.initial_values import glorot

CPU, HIDDEN, LABELLED = torch.device("cpu"), 16, 0.1
FEW, MANY = 10, 100  # steps: for which the plain way has memory here, and metattack's


def nodes_benchmark(rounds: int) -> list[dict[str, object]]:
    """CPU seconds of a meta-gradient through ``FEW`` steps, the two ways in turn, and of ours through ``MANY``."""
    graph = CitationGraph("cora").load(Path(os.environ["RECPOISON_DATA"]), Seeds(0), Progress())
    nodes = torch.from_numpy(np.random.default_rng(0).permutation(graph.n_nodes)[: int(LABELLED * graph.n_nodes)])
    judged = Judged(nodes, torch.from_numpy(graph.labels)[nodes])
    sizes = graph.features.shape[1], HIDDEN, graph.n_classes
    weights = Weights(*(glorot(np.random.default_rng(n), shape) for n, shape in enumerate(pairwise(sizes))))
    ours, plain = _ours(graph, weights, judged, FEW), _plain(graph, weights, judged, FEW)
    slopes = plain()
    torch.testing.assert_close(ours(), slopes, rtol=1e-2, atol=1e-3 * slopes.abs().max().item())
    ways = {"recpoison": ours, "dense autograd": plain}
    whole = {"recpoison": _ours(graph, weights, judged, MANY)}
    few = rows_of("nodes", f"s, of {FEW} steps", in_turn(ways, rounds))
    return few + rows_of("nodes", f"s, of {MANY} steps", in_turn(whole, rounds))


def _ours(graph: NodeGraph, weights: Weights, judged: Judged, steps: int) -> Callable[[], Tensor]:
    """As metattack takes it, with the surrogate made anew for the flipped graph; no diagonal."""
    rule = Momentum(steps, 0.1, 0.9)

    def way() -> Tensor:
        surrogate = LinearGCN(graph.adjacency, graph.features, CPU)
        return surrogate.meta_gradient(weights, judged, judged, rule)[0].fill_diagonal_(0)

    return way


def _plain(graph: NodeGraph, weights: Weights, judged: Judged, steps: int) -> Callable[[], Tensor]:
    """A dense adjacency that wants a gradient."""
    features = torch.from_numpy(graph.features.toarray()).float()

    def loss(spread: Tensor, state: list[Tensor]) -> Tensor:
        logits = spread @ (spread @ (features @ state[0]) @ state[1])
        return F.cross_entropy(logits[judged.nodes], judged.classes)

    def way() -> Tensor:
        dense = torch.from_numpy(graph.adjacency.toarray()).float().requires_grad_()
        looped = dense + torch.eye(len(dense))
        scale = looped.sum(1).rsqrt()
        spread = looped * scale * scale.unsqueeze(1)
        state = [w.clone().requires_grad_() for w in weights]
        velocity = [torch.zeros_like(w) for w in weights]
        for _ in range(steps):
            slopes = torch.autograd.grad(loss(spread, state), state, create_graph=True)
            velocity = [0.9 * v + g for v, g in zip(velocity, slopes, strict=True)]
            state = [w - 0.1 * v for w, v in zip(state, velocity, strict=True)]
        (single,) = torch.autograd.grad(loss(spread, state), dense)
        return (single + single.T).fill_diagonal_(0)

    return way
