"""What one outer iteration of the exact injection attack costs as the data grow, and the figure of it.

``OMP_NUM_THREADS=1 python scripts/benchmark_scale.py`` measures 10^5 to 10^7 interactions of a power law, each in a
process of its own, and writes ``outputs/scale.csv`` and ``outputs/scale.png``. Items stay at 10,000 and users have 50
interactions each, so that the tables, the interactions and users x items all grow alike. An iteration is ten full-batch
steps of WRMF (K=64), all differentiated, and the outer loss with its gradient; 131 fake users.
"""

# ruff: noqa: E402 - threads are counted when numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from benchmark_contenders import power_law
from benchmark_injection import N_FAKES, fake_users, seconds, training

from recpoison.attacks.profiles.bilevel_wrmf import BilevelWRMFAttack
from recpoison.attacks.targets import Targets
from recpoison.models.wrmf import WRMF
from recpoison.training.trainer import Trainer

SIZES = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
N_ITEMS, PER_USER, STEPS = 10_000, 50, 10


def iteration(interactions: int) -> tuple[int, float]:
    """Interactions that were drawn, about as many as asked for, and CPU seconds of one outer iteration on them."""
    data, _ = power_law(interactions // PER_USER, N_ITEMS, interactions)
    trainer = Trainer(epochs=STEPS, batch_size=1 << 30, optimizer="adam", learning_rate=0.01, eps=1e-8)
    attack = BilevelWRMFAttack(
        targets=Targets("list", tuple(range(5))),
        n_fake_users=N_FAKES,
        surrogate=WRMF(embedding_size=64, trainer=trainer),
        cutoff=50,
    )
    inner, shown = training(data, attack), fake_users(data)
    return len(data), seconds(lambda: inner(shown, True), 1)


def scale_benchmark(sizes: tuple[int, ...] = SIZES) -> list[dict[str, float]]:
    """Rows ``interactions, seconds, peak_gib``."""
    rows = []
    for size in sizes:
        command = [sys.executable, __file__, "--child", str(size)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(json.dumps(rows[-1]), flush=True)
    return rows


def slope(rows: list[dict[str, float]]) -> float:
    """Exponent of the least-squares power law: 1 is linear growth."""
    x, y = (np.log([row[name] for row in rows]) for name in ("interactions", "seconds"))
    return float(np.polyfit(x, y, 1)[0])


def draw(rows: list[dict[str, float]], path: Path) -> None:
    """Seconds and memory over interactions, both axes logarithmic."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.add_subplot()
    x = [row["interactions"] for row in rows]
    first = axes.loglog(x, [row["seconds"] for row in rows], "o-", color="#2b5c94", label="CPU seconds")
    linear = [rows[-1]["seconds"] * size / x[-1] for size in x]
    guide = axes.loglog(x, linear, ":", color="#777777", label="linear growth")
    axes.set_xlabel("interactions")
    axes.set_ylabel("CPU seconds of one outer iteration")
    right = axes.twinx()
    second = right.loglog(x, [row["peak_gib"] for row in rows], "s--", color="#c06a1a", label="peak memory")
    right.set_ylabel("peak memory (GiB)")
    right.set_yticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
    right.minorticks_off()
    right.set_ylim(0.4, 2 * max(row["peak_gib"] for row in rows))
    axes.legend(handles=[*first, *guide, *second], loc="upper left", frameon=False)
    axes.set_title(f"10,000 items, 50 rows a user; exponent of the seconds {slope(rows):.2f}", fontsize=9)
    figure.savefig(path, dpi=200)


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES), help="interactions")
    parser.add_argument("--out", type=Path, default=Path("outputs"))
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        torch.set_num_threads(1)
        drawn, taken = iteration(arguments.child)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        row = {"interactions": drawn, "seconds": round(taken, 3), "peak_gib": round(peak, 2)}
        print(json.dumps(row))
        return
    rows = scale_benchmark(tuple(arguments.sizes))
    arguments.out.mkdir(parents=True, exist_ok=True)
    with (arguments.out / "scale.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, arguments.out / "scale.png")
    print(f"seconds grow with exponent {slope(rows):.2f}; written to {arguments.out}/scale.csv and scale.png")


if __name__ == "__main__":
    main()
