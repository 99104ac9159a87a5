"""One meta-gradient through training on ml_100k, all rows and as many zeros, against a plain autograd unroll."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import torch
from benchmark_embeddings import _highest, _resident
from benchmark_rows import in_turn, rows_of
from torch import Tensor

from recpoison.data.filtering import Filters
from recpoison.data.interactions import LabelledEdges
from recpoison.data.ratings import KnownRatings
from recpoison.data.splitting import Splitter
from recpoison.models.base import Params
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.edges.meta_gradient import meta_gradient
from recpoison.training.edges.network import Network, logits
from recpoison.training.edges.passes import mean_log_loss
from recpoison.training.edges.trainer import EdgeTrainer

NETWORKS = {
    "cf, a layer of 16": Network(sum_size=16, sum_hidden=(16,)),
    "cf, a layer of 32": Network(sum_size=32, sum_hidden=(32,)),
    "cf, inner product of 16": Network(product_size=16, weighted=False),
    "gmf, 16 and layers of 16 and 8": Network(product_size=16, product_hidden=(16, 8)),
    "neumf, 16 and layers of 32 and 16": Network(product_size=16, sum_size=16, sum_hidden=(32, 16)),
}
FEW, MANY = 4, 100  # steps: what a plain unroll has memory for, and the report's


def meta_gradient_benchmark(rounds: int) -> list[dict[str, object]]:
    """CPU seconds a step, ways in turn and ratios to ours; seconds of a whole one; and memory."""
    edges, shape = _edges()
    found = []
    for name, network in NETWORKS.items():
        params = _params(network, shape)
        ours, plain = _ours(network, params, edges, FEW), _plain(network, params, edges, FEW)
        torch.testing.assert_close(ours, plain, rtol=0.1, atol=0.1 * plain.abs().mean().item())  # compiled, and alike
        ways = {
            f"{name}: recpoison": lambda n=network, p=params: _ours(n, p, edges, FEW),
            f"{name}: plain unroll": lambda n=network, p=params: _plain(n, p, edges, FEW),
        }
        found += rows_of("meta-gradient", f"s a step, of {FEW}", in_turn(ways, rounds, FEW))
        whole = {f"{name}: recpoison": lambda n=network, p=params: _ours(n, p, edges, MANY)}
        found += rows_of("meta-gradient", f"s, of {MANY} steps", in_turn(whole, 1))
    return found + _memory()


def _edges() -> tuple[LabelledEdges, tuple[int, int]]:
    data = KnownRatings("ml_100k", "ml_100k", "ratings", Filters(), Splitter()).read(
        Path(os.environ["RECPOISON_DATA"]), Seeds(0), Progress()
    )
    free = np.flatnonzero(data.seen.toarray().ravel() == 0)
    users, items = np.divmod(np.random.default_rng(0).choice(free, len(data), replace=False), data.n_items)
    labels = np.repeat(np.array([1, 0], dtype=np.float32), len(data))
    columns = np.concatenate([data.users, users]), np.concatenate([data.items, items])
    return LabelledEdges(*columns, labels), (data.n_users, data.n_items)


def _params(network: Network, shape: tuple[int, int]) -> Params:
    generator = torch.Generator().manual_seed(0)
    return {name: 0.1 * torch.randn(size, generator=generator) for name, size in network.shapes(*shape).items()}


def _ours(network: Network, params: Params, edges: LabelledEdges, steps: int, memory_mb: float = 256.0) -> Tensor:
    trainer = EdgeTrainer(steps) if steps <= MANY else EdgeTrainer(steps, learning_rate=0.001)  # or it overflows
    return meta_gradient(network, trainer, params, edges, Seeds(0), memory_mb=memory_mb).gradient


def _plain(network: Network, params: Params, edges: LabelledEdges, steps: int) -> Tensor:
    """The same with nothing but autograd, Adam written out too."""
    users, items = torch.from_numpy(edges.users), torch.from_numpy(edges.items)
    labels, rate = torch.from_numpy(edges.labels).clone().requires_grad_(), EdgeTrainer().learning_rate
    tensors = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    first = {name: torch.zeros_like(tensor) for name, tensor in params.items()}
    second = dict(first)
    for step in range(1, steps + 1):
        loss = mean_log_loss(logits(network, tensors, users, items), labels)
        slopes = torch.autograd.grad(loss, list(tensors.values()), create_graph=True)
        for name, slope in zip(params, slopes, strict=True):
            first[name] = 0.9 * first[name] + 0.1 * slope
            second[name] = 0.999 * second[name] + 0.001 * slope * slope
            # 1e-20 keeps the root's derivative finite where a second moment is 0
            root = (second[name] / (1 - 0.999**step) + 1e-20).sqrt()
            tensors[name] = tensors[name] - rate * first[name] / (1 - 0.9**step) / (root + 1e-8)
    loss = mean_log_loss(logits(network, tensors, users, items), labels)
    return torch.autograd.grad(loss, labels)[0]


def _memory() -> list[dict[str, object]]:
    """Memory of one on top of the data, and by how much 200 in a row raise it after the first ten."""
    tasks = [("recpoison", 25, 256.0), ("recpoison", 100, 256.0), ("recpoison", 400, 64.0), ("plain", 1, 0.0)]
    tasks += [("plain", 2, 0.0), ("plain", FEW, 0.0), ("200 in a row", 2, 256.0)]
    found = []
    for way, steps, limit in tasks:
        with multiprocessing.get_context("spawn").Pool(1) as pool:  # a process's highest memory never falls
            peak = pool.apply(_peak_here, (way, steps, limit))
        within = f" within {limit:.0f} MB" if limit else ""
        label = f"gmf, 16 and layers of 16 and 8: {way}, {steps} steps{within}"
        found.append({"benchmark": "meta-gradient memory", "contender": label, "unit": "MB", "value": peak})
    return found


def _peak_here(way: str, steps: int, limit: float) -> float:
    torch.set_num_threads(1)
    edges, shape = _edges()
    network = NETWORKS["gmf, 16 and layers of 16 and 8"]
    params = _params(network, shape)
    few = LabelledEdges(*(column[:10] for column in edges))
    _ours(network, params, few, 2)
    _plain(network, params, few, 2)
    for _ in range(10 if way == "200 in a row" else 0):
        _ours(network, params, edges, steps, limit)
    filling = []
    while _highest() - _resident() > 1:  # until more memory in use means a new highest
        filling.append(np.ones(2**17))
    before = _highest()
    for _ in range(200 if way == "200 in a row" else 1):
        _plain(network, params, edges, steps) if way == "plain" else _ours(network, params, edges, steps, limit)
    return _highest() - before
