"""One place where a run's stages are timed, reused from the store and told to the reader."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from recpoison.descriptions import digest
from recpoison.progress import Progress
from recpoison.records import Cost
from recpoison.stages.store import Store
from recpoison.training.checkpoint import Checkpoint

Value = TypeVar("Value")

# What a kill may cost; a checkpoint of a 100 MB model takes well under a second.
CHECKPOINT_SECONDS = 120.0


class Stages:
    """Runs the stages of a run and keeps their costs.

    Args:
        store: Where finished stages are kept; None keeps none.
        progress: Hears about each stage.
        device: Where tensors live.
        checkpoint_seconds: Time between two checkpoints of a loop, in the store; None writes them at signals only.
    """

    def __init__(
        self,
        store: Store | None,
        progress: Progress,
        device: torch.device,
        checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
    ) -> None:
        self.store = store
        self.progress = progress
        self.device = device
        self.checkpoint_seconds = math.inf if checkpoint_seconds is None else checkpoint_seconds
        self.costs: list[Cost] = []
        self.seed = 0
        self.cell = ""

    @property
    def arithmetic(self) -> str:
        """What of the device a number depends on beyond rounding: its kind, and whether CUDA must be deterministic."""
        exact = self.device.type == "cuda" and torch.are_deterministic_algorithms_enabled()
        return f"{self.device.type}, deterministic" if exact else self.device.type

    def obtain(
        self,
        stage: str,
        title: str,
        inputs: dict[str, Any],
        compute: Callable[[Progress], Value],
        save: Callable[[Value, Path], None],
        load: Callable[[Path], Value],
    ) -> Value:
        """The value of a stage, computed or found.

        Args:
            stage: Its kind, such as ``fit``.
            title: What a reader is told.
            inputs: Everything that can affect it, in plain values.
            compute: Makes the value; loops in it go on from their checkpoints through the progress it is given.
            save: Writes it into a folder.
            load: Reads it back.
        """
        if self.store is None:
            value, seconds, peak = self._timed(title, self.progress, compute)
            reused = False
        else:
            key = digest(inputs)
            with Checkpoint(self.progress, self.store.part(stage, key), self.checkpoint_seconds) as progress:

                def timed() -> tuple[Value, float, float]:
                    value, seconds, peak = self._timed(title, progress, compute)
                    return value, seconds + progress.earlier_seconds, peak

                value, entry, reused = self.store.obtain(stage, key, inputs, timed, save, load, title)
            seconds, peak = entry.seconds, entry.peak_mb
        if reused:
            self.progress.reused(title)
        self.costs.append(Cost(stage, self.cell, self.seed, seconds, peak, reused))
        return value

    def _timed(
        self, title: str, progress: Progress, compute: Callable[[Progress], Value]
    ) -> tuple[Value, float, float]:
        with progress.stage(title):
            start = time.perf_counter()
            value = compute(progress)
            return value, time.perf_counter() - start, peak_mb(self.device)


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
