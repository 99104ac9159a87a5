"""Wall time on a CUDA device: our kernels and graphs, the same by torch's operations, and one core of the host."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from unittest.mock import patch

import numpy as np
import torch
from benchmark_contenders import ACCUMULATOR, BATCH, RATE, REGULARIZATION, RIDGE, SIZE, WEIGHT, power_law, warm
from benchmark_evaluation import Factors, random_case

import recpoison
from recpoison.algebra.normal_equations import group_rows, solve_rows
from recpoison.algebra.propagation import Propagation
from recpoison.attacks.profiles.bilevel_wrmf import BilevelWRMFAttack
from recpoison.attacks.profiles.outer import OuterOptimizer
from recpoison.data.interactions import Interactions, Scale
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.models.base import Fitted, Params
from recpoison.models.lightgcn import LightGCN
from recpoison.models.wrmf import WRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.adversarial import AdversarialBPR
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.objectives import BPRObjective
from recpoison.training.ratings import RatingObjective
from recpoison.training.trainer import Objective, Trainer

CPU = torch.device("cpu")
Way = Callable[[], object]
Row = dict[str, object]


def device_benchmark(device: torch.device, names: list[str], rounds: int) -> list[Row]:
    """Rows of the benchmarks ``names``; a ratio is to our quickest way, the first of each."""
    rows = []
    for name in names or BENCHMARKS:
        if name not in BENCHMARKS:
            raise SystemExit(f"{name} has no form for a device: choose among {', '.join(BENCHMARKS)}")
        if name in NEEDS_DATA and "RECPOISON_DATA" not in os.environ:
            print(f"{name} is left out: set RECPOISON_DATA to the folder that holds {NEEDS_DATA[name]}")
            continue
        torch.cuda.reset_peak_memory_stats(device)
        unit, per, ways = BENCHMARKS[name](device)
        rows += _timed(name, unit, per, ways, device, rounds)
    return rows


def _timed(name: str, unit: str, per: float, ways: Mapping[str, Way], device: torch.device, rounds: int) -> list[Row]:
    """Median wall time of ``rounds``, after one that compiles and captures."""
    found: list[Row] = []
    for label, way in ways.items():
        seconds = []
        for number in range(rounds + 1):
            torch.cuda.synchronize(device)
            start = time.perf_counter()
            way()
            torch.cuda.synchronize(device)
            if number:
                seconds.append((time.perf_counter() - start) / per)
        memory = torch.cuda.max_memory_allocated(device) / 2**20
        row: Row = {"benchmark": f"{name} on {torch.cuda.get_device_name(device)}", "unit": unit}
        row |= {"contender": f"{label}; peak so far {memory:.0f} MiB", "value": float(np.median(seconds))}
        row |= {"low": min(seconds), "high": max(seconds)}
        found.append(row | {"ratio": float(np.median(seconds)) / float(found[0]["value"] if found else row["value"])})  # type: ignore[arg-type]
        print({key: f"{cell:.4g}" if isinstance(cell, float) else cell for key, cell in found[-1].items()}, flush=True)
    return found


def _epochs(make: Callable[[], Objective], batch_size: int, params: Params, device: torch.device) -> dict[str, Way]:
    """An epoch by our kernels, by torch's operations, and by numba on a core of the host."""
    kinds = {"kernels": ("auto", device), "torch": ("torch", device), "numba, one core": ("numba", CPU)}

    def way(backend: str, where: torch.device) -> Way:
        trainer = Trainer(1, batch_size, "adagrad", RATE, ACCUMULATOR, backend=backend)
        objective, state = make(), trainer.start({name: table.to(where) for name, table in params.items()})
        return lambda: objective.epoch(trainer, state, 0)

    return {label: way(*kind) for label, kind in kinds.items()}


def bpr(device: torch.device) -> tuple[str, float, dict[str, Way]]:
    """An epoch of a million pairs at K=64, batches of 512."""
    train, _ = power_law(6040, 3706, 1_000_000)
    return "ns a pair", 1e-3, _epochs(lambda: BPRObjective(train, Seeds(0), REGULARIZATION), BATCH, warm(train), device)


def bpr_2048(device: torch.device) -> tuple[str, float, dict[str, Way]]:
    """The same in batches of 2,048."""
    train, _ = power_law(6040, 3706, 1_000_000)
    return "ns a pair", 1e-3, _epochs(lambda: BPRObjective(train, Seeds(0), REGULARIZATION), 2048, warm(train), device)


def apr(device: torch.device) -> tuple[str, float, dict[str, Way]]:
    """An epoch of adversarial personalised ranking of the same size."""
    train, _ = power_law(6040, 3706, 1_000_000)

    def make() -> Objective:
        return AdversarialBPR(BPRObjective(train, Seeds(0), REGULARIZATION), InnerAttack(epsilon=0.5), 1.0)

    return "ns a pair", 1e-3, _epochs(make, BATCH, warm(train), device)


def mf(device: torch.device) -> tuple[str, float, dict[str, Way]]:
    """An epoch of squared error on a million ratings, batches of 4,096."""
    train, _ = power_law(6040, 3706, 1_000_000)
    ratings = np.random.default_rng(0).integers(1, 6, len(train))
    rated = Interactions(train.users, train.items, ratings, 6040, 3706, scale=Scale(1, 5))
    return "ns a rating", 1e-3, _epochs(lambda: RatingObjective(rated, Seeds(0)), 4096, warm(train), device)


def als(device: torch.device) -> tuple[str, float, dict[str, Way]]:
    """A sweep of exact solves at K=64: users, then items."""
    train, _ = power_law(6040, 3706, 1_000_000)

    def way(where: torch.device) -> Way:
        halves = [(group_rows(m, where), m.shape[0]) for m in (train.seen, train.seen.T.tocsr())]
        item = (0.1 * torch.randn(3706, SIZE, generator=torch.Generator().manual_seed(0))).to(where)

        def sweep() -> torch.Tensor:
            factors = item
            for groups, n_rows in halves:
                factors = solve_rows(factors, groups, n_rows, WEIGHT, RIDGE)
            return factors

        return sweep

    return "s a sweep", 1.0, {"solves": way(device), "one core": way(CPU)}


def evaluation(device: torch.device) -> tuple[str, float, dict[str, Way]]:
    """Full ranking of 10,000 users over 40,000 items, ten held out each, lists of 50."""
    split, params = random_case(10_000, 40_000, per_user=30, held_out=10)

    def way(where: torch.device) -> Way:
        tables = {name: table.to(where) for name, table in params.items()}
        fitted = Fitted(Factors(), tables, split.train)
        evaluation = FullRanking(metrics=["HR"], cutoffs=[50])
        return lambda: evaluation.look(fitted, split, np.array([]), Seeds(0), where, Progress())

    return "µs a user", 0.01, {"in blocks by free memory": way(device), "one core": way(CPU)}


def bilevel(device: torch.device) -> tuple[str, float, dict[str, Way]]:
    """An iteration of the exact injection attack: 60 fake users among 6,040, 10 epochs of WRMF at K=64, Adam."""
    train, _ = power_law(6040, 3706, 1_000_000)
    trainer = Trainer(10, 2048, "adam", 0.01, eps=1e-8)
    surrogate = WRMF(64, weight=20.0, regularization=0.0, trainer=trainer)
    attack = BilevelWRMFAttack(n_fake_users=60, surrogate=surrogate, outer=OuterOptimizer(iterations=1))

    def way(where: torch.device) -> Way:
        return lambda: attack.poison(train, np.array([3000]), Seeds(0), where, Progress())

    return "s an iteration and its start", 1.0, {"recpoison": way(device)}


def lightgcn(device: torch.device) -> tuple[str, float, dict[str, Way]]:
    """A batch of 2,048 pairs on Gowalla, 3 layers, K=64, Adam: the mean over an epoch."""
    from benchmark_lightgcn import gowalla

    data = gowalla()

    def way(backend: str, where: torch.device, spread: bool) -> Way:
        trainer = Trainer(1, 2048, "adam", 0.001, eps=1e-8, backend=backend)
        model = LightGCN(trainer=trainer)
        objective = model.objective(data, Seeds(0), where)
        state = trainer.start(model.start(data, Seeds(0), where))

        def epoch() -> None:
            with nullcontext() if spread else patch.object(Propagation, "on_triton", False):
                objective.epoch(trainer, state, 0)

        return epoch

    batches = -(-len(data) // 2048)
    ways = {"captured": way("auto", device, True), "not captured": way("torch", device, True)}
    return "s a batch", float(batches), ways | {"torch alone": way("torch", device, False)}


def repeats(words: Sequence[str], n: int) -> Callable[[torch.device], tuple[str, float, dict[str, Way]]]:
    """``n`` seeds of a run in one process: as many at once as by default, other numbers of them, and one by one."""

    def benchmark(device: torch.device) -> tuple[str, float, dict[str, Way]]:
        def way(**settings: int) -> Way:
            shared = {"attack": "none", "repeats": n, "store_dir": None, "device": str(device), "quiet": True}
            return lambda: recpoison.run(*words, **shared, **settings)

        at_once = {f"{workers} at once": way(workers=workers) for workers in (8, 2, 1)}
        return f"s for {n} seeds of {' '.join(words)}", 1.0, {"as by default": way(), **at_once}

    return benchmark


NEEDS_DATA = {"lightgcn": "gowalla", "repeats_bprmf": "ml_100k", "repeats_mf": "filmtrust"}
BENCHMARKS = {
    "bpr": bpr,
    "bpr_2048": bpr_2048,
    "apr": apr,
    "mf": mf,
    "als": als,
    "evaluation": evaluation,
    "bilevel": bilevel,
    "lightgcn": lightgcn,
    "repeats_bprmf": repeats(["dataset=ml_100k", "model=bprmf"], 8),
    "repeats_mf": repeats(["dataset=filmtrust", "model=mf"], 30),
}
