"""A batch of LightGCN on Gowalla's given split: ours against autograd through every layer, as public code does it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp
import torch
from benchmark_rows import rows_of
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.models.base import Params
from recpoison.models.lightgcn import LightGCN
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.graph_objective import GraphBatch, GraphObjective
from recpoison.training.optimizers import slots
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
CONF = Path(__file__).resolve().parents[1] / "conf"
BATCHES = 20
MODEL = LightGCN(trainer=Trainer(1, 2048, "adam", 0.001, eps=1e-8))  # 64 numbers, 3 layers
Walk = Callable[[list[GraphBatch]], Params]


def lightgcn_benchmark(rounds: int) -> list[dict[str, object]]:
    """CPU seconds of a batch, the ways in turn; the ratio is to ours. All end at the same numbers."""
    data = gowalla()
    objective = MODEL.objective(data, Seeds(0), CPU)
    batches = [batch for _, batch in zip(range(BATCHES), objective.batches(MODEL.trainer, 0, CPU), strict=False)]
    start = MODEL.start(data, Seeds(0), CPU)
    ways: dict[str, Walk] = {
        "recpoison": lambda few: _ours(objective, start, few),
        "torch CSR, autograd": _autograd(_matrix(data).to_sparse_csr(), start),
        "torch COO, autograd": _autograd(_matrix(data), start),
    }
    taken: dict[str, list[float]] = {label: [] for label in ways}
    ends: dict[str, Params] = {}
    for _ in range(rounds):
        for label, way in ways.items():
            way(batches[:1])  # what is built once
            before = time.process_time()
            ends[label] = way(batches)
            taken[label].append((time.process_time() - before) / BATCHES)
    _agree(ends, start)
    return rows_of("lightgcn", "s a batch", taken)


def gowalla() -> Interactions:
    """The given training data, whole: 810,128 pairs of 29,858 users and 40,981 items."""
    dataset = instantiate(OmegaConf.load(CONF / "dataset" / "gowalla.yaml"), _convert_="all")
    dataset = replace(dataset, filters=replace(dataset.filters, k_core=0), split=replace(dataset.split, method="given"))
    data: Interactions = dataset.load(Path(os.environ["RECPOISON_DATA"]), Seeds(0), Progress()).train
    return data


def _ours(objective: GraphObjective, start: Params, batches: list[GraphBatch]) -> Params:
    """An epoch of these batches alone."""
    state = MODEL.trainer.start(start)
    with patch.object(objective, "batches", lambda *_: iter(batches)):
        objective.epoch(MODEL.trainer, state, 0)
    return slots(state, "param")


def _matrix(data: Interactions) -> Tensor:
    """The normalised adjacency as public code has it: one sparse COO tensor."""
    both = sp.block_array([[None, data.seen], [data.seen.T, None]], format="coo")
    degrees = np.maximum(np.asarray(both.sum(1)).ravel(), 1)
    weights = 1 / np.sqrt(degrees[both.row] * degrees[both.col])
    cells = torch.from_numpy(np.stack([both.row, both.col])).long()
    return torch.sparse_coo_tensor(cells, torch.from_numpy(weights).float(), both.shape).coalesce()


def _autograd(matrix: Tensor, start: Params) -> Walk:
    """Two embedding tables, every layer kept and stacked, a mean, BPR, ``backward`` and ``torch.optim.Adam``."""

    def walk(batches: list[GraphBatch]) -> Params:
        tables = {name: tensor.clone().requires_grad_() for name, tensor in start.items()}
        optimizer = torch.optim.Adam(tables.values(), MODEL.trainer.learning_rate, eps=MODEL.trainer.eps)
        for users, positives, negatives in batches:
            layers = [torch.cat([tables["user"], tables["item"]])]
            for _ in range(MODEL.layers):
                layers.append(torch.sparse.mm(matrix, layers[-1]))
            final = torch.stack(layers, dim=1).mean(dim=1)
            user, item = torch.split(final, [len(tables["user"]), len(tables["item"])])
            p, q, r = user[users], item[positives], item[negatives]
            loss = torch.nn.functional.softplus((p * r).sum(1) - (p * q).sum(1)).mean()
            rows = tables["user"][users], tables["item"][positives], tables["item"][negatives]
            squares = torch.stack([part.square().sum() for part in rows]).sum()
            optimizer.zero_grad()
            (loss + MODEL.regularization / 2 * squares / len(users)).backward()
            optimizer.step()
        return {name: tensor.detach() for name, tensor in tables.items()}

    return walk


def _agree(ends: dict[str, Params], start: Params) -> None:
    """Within a hundredth of the way: Adam's first steps are as long where rounding alone decides a gradient's sign."""
    ours = ends["recpoison"]
    for label, end in ends.items():
        apart = sum(float((end[name] - ours[name]).norm()) for name in ours)
        way = sum(float((start[name] - ours[name]).norm()) for name in ours)
        if apart > 0.01 * way:
            raise AssertionError(f"{label} ends elsewhere: {apart:g} away after a way of {way:g}")
