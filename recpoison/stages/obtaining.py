"""One place where a run's stages are timed, reused from the store and told to the reader."""

from __future__ import annotations

import math
import sys
import time

import torch

from recpoison.descriptions import digest
from recpoison.progress import Progress
from recpoison.records import Cost
from recpoison.stages.base import Stage, Value
from recpoison.stages.store import Store
from recpoison.training.checkpoint import Checkpoint
from recpoison.training.signals import Signals

# What a kill may cost; a checkpoint of a 100 MB model takes well under a second.
CHECKPOINT_SECONDS = 120.0


class Stages:
    """Runs the stages of a run and keeps their costs.

    Args:
        store: Where finished stages are kept; None keeps none.
        progress: Hears about each stage.
        device: Where tensors live.
        checkpoint_seconds: Time between two checkpoints of a loop, in the store; None writes them at signals only.
        signals: Who hears signals, where stages run in several threads.
    """

    def __init__(
        self,
        store: Store | None,
        progress: Progress,
        device: torch.device,
        checkpoint_seconds: float | None = CHECKPOINT_SECONDS,
        signals: Signals | None = None,
    ) -> None:
        self.store = store
        self.progress = progress
        self.device = device
        self.checkpoint_seconds = math.inf if checkpoint_seconds is None else checkpoint_seconds
        self.signals = signals
        self.costs: list[Cost] = []

    def obtain(self, stage: Stage[Value]) -> Value:
        """The value of a stage, computed or found."""
        title = stage.title
        if self.store is None:
            value, seconds, peak = self._timed(stage, self.progress)
            reused = False
        else:
            inputs = stage.inputs
            key = digest(inputs)
            folder = self.store.part(stage.kind, key)
            with Checkpoint(self.progress, folder, self.checkpoint_seconds, self.signals) as progress:

                def timed() -> tuple[Value, float, float]:
                    value, seconds, peak = self._timed(stage, progress)
                    return value, seconds + progress.earlier_seconds, peak

                value, entry, reused = self.store.obtain(stage.kind, key, inputs, timed, stage.save, stage.load, title)
            seconds, peak = entry.seconds, entry.peak_mb
        if reused:
            self.progress.reused(_seeded(stage))
        self.costs.append(Cost(stage.kind, stage.cell, stage.seed, seconds, peak, reused))
        return value

    def _timed(self, stage: Stage[Value], progress: Progress) -> tuple[Value, float, float]:
        with progress.stage(_seeded(stage)):
            start = time.perf_counter()
            value = stage.compute(progress)
            return value, time.perf_counter() - start, peak_mb(self.device)


def _seeded(stage: Stage) -> str:
    return f"{stage.title}, seed {stage.seed}"


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
