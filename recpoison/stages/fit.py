"""The stage that fits the victim, and the curve of that fit."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from recpoison.border import called, in_words, method, named_tensors
from recpoison.curves import Curve
from recpoison.data.arrays import save_arrays
from recpoison.data.interactions import Interactions
from recpoison.data.notes import Heard
from recpoison.defenses.base import Defense
from recpoison.descriptions import code_version, identity
from recpoison.errors import IncompatibleParts, UserError
from recpoison.evaluation.learning import Losses
from recpoison.models.base import Fitted, Model, load_params, save_params
from recpoison.parts import Square
from recpoison.progress import Progress
from recpoison.stages import watching
from recpoison.stages.trial import Trial, TrialStage

_CURVE = "curve.npz"
_OF_USERS = ("removed", "suspicion", "weights")  # what a defense thought of them: fields of Fitted, and files
_LOSSES = "losses.npz"


class Fit(NamedTuple):
    """A fitted victim.

    Args:
        fitted: The model and its numbers.
        curve: Of the fit, where asked for.
        losses: Of its first and last epoch, where a loop over epochs told them from its start.
    """

    fitted: Fitted
    curve: Curve
    losses: Losses | None = None


class FitStage(TrialStage[Fit]):
    """The victim, fitted under the defense of a square.

    Args:
        trial: The seed.
        square: The attack and the defense.
        data: What it is fitted on, fake users included.
    """

    kind = "fit"
    priced_by = ("model", "defense")

    def __init__(self, trial: Trial, square: Square, data: Interactions) -> None:
        super().__init__(trial, square)
        self.data = data

    @property
    def title(self) -> str:
        """``fit MODEL on DATA (SQUARE)``."""
        return f"fit {self._victim}"

    @cached_property
    def lineage(self) -> dict[str, Any]:
        """All that the fitted numbers depend on.

        Watching changes no number, so that what is made of a fit is the same with its curve and without.
        """
        model, defense = self.trial.parts.model, self.square.defense
        lineage = self.trial.base_inputs | {
            "model": identity(model),
            "defense": identity(defense),
            "data": self.data.fingerprint,
            "selection": watching.selection_inputs(self.trial),
            "code": code_version(model, defense),
        }
        return lineage | ({"before": self.trial.split.train.fingerprint} if defense.told else {})

    @property
    def inputs(self) -> dict[str, Any]:
        """The lineage, and what the curve depends on where one is drawn."""
        every = self.trial.parts.evaluation.curve_epochs
        if every is None:
            return self.lineage
        return self.lineage | {"curve": watching.look_inputs(self.trial) | {"every": every}}

    def compute(self, progress: Progress) -> Fit:
        """Fit it."""
        trial, model = self.trial, self.trial.parts.model
        look = watching.looker(trial)
        monitor, watch = watching.monitor_of(trial, self.data, look)
        defense = self.square.defense
        heard = _HeardLosses(progress)
        told = (trial.split.train,) if defense.told else ()
        given = called(defense.fit, model, self.data, trial.seeds, trial.device, heard, monitor, *told)
        fitted = _checked(given, model, self.data, defense, trial.device)
        return Fit(fitted, watching.curve_of_fit(watch, fitted, look), heard.losses)

    def save(self, value: Fit, folder: Path) -> None:
        """The parameters as safetensors; what a defense thought of users, losses and curve if there are such."""
        save_params(value.fitted.params, folder / "params.safetensors")
        for name in _OF_USERS:
            if (thought := getattr(value.fitted, name)) is not None:
                save_arrays({"users": thought}, folder / f"{name}.npz")
        if value.curve.rows:
            value.curve.save(folder / _CURVE)
        if value.losses is not None:
            save_arrays({"losses": np.array(value.losses)}, folder / _LOSSES)

    def load(self, folder: Path) -> Fit:
        """The same numbers on the trial's device."""
        params = load_params(folder / "params.safetensors", self.trial.device)
        curve = Curve.load(folder / _CURVE) if (folder / _CURVE).exists() else Curve()
        of_users = {name: _array(folder / f"{name}.npz", "users") for name in _OF_USERS}
        losses = _array(folder / _LOSSES, "losses")
        told = None if losses is None else Losses(*losses.tolist())
        return Fit(Fitted(self.trial.parts.model, params, self.data, **of_users), curve, told)

    def promise(self, key: str) -> Fit:
        """A model without numbers."""
        return Fit(Fitted(self.trial.parts.model, {}, self.data), Curve())


class _HeardLosses(Heard):
    """Passes everything on, and keeps the losses of the last loop over epochs.

    Attributes:
        losses: None where no loop tells a loss, or it went on from a checkpoint, so that its start is not known.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self.losses: Losses | None = None
        self._first: float | None = None

    def step(self, done: int, total: int, **figures: float) -> None:
        """Keep what is told as ``loss``."""
        loss = figures.get("loss")
        if done == 1:
            self._first, self.losses = loss, None
        if done == total > 1 and loss is not None and self._first is not None:
            self.losses = Losses(float(self._first), float(loss))
        super().step(done, total, **figures)


def _array(file: Path, name: str) -> np.ndarray | None:
    """An array that a fit has where there is such a thing."""
    if not file.exists():
        return None
    with np.load(file, allow_pickle=False) as arrays:
        return cast(np.ndarray, arrays[name])


def _checked(fitted: object, model: Model, data: Interactions, defense: Defense, device: torch.device) -> Fitted:
    """What the store relies on: a defense returns numbers for the model it was given."""
    source = method(defense.fit)
    if not isinstance(fitted, Fitted):
        raise UserError(f"{source} gave {in_words(fitted)}: a Fitted with the model that it was given is expected")
    if fitted.model != model:
        raise IncompatibleParts("a defense returned another model than it was given: what changes scores is a model")
    return replace(fitted, params=named_tensors(fitted.params, source, device), data=data)
