"""One seed of a run: what all its stages share, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recpoison.data.pairs import distinct
from recpoison.data.splitting import Split
from recpoison.errors import ConfigError
from recpoison.parts import Parts, Square
from recpoison.seeds import Seeds
from recpoison.stages.base import Obtain, Promise, Stage, Value
from recpoison.stages.split import SplitStage

Begin = Callable[[Parts, Seeds, Split, torch.device], "Trial"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One seed of a run. All its squares share the split, the targets and the initial values of real users and items.

    Args:
        parts: What the run is made of.
        seeds: The seed's streams.
        split: The rows to learn from and to be judged by.
        targets: ``(n_targets,)`` items that the attack is about.
        device: Where tensors live.
        elsewhere: The trial in which the attack is crafted, where that is not this one.
    """

    parts: Parts
    seeds: Seeds
    split: Split
    targets: np.ndarray
    device: torch.device
    elsewhere: Trial | None = None

    @property
    def crafting(self) -> Trial:
        """The trial in which the attack is crafted."""
        return self.elsewhere or self

    @property
    def base_inputs(self) -> dict[str, Any]:
        """What every number of this seed depends on beside its own inputs."""
        return {"seed": self.seeds.seed, "device": arithmetic(self.device)}


def begin(parts: Parts, seeds: Seeds, split: Split, device: torch.device) -> Trial:
    """A trial, checked before anything is fitted.

    Raises:
        ConfigError: If the split cannot be measured so, targets cannot be chosen, or nothing would be measured.
    """
    split = parts.evaluation.judged(split)
    parts.evaluation.check_split(split)
    parts.defense.check_data(split.train)
    targets = parts.attack.choose_targets(split.train, seeds)
    parts.evaluation.check_targets(len(targets))
    return Trial(parts, seeds, split, targets, device)


def open_trial(
    parts: Parts, seeds: Seeds, data_dir: Path | None, device: torch.device, obtain: Obtain, begin: Begin = begin
) -> Trial:
    """The trial of a seed; where the attack is crafted with another seed, that one's split and targets beside it.

    Args:
        parts: What the run is made of.
        seeds: The seed's streams.
        data_dir: Folder of the datasets; None means the default.
        device: Where tensors live.
        obtain: Gives the value of a stage.
        begin: Makes a trial of a split.

    Raises:
        ConfigError: As ``begin``, or if the fake users of one seed cannot join the data of another.
    """

    def opened(seeds: Seeds) -> Trial:
        return begin(parts, seeds, obtain(SplitStage(parts, seeds, data_dir)), device)

    trial = opened(seeds)
    if parts.attack.crafted_with in (None, seeds.seed):
        return trial
    elsewhere = opened(Seeds(parts.attack.crafted_with))
    _check_alike(trial, elsewhere)
    return replace(trial, targets=elsewhere.targets, elsewhere=elsewhere)


def _check_alike(trial: Trial, elsewhere: Trial) -> None:
    """Refuse to carry fake users over to data with other rows: the same numbers would be other users and items."""
    here, there = trial.split, elsewhere.split
    if isinstance(here, Promise) or isinstance(there, Promise) or np.array_equal(_pairs(here), _pairs(there)):
        return
    one, other = elsewhere.seeds.seed, trial.seeds.seed
    raise ConfigError(
        f"attack.craft_seed is {one}, but the data of seeds {one} and {other} have other rows (made or sampled anew "
        "for each seed): set attack.craft_seed=null"
    )


def _pairs(split: Split) -> np.ndarray:
    """Who has what, in training or held out, sorted."""
    whole = split.whole
    return np.append(distinct(whole.users * whole.n_items + whole.items), whole.n_items)


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
