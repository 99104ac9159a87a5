"""A run as event files for TensorBoard: ``tensorboard --logdir outputs``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from recpoison.trackers.base import Tracker, parameters, scalars

if TYPE_CHECKING:
    from recpoison.records import RunRecord


@dataclass(frozen=True)
class TensorBoardTracker(Tracker):
    """Writes event files.

    Args:
        folder: Where; each run gets a folder in it, named like its own. None: ``tensorboard`` in the run's folder.
    """

    package: ClassVar[str] = "tensorboard"
    folder: str | None = None

    def log(self, record: RunRecord, folder: Path, overrides: list[str]) -> None:
        """Write a scalar for each number and a text for each parameter."""
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(str(self._place(folder.absolute()))) as writer:
            for name, text in parameters(record, overrides).items():
                writer.add_text(f"parameters/{name}", text)
            for scalar in scalars(record):  # in double precision, as in metrics.csv; the old style has single only
                writer.add_scalar(scalar.name, scalar.value, scalar.step, new_style=True, double_precision=True)

    def _place(self, run: Path) -> Path:
        """Two names of the run's folder tell runs apart: date and time, or sweep and cell."""
        return run / "tensorboard" if self.folder is None else Path(self.folder, run.parent.name, run.name)
