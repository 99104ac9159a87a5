"""The stage that crafts a change of the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from recpoison.attacks import taking
from recpoison.border import called, method
from recpoison.changes import FakeProfiles
from recpoison.crafted import holders, lacking_targets
from recpoison.descriptions import code_version, identity
from recpoison.edge_flips import EdgeFlips
from recpoison.progress import Progress
from recpoison.stages.base import Promise
from recpoison.stages.trial import TrialStage

Poison = FakeProfiles | EdgeFlips


class ChangeStage(TrialStage[Poison]):
    """What the attack of a square does to the training rows."""

    kind = "change"
    priced_by = ("attack",)

    @property
    def title(self) -> str:
        """``craft ATTACK on DATA``."""
        return f"craft {self.square.attack_label} {self._on_data}"

    @property
    def inputs(self) -> dict[str, Any]:
        """The attack, the rows it sees, its targets."""
        reads = self.square.attack.planned.reads
        files = {} if reads is None else {"reads": reads}
        return (
            self.trial.base_inputs
            | files
            | {
                "attack": identity(self.square.attack.planned),
                "data": self.trial.split.train.fingerprint,
                "targets": self.trial.targets.tolist(),
                "code": code_version(self.square.attack),
            }
        )

    def compute(self, progress: Progress) -> Poison:
        """Craft it."""
        trial, poison = self.trial, self.square.attack.planned.poison
        given = called(poison, trial.split.train, trial.targets, trial.seeds, trial.device, progress)
        change = taking.poison(given, trial.split.train, method(poison))
        for note in self._notes(change):
            progress.note(note)  # before the fits that it may not be worth
        return change

    def _notes(self, change: Poison) -> list[str]:
        if not isinstance(change, FakeProfiles):
            return []
        return lacking_targets(self.square.attack_label, self.square.attack, [holders(change, self.trial.targets)])

    def save(self, value: Poison, folder: Path) -> None:
        """One npz."""
        value.save(folder / "change.npz")

    def load(self, folder: Path) -> Poison:
        """The same change."""
        return cast(Poison, self.square.attack.crafts.load(folder / "change.npz"))

    def promise(self, key: str) -> Poison:
        """A change that nobody has crafted."""
        return cast(Poison, Promise(key))
