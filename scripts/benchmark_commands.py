"""What the command itself costs: a sweep's plan against each cell alone, and where a short run's seconds go."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

from hydra.types import RunMode

from recpoison.command.overrides import Job, compose_sweep, conf_dir
from recpoison.paths import ROOT_CONFIG
from recpoison.sweeps.inventory import Stocktaking

Row = dict[str, object]
PLAN = ["experiment=audit_thorough", "dataset=filmtrust", "store_dir=null"]
ALONE = 12  # cells of the plan that are also done alone
SHORT = ["-m", "recpoison.train_attack_eval", "dataset=ml_1m", "model=popularity", "attack=none", "store_dir=null"]
STARTS = {
    "popularity on ml_1m": SHORT,
    "of it: torch, numba, pandas and scipy.sparse alone": ["-c", "import torch, numba, pandas, scipy.sparse"],
    "of it: torch alone": ["-c", "import torch"],
    "the same run of a planted dataset": [*SHORT[:2], "dataset=planted", *SHORT[3:]],
}


def commands(arguments: argparse.Namespace) -> list[Row]:
    """The plan of ``audit_thorough``, a cell; and CPU seconds of a short run beside what it starts."""
    if "RECPOISON_DATA" not in os.environ:
        return []
    return [*_plan(), *_starts(arguments.rounds)]


def _plan() -> list[Row]:
    """CPU seconds a cell, once the libraries are loaded: all cells as ``sweep.plan`` does, and some each alone."""
    for job in compose_sweep([*PLAN, "model=item_knn", "defense=filter"]).jobs or []:
        Stocktaking((), looking=False).needs_of(job)  # what is loaded once
    start, jobs = time.process_time(), compose_sweep(PLAN).jobs or []
    together = Stocktaking((), looking=False)
    for job in jobs:
        together.needs_of(job)
    ours = (time.process_time() - start) / len(jobs)
    start, some = time.process_time(), jobs[:: len(jobs) // ALONE]
    with conf_dir() as hydra:
        loader = hydra.config_loader
        shared = loader.load_configuration(ROOT_CONFIG, PLAN, run_mode=RunMode.MULTIRUN)
        for job in some:
            alone = Job(job.overrides, loader.load_sweep_config(shared, job.overrides))
            Stocktaking((), looking=False).needs_of(alone)
    theirs = (time.process_time() - start) / len(some)
    name = f"plan of {len(jobs)} cells"
    return [
        _row("plan", f"{name}, what they share once", [ours], "CPU s a cell", 1.0),
        _row("plan", f"{name}, each alone", [theirs], "CPU s a cell", theirs / ours),
    ]


def _starts(rounds: int) -> list[Row]:
    """CPU seconds of whole processes that take turns; the ratio is that to the first."""
    taken: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(rounds):
        for name, words in STARTS.items():
            taken[name].append(_cpu_seconds(words))
    whole = _median(taken["popularity on ml_1m"])
    return [_row("start", name, seconds, "CPU s", _median(seconds) / whole) for name, seconds in taken.items()]


def _cpu_seconds(words: list[str]) -> float:
    """User and system time of a Python process."""
    before = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
    return sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - before


def _median(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


def _row(benchmark: str, contender: str, values: list[float], unit: str, ratio: float) -> Row:
    figures = {"value": _median(values), "low": min(values), "high": max(values)}
    return {"benchmark": benchmark, "contender": contender, **figures, "unit": unit, "ratio": ratio}
