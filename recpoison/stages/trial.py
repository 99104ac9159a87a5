"""One seed of a run: what all its stages share, made once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recpoison.data.splitting import Split
from recpoison.parts import Parts, Square
from recpoison.seeds import Seeds
from recpoison.stages.base import Stage, Value


@dataclass(frozen=True, eq=False)
class Trial:
    """One seed of a run. All its squares share the split, the targets and the initial values of real users and items.

    Args:
        parts: What the run is made of.
        seeds: The seed's streams.
        split: The rows to learn from and to be judged by.
        targets: ``(n_targets,)`` items that the attack is about.
        device: Where tensors live.
    """

    parts: Parts
    seeds: Seeds
    split: Split
    targets: np.ndarray
    device: torch.device

    @property
    def base_inputs(self) -> dict[str, Any]:
        """What every number of this seed depends on beside its own inputs."""
        return {"seed": self.seeds.seed, "device": arithmetic(self.device)}


def begin(parts: Parts, seeds: Seeds, split: Split, device: torch.device) -> Trial:
    """A trial, checked before anything is fitted.

    Raises:
        ConfigError: If the split cannot be measured so, targets cannot be chosen, or nothing would be measured.
    """
    parts.evaluation.check_split(split)
    targets = parts.attack.choose_targets(split.train, seeds)
    parts.evaluation.check_targets(len(targets))
    return Trial(parts, seeds, split, targets, device)


class TrialStage(Stage[Value]):
    """A stage of one square of a trial.

    Args:
        trial: The seed.
        square: The attack and the defense.
    """

    def __init__(self, trial: Trial, square: Square) -> None:
        self.trial, self.square = trial, square

    @property
    def seed(self) -> int:
        """The trial's."""
        return self.trial.seeds.seed

    @property
    def cell(self) -> str:
        """``attack/defense``."""
        return self.square.name

    @property
    def _on_data(self) -> str:
        return f"on {self.trial.parts.label('dataset')}"

    @property
    def _victim(self) -> str:
        return f"{self.trial.parts.label('model')} {self._on_data} ({self.cell})"


def arithmetic(device: torch.device) -> str:
    """What of the device a number depends on beyond rounding: its kind, and whether CUDA must be deterministic."""
    exact = device.type == "cuda" and torch.are_deterministic_algorithms_enabled()
    return f"{device.type}, deterministic" if exact else device.type
