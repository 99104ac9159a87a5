"""What ``benchmark.py`` measures of attacks on embeddings: the gradient of BPR over all training pairs."""
# ruff: noqa: D102 - the two methods are described in benchmark_contenders.py

from __future__ import annotations

import multiprocessing
import resource
import time
from pathlib import Path

import numpy as np
import torch
from benchmark_contenders import SIZE, Factors, OursBPR

from recpoison.data.interactions import Interactions
from recpoison.models.bprmf import BPRMF
from recpoison.seeds import Seeds

CPU = torch.device("cpu")


class OursGradient:
    """Negatives and gradient of all pairs, as FGSM and each step of BIM and PGD take them."""

    def __init__(self, train: Interactions) -> None:
        model = BPRMF(SIZE)
        self.loss, self.params = model.data_loss(train, Seeds(0), CPU), model.init(train, Seeds(0))
        self.round()

    def round(self) -> float:
        start = time.process_time()
        self.loss.gradient(self.params)
        return time.process_time() - start

    def factors(self) -> Factors:
        return self.params["user"].numpy(), self.params["item"].numpy()


class ChunkedAutograd(OursGradient):
    """The same triples through autograd in blocks of 65,536: what models without a kernel get."""

    def round(self) -> float:
        start = time.process_time()
        self.loss.plain.gradient(self.params)  # type: ignore[attr-defined]
        return time.process_time() - start


class WholeAutograd(OursGradient):
    """The same triples in one batch, as in the MSAP authors' code; negatives are given."""

    def round(self) -> float:
        if not hasattr(self, "batch"):
            self.batch = [torch.cat(columns) for columns in zip(*self.loss.chunks(0), strict=True)]  # type: ignore[attr-defined]
        start = time.process_time()
        leaves = {name: table.requires_grad_() for name, table in self.params.items()}
        torch.autograd.grad(self.loss.plain.loss(leaves, tuple(self.batch)), list(leaves.values()))  # type: ignore[attr-defined]
        self.params = {name: table.detach() for name, table in leaves.items()}
        return time.process_time() - start


GRADIENT_CONTENDERS = {
    "recpoison numba, FGSM gradient of all pairs": OursGradient,
    "recpoison, a BPR epoch": OursBPR,
    "recpoison torch, chunks": ChunkedAutograd,
    "plain torch, one batch": WholeAutograd,
}


def gradient_memory(n_users: int, n_items: int, n: int) -> list[dict[str, object]]:
    """Memory that one gradient allocates at most, tables included, for ``n`` and for four times as many pairs."""
    peaks = {pairs: _peak(n_users, n_items, pairs) for pairs in (n, 4 * n)}
    return [
        {"benchmark": "fgsm memory", "contender": f"recpoison numba, {pairs:,} pairs", "unit": "MB", "value": peak}
        | {"low": peak, "high": peak, "ratio": peak / peaks[n]}
        for pairs, peak in peaks.items()
    ]


def _peak(n_users: int, n_items: int, n: int) -> float:
    """A process's highest memory never falls, so each has a process of its own; all its memory is used up before."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_here, (n_users, n_items, n))


def _peak_here(n_users: int, n_items: int, n: int) -> float:
    rng = np.random.default_rng(0)
    cells = np.unique(rng.integers(0, n_users * n_items, n))
    data = Interactions(*np.divmod(cells, n_items), np.ones(len(cells)), n_users, n_items)
    del cells
    model = BPRMF(SIZE)
    params, loss = model.init(data, Seeds(0)), model.data_loss(data, Seeds(0), CPU)
    few = Interactions(data.users[:10], data.items[:10], np.ones(10), n_users, n_items)
    model.data_loss(few, Seeds(0), CPU).gradient(params)  # compiled
    filling = []
    while _highest() - _resident() > 1:  # until more memory in use means a new highest
        filling.append(np.ones(2**17))
    before = _highest()
    loss.gradient(params)
    return _highest() - before


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def _highest() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
