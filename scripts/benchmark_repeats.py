"""Seeds of a run at once against one after the other: wall time in fresh processes that take turns, no store."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

Row = dict[str, object]
RUNS = {
    "bprmf on ml_100k, R=8": ["dataset=ml_100k", "model=bprmf", "attack=none", "repeats=8"],
    "mf on filmtrust, R=30": ["dataset=filmtrust", "model=mf", "attack=none", "repeats=30"],
}


def repeats_benchmark(rounds: int) -> list[Row]:
    """One row for each run and way; the ratio is that of the median to all seeds at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows: list[Row] = []
    for name, words in RUNS.items():
        ways = {f"{name}, {cores} at once": cores, f"{name}, one after the other": 1}
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, workers in ways.items():
                taken[way].append(_seconds([*words, f"workers={workers}"]))
        ours = sorted(next(iter(taken.values())))[rounds // 2]
        for way, seconds in taken.items():
            median = sorted(seconds)[rounds // 2]
            rows.append(
                {
                    "benchmark": "repeats",
                    "contender": way,
                    "value": median,
                    "low": min(seconds),
                    "high": max(seconds),
                    "unit": "s wall time",
                    "ratio": median / ours,
                }
            )
    return rows


def _seconds(words: list[str]) -> float:
    """Wall time of the command, started and ended, with one thread a seed."""
    free = {name: text for name, text in os.environ.items() if not name.endswith("_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "recpoison.train_attack_eval", *words, "store_dir=null"],
            cwd=folder,
            env=free,
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - start
