"""Speed against the plain way and against peers, in one process, as a table and a csv.

python scripts/benchmark.py bpr apr als evaluation --rounds 3

Time is process CPU time on one thread; contenders take turns, so that a busy machine slows all of them. Peers that are
not installed (``pip install '.[bench]'``) are left out and named.
"""

# ruff: noqa: E402 - threads are counted when numpy is imported

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import csv
import importlib.metadata
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmark_commands import commands
from benchmark_contenders import ALS_CONTENDERS, APR_CONTENDERS, BPR_CONTENDERS, hit_rate, power_law, weighted_loss
from benchmark_embeddings import GRADIENT_CONTENDERS, gradient_memory
from rich.console import Console
from rich.table import Table

Row = dict[str, object]
COLUMNS = ("benchmark", "contender", "value", "low", "high", "unit", "ratio", "HR@10", "loss")
PACKAGES = ("torch", "numba", "numpy", "scipy", "implicit", "cornac")
CONSOLE = Console()


def measure(
    name: str,
    contenders: dict[str, Callable],
    per: float,
    unit: str,
    arguments: argparse.Namespace,
    loss: Callable[..., float] | None = None,
) -> list[Row]:
    """Rounds of all contenders in turn; the first contender is the one that ratios are to.

    With a ``loss`` each contender's tables are asked for it after as many rounds.
    """
    train, test = power_law(arguments.users, arguments.items, arguments.interactions)
    running = {}
    for label, start in contenders.items():
        try:
            running[label] = start(train)
        except ImportError as error:
            CONSOLE.print(f"{name}: {label} is left out, {error}")
    seconds: dict[str, list[float]] = {label: [] for label in running}
    for number in range(arguments.rounds):
        for label, contender in running.items():
            seconds[label].append(contender.round())
            CONSOLE.print(
                f"{name}: round {number + 1} of {arguments.rounds}, {label}: {seconds[label][-1] / per:.3g} {unit}"
            )
    ours = float(np.median(next(iter(seconds.values()))))
    return [
        {
            "benchmark": name,
            "contender": label,
            "value": float(np.median(taken)) / per,
            "low": min(taken) / per,
            "high": max(taken) / per,
            "unit": unit,
            "ratio": float(np.median(taken)) / ours,
            "HR@10": hit_rate(*running[label].factors(), train, test),
        }
        | ({"loss": loss(*running[label].factors(), train)} if loss else {})
        for label, taken in seconds.items()
    ]


def bpr(arguments: argparse.Namespace) -> list[Row]:
    """(a) An epoch of BPR-MF at K=64, batches of 512, one negative."""
    return measure("bpr", BPR_CONTENDERS, arguments.interactions * 1e-9, "ns an interaction", arguments)


def apr(arguments: argparse.Namespace) -> list[Row]:
    """An epoch of adversarial personalised ranking, the same size; a ratio below 1 is quicker than it."""
    return measure("apr", APR_CONTENDERS, arguments.interactions * 1e-9, "ns an interaction", arguments)


def fgsm(arguments: argparse.Namespace) -> list[Row]:
    """One gradient of BPR over all training pairs at K=64, one negative each, and what memory it takes."""
    rows = measure("fgsm", GRADIENT_CONTENDERS, arguments.interactions * 1e-9, "ns an interaction", arguments)
    return rows + gradient_memory(arguments.users, arguments.items, arguments.interactions)


def als(arguments: argparse.Namespace) -> list[Row]:
    """(c) A sweep of ALS at K=64: users, then items; and the loss that as many sweeps as rounds have come to."""
    return measure("als", ALS_CONTENDERS, 1.0, "s a sweep", arguments, weighted_loss)


def evaluation(arguments: argparse.Namespace) -> list[Row]:
    """(b) Full ranking of all users."""
    from benchmark_evaluation import evaluation_benchmark

    return evaluation_benchmark(arguments.users, arguments.items, arguments.rounds)


def injection(arguments: argparse.Namespace) -> list[Row]:
    """Steps and iterations of the exact injection attack on Gowalla, and the same with the whole matrix at a ninth."""
    from benchmark_injection import injection_benchmark

    if "RECPOISON_DATA" not in os.environ:
        CONSOLE.print("injection is left out: set RECPOISON_DATA to the folder that holds gowalla")
        return []
    rows = injection_benchmark(1 / 3)
    dense = next(float(row["seconds"]) for row in rows if row["task"] == "dense iteration")
    small = next(float(row["seconds"]) for row in rows if row["task"] == "iteration" and row["share"] != 1)
    found: list[Row] = [
        {
            "benchmark": "injection",
            "contender": f"{row['task']}, {row['peak_gib']} GiB"
            + ("" if row["share"] == 1 else ", a ninth of the cells"),
            "value": float(row["seconds"]),
            "unit": "s",
        }
        for row in rows
    ]
    found[-1]["ratio"] = dense / small
    return found


def scale(arguments: argparse.Namespace) -> list[Row]:
    """One outer iteration of the injection attack over 10^5 to 10^7 interactions; ratio: to the smallest, a unit."""
    from benchmark_scale import draw, scale_benchmark

    rows = scale_benchmark()
    draw(rows, arguments.out.parent / "scale.png")
    unit = rows[0]["seconds"] / rows[0]["interactions"]
    return [
        {
            "benchmark": "scale",
            "contender": f"{row['interactions']:,} interactions, {row['peak_gib']} GiB",
            "value": row["seconds"],
            "unit": "s an iteration",
            "ratio": row["seconds"] / row["interactions"] / unit,
        }
        for row in rows
    ]


def neighbors(arguments: argparse.Namespace) -> list[Row]:
    """Item neighbours where most pairs of items share no user: 5,000 users, 20,000 items, 200,000 rows."""
    from benchmark_neighbors import neighbors_benchmark

    return neighbors_benchmark(arguments.rounds)


def curvature(arguments: argparse.Namespace) -> list[Row]:
    """A Hessian-vector product of the rating loss over ml_1m against autograd's, and influence by CG and LiSSA."""
    from benchmark_curvature import curvature_benchmark

    if "RECPOISON_DATA" not in os.environ:
        CONSOLE.print("curvature is left out: set RECPOISON_DATA to the folder that holds ml_1m")
        return []
    return curvature_benchmark(arguments.rounds)


def meta(arguments: argparse.Namespace) -> list[Row]:
    """A meta-gradient through training on ml_100k with as many zeros against autograd's, and what memory it takes."""
    from benchmark_meta_gradient import meta_gradient_benchmark

    if "RECPOISON_DATA" not in os.environ:
        CONSOLE.print("meta is left out: set RECPOISON_DATA to the folder that holds ml_100k")
        return []
    return meta_gradient_benchmark(arguments.rounds)


def nodes(arguments: argparse.Namespace) -> list[Row]:
    """A meta-gradient of metattack on Cora against dense autograd through training."""
    from benchmark_nodes import nodes_benchmark

    if "RECPOISON_DATA" not in os.environ:
        CONSOLE.print("nodes is left out: set RECPOISON_DATA to the folder that holds cora")
        return []
    return nodes_benchmark(arguments.rounds)


def lightgcn(arguments: argparse.Namespace) -> list[Row]:
    """A batch of 2,048 pairs of LightGCN on Gowalla (3 layers, K=64) against autograd through COO and CSR products."""
    from benchmark_lightgcn import lightgcn_benchmark

    if "RECPOISON_DATA" not in os.environ:
        CONSOLE.print("lightgcn is left out: set RECPOISON_DATA to the folder that holds gowalla")
        return []
    return lightgcn_benchmark(arguments.rounds)


def repeats(arguments: argparse.Namespace) -> list[Row]:
    """Wall time of seeds at once against one after the other, in processes of their own with all cores."""
    from benchmark_repeats import repeats_benchmark

    if "RECPOISON_DATA" not in os.environ:
        CONSOLE.print("repeats is left out: set RECPOISON_DATA to the folder that holds ml_100k and filmtrust")
        return []
    return repeats_benchmark(arguments.rounds)


BENCHMARKS = {
    "bpr": bpr,
    "fgsm": fgsm,
    "apr": apr,
    "als": als,
    "evaluation": evaluation,
    "neighbors": neighbors,
    "curvature": curvature,
    "meta": meta,
    "nodes": nodes,
    "injection": injection,
    "scale": scale,
    "lightgcn": lightgcn,
    "repeats": repeats,
    "commands": commands,
}

# beside bpr, apr, als, evaluation and lightgcn, which a device has too
ON_DEVICE = ("bpr_2048", "mf", "bilevel", "repeats_bprmf", "repeats_mf")


def versions() -> dict[str, str]:
    """Machine and packages, written beside every number."""
    found = {"machine": _processor(), "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = ""
    return found


def _processor() -> str:
    names = Path("/proc/cpuinfo")
    lines = names.read_text().splitlines() if names.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def show(rows: list[Row]) -> None:
    """A table on the console."""
    table = Table(
        title="process CPU time, one thread, unless said; on a device wall time; ratio to ours, above 1 is slower"
    )
    for column in COLUMNS:
        table.add_column(column)
    for row in rows:
        cells = (row.get(column, "") for column in COLUMNS)
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells))
    CONSOLE.print(table)


def write(rows: list[Row], path: Path) -> None:
    """One csv, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *versions()], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({**row, **versions()} for row in rows)
    os.replace(partial, path)


def main() -> None:
    """Parse, measure, show, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", nargs="*", choices=[*BENCHMARKS, *ON_DEVICE, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, default=6040)
    parser.add_argument("--items", type=int, default=3706)
    parser.add_argument("--interactions", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmark.csv"))
    parser.add_argument("--device", default="cpu", help="cuda: wall time there, beside torch alone and one core")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if torch.device(arguments.device).type == "cuda":
        from benchmark_device import device_benchmark

        rows = device_benchmark(torch.device(arguments.device), arguments.benchmarks, arguments.rounds)
    else:
        if only := set(arguments.benchmarks) - BENCHMARKS.keys():
            parser.error(f"{', '.join(sorted(only))}: give --device cuda")
        rows = [row for name in arguments.benchmarks or BENCHMARKS for row in BENCHMARKS[name](arguments)]
    show(rows)
    write(rows, arguments.out)
    CONSOLE.print(f"written to {arguments.out}")


if __name__ == "__main__":
    sys.exit(main())
