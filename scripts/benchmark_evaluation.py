"""Time and memory of full-ranking evaluation, beside implicit's where it is installed (the extra ``bench``).

``OMP_NUM_THREADS=1 python scripts/benchmark_evaluation.py`` prints the rows; ``scripts/benchmark.py`` takes them from
here.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.models.base import Fitted, Model, Params
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Factors(Model):
    """Scores are inner products of two given tables."""

    def fit(self, *args: object) -> Params:
        """Nothing is learned here."""
        raise NotImplementedError

    def scores(self, params: Params, data: Interactions, users: torch.Tensor) -> torch.Tensor:
        """Scores ``(len(users), n_items)``."""
        return params["users"].index_select(0, users) @ params["items"].T


def evaluation_benchmark(n_users: int = 6_040, n_items: int = 3_706, rounds: int = 7) -> list[dict[str, object]]:
    """Rows as ``scripts/benchmark.py`` prints them; a ratio is to ours with the same list length, above 1 is slower.

    Args:
        n_users: Users of the timed case.
        n_items: Items of the timed case.
        rounds: How often each implementation is timed, by turns; the median counts.
    """
    split, params = random_case(n_users, n_items, per_user=165, held_out=1)
    runs = {("recpoison FullRanking", k): _ours(split, params, k) for k in (10, 50)}
    try:
        runs |= {("implicit ranking_metrics_at_k", k): _implicit(split, params, k) for k in (10, 50)}
    except ImportError:
        print("implicit is not installed: no peer to compare with", file=sys.stderr)
    hits = {name: run() for name, run in runs.items()}  # also compiles
    seconds: dict[tuple[str, int], list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.process_time()
            run()
            seconds[name].append(time.process_time() - start)
    rows: list[dict[str, object]] = []
    for (name, k), taken in seconds.items():
        per_user = np.array(taken) / n_users * 1e6
        ratio = float(np.median(taken) / np.median(seconds["recpoison FullRanking", k]))
        rows.append(
            {
                "benchmark": "evaluation",
                "contender": f"{name}, lists of {k}",
                "value": float(np.median(per_user)),
                "low": float(per_user.min()),
                "high": float(per_user.max()),
                "unit": "us a user",
                "ratio": ratio,
                f"HR@{k}": hits[name, k],
            }
        )
    return [*rows, *(_memory(n_users) for n_users in (13_149, 50_000))]


def random_case(n_users: int, n_items: int, per_user: int, held_out: int) -> tuple[Split, Params]:
    """Random rows and factors."""
    rng = np.random.default_rng(0)
    width = per_user + held_out
    items = np.stack([rng.choice(n_items, width, replace=False) for _ in range(n_users)])

    def table(columns: np.ndarray) -> Interactions:
        users = np.repeat(np.arange(n_users), columns.shape[1])
        return Interactions(users, columns.ravel(), np.ones(columns.size), n_users, n_items)

    sizes = {"users": n_users, "items": n_items}
    params = {name: torch.from_numpy(rng.normal(size=(n, 64)).astype(np.float32)) for name, n in sizes.items()}
    return Split(table(items[:, :per_user]), table(items[:, per_user:])), params


def _ours(split: Split, params: Params, k: int) -> Callable[[], float]:
    evaluation = FullRanking(cutoffs=(k,))
    fitted = Fitted(Factors(), params, split.train)

    def run() -> float:
        seen = evaluation.look(fitted, split, np.zeros(0, dtype=np.int64), Seeds(0), CPU, Progress())
        return evaluation.measures(seen)[0].value

    return run


def _implicit(split: Split, params: Params, k: int) -> Callable[[], float]:
    from implicit.cpu.als import AlternatingLeastSquares
    from implicit.evaluation import ranking_metrics_at_k

    model = AlternatingLeastSquares(factors=64, num_threads=1)
    model.user_factors, model.item_factors = (params[name].numpy() for name in ("users", "items"))
    train, test = split.train.seen, split.test.seen

    def run() -> float:
        found = ranking_metrics_at_k(model, train, test, K=k, show_progress=False, num_threads=1)
        return float(found["precision"])  # over min(K, held-out items), so HR with one held-out item

    return run


def _memory(n_users: int) -> dict[str, object]:
    command = [sys.executable, str(Path(__file__)), "--memory-of", str(n_users)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {
        "benchmark": "evaluation memory",
        "contender": f"recpoison, {n_users} x 14007, {found['held_out']} held-out items, whole process",
        "value": found["peak_mb"],
        "unit": f"peak MB, {found['before_mb']:.0f} before",
    }


def _peak_mb() -> float:
    """Highest resident memory of this process so far; on Linux getrusage would start at that of the parent."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _measure_memory(n_users: int) -> None:
    split, params = random_case(n_users, 14_007, per_user=33, held_out=8)
    before = _peak_mb()
    fitted = Fitted(Factors(), params, split.train)
    FullRanking().look(fitted, split, np.arange(5), Seeds(0), CPU, Progress())
    print(json.dumps({"held_out": len(split.test), "before_mb": before, "peak_mb": _peak_mb()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="times each implementation is timed, by turns")
    parser.add_argument("--memory-of", type=int, metavar="N", help="only measure the peak memory with N users")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.memory_of:
        _measure_memory(args.memory_of)
    else:
        for row in evaluation_benchmark(rounds=args.rounds):
            print(" | ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
