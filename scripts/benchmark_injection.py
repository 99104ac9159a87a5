"""Time and memory of the exact injection attack on Gowalla, beside the same iteration written with the whole matrix.

``RECPOISON_DATA=... OMP_NUM_THREADS=1 python scripts/benchmark_injection.py`` prints a row a line, each measured in a
process of its own. Seconds are process CPU time on one thread.

- ``step``: one full-batch step of WRMF (K=128, 131 fake users) forward; ``differentiated step``: the same with its
  backward pass.
- ``outer loss``: cross-entropy of 5 targets over all users with its gradient, and the hit ratio.
- ``iteration``: one outer iteration as in the authors' code: 50 epochs in batches of 2048 users, the last 10
  differentiated.

``dense`` is the authors' way at ``--share`` of the users and of the items (a ninth of the cells by default), where it
needs about 4 GiB; ``sparse`` is also run there. Dense time grows with users x items, sparse time with interactions and
the tables.
"""

# ruff: noqa: E402 - threads are counted when numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from recpoison.attacks.objectives import TargetHits, promote
from recpoison.attacks.profiles.bilevel_wrmf import BilevelWRMFAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.models.wrmf import WRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU, N_FAKES = torch.device("cpu"), 131
CONF = Path(__file__).parents[1] / "conf"


def gowalla(share: float) -> Interactions:
    """Training rows of Gowalla between the first ``share`` of the users and of the items."""
    dataset = instantiate(OmegaConf.load(CONF / "dataset" / "gowalla.yaml"), _convert_="all")
    data = dataset.load(Path(os.environ["RECPOISON_DATA"]), Seeds(0), Progress()).train
    n_users, n_items = int(share * data.n_users), int(share * data.n_items)
    kept = (data.users < n_users) & (data.items < n_items)
    return Interactions(data.users[kept], data.items[kept], data.values[kept], n_users, n_items)


def fake_users(data: Interactions) -> Tensor:
    """Copies of the first users with at most 100 items, as in the authors' code."""
    short = np.flatnonzero(data.user_counts <= 100)[:N_FAKES]
    return torch.from_numpy(data.seen[short].toarray()).float()


def attack(epochs: int, batch_size: int, unroll_steps: int | None, memory_limit: float | None) -> BilevelWRMFAttack:
    """The attack with the authors' surrogate for Gowalla."""
    trainer = Trainer(epochs, batch_size, optimizer="adam", learning_rate=0.01, eps=1e-8)
    surrogate = WRMF(embedding_size=128, regularization=1e-5, trainer=trainer)
    return BilevelWRMFAttack(
        targets=Targets("list", tuple(range(5))), n_fake_users=N_FAKES, surrogate=surrogate, cutoff=50,
        unroll_steps=unroll_steps, memory_limit=memory_limit,
    )  # fmt: skip


def training(data: Interactions, made: BilevelWRMFAttack) -> Callable:
    """The inner problem of ``made`` as the attack itself runs it."""
    return made._surrogate(data, torch.arange(5), N_FAKES, Seeds(0), CPU)


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Least CPU seconds of ``rounds`` after one to warm up."""
    taken = []
    for _ in range(rounds + 1):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken[1:] or taken)


def step(data: Interactions, differentiate: bool) -> float:
    """One full-batch step; five in a row are timed, so that the outer loss can be taken off."""
    shown = fake_users(data)
    times = []
    for epochs in (1, 6):
        inner = training(data, attack(epochs, 1 << 20, epochs, None))
        times.append(seconds(lambda run=inner: _end(run, shown, differentiate), 3))
    return (times[1] - times[0]) / 5


def _end(inner: Callable, shown: Tensor, differentiate: bool) -> None:
    from recpoison.algebra.unroll import unroll

    shown = shown.clone().requires_grad_()
    tables = unroll(inner.model.optimizer, inner._inner, inner.first, shown, inner.steps, inner.steps * differentiate)
    if differentiate:
        torch.autograd.grad(sum(table.square().sum() for table in tables), shown)


def outer_loss(data: Interactions) -> float:
    """The outer loss with its gradients, and the hit ratio, on untrained factors."""
    inner = training(data, attack(1, 1 << 20, 1, None))
    tables = [inner.first[0][: data.n_users].clone().requires_grad_(), inner.first[1].clone().requires_grad_()]

    def work() -> None:
        hits = TargetHits(inner.seen, inner.targets, 50)
        torch.autograd.grad(promote(*tables, inner.targets, inner.seen, hits), tables)

    return seconds(work, 2)


def iteration(data: Interactions, memory_limit: float | None) -> float:
    """One outer iteration of the attack."""
    per_epoch = -(-(data.n_users + N_FAKES) // 2048)
    inner, shown = training(data, attack(50, 2048, 10 * per_epoch, memory_limit)), fake_users(data)
    inner.model.gradient(inner.first, inner.seen, None, shown)  # kernels are loaded
    return seconds(lambda: inner(shown, True), 0)


def dense_iteration(data: Interactions) -> float:
    """The same iteration with the matrix of a batch built, and plain autograd through the last 10 epochs."""
    inner = training(data, attack(50, 2048, 0, None))
    shown = fake_users(data).requires_grad_()
    real = torch.from_numpy(data.seen.toarray())
    return seconds(lambda: _dense(inner, real, shown), 0)


def _dense(inner: Callable, real: Tensor, shown: Tensor) -> Tensor:
    model, n = inner.model, len(real)
    tables = [table.clone().requires_grad_() for table in inner.first]
    memory = [(torch.zeros_like(t), torch.zeros_like(t)) for t in tables]
    differentiated = inner.steps - 10 * inner.batches.per_epoch
    for number in range(inner.steps):
        users = inner.batches(number)
        x = torch.cat([real[users[users < n]], shown[users[users >= n] - n]])
        weights = torch.where(x.detach() > 0, model.weight, 1.0)
        loss = (weights * (x - tables[0][users] @ tables[1].T).square()).sum()
        for k, g in enumerate(torch.autograd.grad(loss, tables, create_graph=number >= differentiated)):
            g = g + model.regularization * tables[k]
            memory[k] = m, v = 0.9 * memory[k][0] + 0.1 * g, 0.999 * memory[k][1] + 0.001 * g * g
            scale = (v / (1 - 0.999 ** (number + 1)) + 1e-30).sqrt() + 1e-8
            tables[k] = tables[k] - model.trainer.learning_rate / (1 - 0.9 ** (number + 1)) * m / scale
        if number < differentiated:
            tables = [table.detach().requires_grad_() for table in tables]
            memory = [(m.detach(), v.detach()) for m, v in memory]
    scores = tables[0][:n] @ tables[1].T
    value = -torch.log_softmax(scores, 1)[:, inner.targets].mean(1).sum()
    return torch.autograd.grad(value, shown)[0]


TASKS: dict[str, Callable[[float], float]] = {
    "step": lambda share: step(gowalla(share), False),
    "differentiated step": lambda share: step(gowalla(share), True),
    "outer loss": lambda share: outer_loss(gowalla(share)),
    "iteration": lambda share: iteration(gowalla(share), None),
    "iteration, memory_limit 1.5": lambda share: iteration(gowalla(share), 1.5),
    "dense iteration": lambda share: dense_iteration(gowalla(share)),
}


def injection_benchmark(share: float, tasks: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Rows ``task, share, seconds, peak_gib``, each from a process of its own."""
    tasks = tasks or list(TASKS)
    plan = [(task, 1.0) for task in tasks if not task.startswith("dense")]
    plan += [(task, share) for task in ("iteration", "dense iteration") if task in tasks]
    rows = []
    for task, size in plan:
        command = [sys.executable, __file__, "--child", task, "--share", str(size)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--share", type=float, default=1 / 3, help="users and items kept where the dense way is run")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--child", choices=list(TASKS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is None:
        injection_benchmark(arguments.share, arguments.tasks)
        return
    torch.set_num_threads(1)
    taken = TASKS[arguments.child](arguments.share)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    row = {"task": arguments.child, "share": round(arguments.share, 3), "seconds": round(taken, 3)}
    print(json.dumps(row | {"peak_gib": round(peak, 2)}))


if __name__ == "__main__":
    main()
