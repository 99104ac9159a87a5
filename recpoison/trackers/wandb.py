"""A run as a run of Weights & Biases."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from recpoison.trackers.base import Tracker, parameters, scalars

if TYPE_CHECKING:
    from recpoison.records import RunRecord

_FOLDER = Path("outputs")  # wandb adds a folder of its own name


@dataclass(frozen=True)
class WandbTracker(Tracker):
    """Logs to Weights & Biases: one step a seed, one metric a number.

    Args:
        project: Name of the project; made if missing.
        mode: ``online``, ``offline`` (files in the folder, sent later by ``wandb sync``) or ``disabled``. None:
            ``$WANDB_MODE``, else what wandb takes, which is online where you have logged in.
        folder: Where its files go, in a folder ``wandb``. None: ``outputs``.
    """

    package: ClassVar[str] = "wandb"
    project: str = "recpoison"
    mode: str | None = None
    folder: str | None = None

    def log(self, record: RunRecord, folder: Path, overrides: list[str]) -> None:
        """Make a run, named like the folder, with a metric for each number and its parameters."""
        import wandb

        place = Path(self.folder) if self.folder else _FOLDER
        place.mkdir(parents=True, exist_ok=True)
        config = parameters(record, overrides) | {"folder": str(folder.absolute())}
        by_seed: dict[int, dict[str, float]] = {}
        for scalar in scalars(record):
            by_seed.setdefault(scalar.step, {})[scalar.name] = scalar.value
        with wandb.init(
            project=self.project, name=folder.name, dir=str(place), config=config, mode=self.mode, reinit="create_new"
        ) as run:
            run.define_metric("seed")
            run.define_metric("*", step_metric="seed")
            for seed in sorted(by_seed):
                run.log({"seed": seed, **by_seed[seed]})
