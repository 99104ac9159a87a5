"""One place where a run's stages are timed, reused from the store and told to the reader."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from recpoison.descriptions import digest
from recpoison.progress import Progress
from recpoison.records import Cost
from recpoison.store import Store

Value = TypeVar("Value")


class Stages:
    """Runs the stages of a run and keeps their costs.

    Args:
        store: Where finished stages are kept; None keeps none.
        progress: Hears about each stage.
        device: Where tensors live, for the memory figure.
    """

    def __init__(self, store: Store | None, progress: Progress, device: torch.device) -> None:
        self.store = store
        self.progress = progress
        self.device = device
        self.costs: list[Cost] = []
        self.seed = 0
        self.cell = ""

    def obtain(
        self,
        stage: str,
        title: str,
        inputs: dict[str, Any],
        compute: Callable[[], Value],
        save: Callable[[Value, Path], None],
        load: Callable[[Path], Value],
    ) -> Value:
        """The value of a stage, computed or found.

        Args:
            stage: Its kind, such as ``fit``.
            title: What a reader is told.
            inputs: Everything that can affect it, in plain values.
            compute: Makes the value.
            save: Writes it into a folder.
            load: Reads it back.
        """

        def timed() -> tuple[Value, float, float]:
            with self.progress.stage(title):
                start = time.perf_counter()
                value = compute()
                return value, time.perf_counter() - start, peak_mb(self.device)

        if self.store is None:
            value, seconds, peak = timed()
            reused = False
        else:
            value, entry, reused = self.store.obtain(stage, digest(inputs), inputs, timed, save, load)
            seconds, peak = entry.seconds, entry.peak_mb
        if reused:
            self.progress.reused(title)
        self.costs.append(Cost(stage, self.cell, self.seed, seconds, peak, reused))
        return value


def peak_mb(device: torch.device) -> float:
    """Highest memory so far, MB: the device's on CUDA, else the process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
