"""What a tracker is, and what all of them are told: the numbers of ``metrics.csv`` and the run's parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from recpoison.records import RunRecord

# What may stand in ``trackers`` as a word, for a tracker with its defaults.
TRACKERS = {
    "tensorboard": "recpoison.trackers.tensorboard.TensorBoardTracker",
    "mlflow": "recpoison.trackers.mlflow.MLflowTracker",
    "wandb": "recpoison.trackers.wandb.WandbTracker",
}


@dataclass(frozen=True)
class Tracker(ABC):
    """Sends the numbers of a finished run to another program.

    ``package`` is what it imports, and the extra of recpoison that installs it; empty where it needs nothing.
    """

    package: ClassVar[str] = ""

    @abstractmethod
    def log(self, record: RunRecord, folder: Path, overrides: list[str]) -> None:
        """Send a run. Its files are written by now; an error here costs a warning and no more.

        Args:
            record: What the run found.
            folder: The run's folder.
            overrides: What the user typed.
        """


@dataclass(frozen=True)
class Scalar:
    """One row of ``metrics.csv`` as trackers take it.

    Args:
        name: ``subject/metric@k/attack/defense``; without ``@k`` for metrics without a cutoff.
        step: The seed.
        value: The number.
    """

    name: str
    step: int
    value: float


def scalars(record: RunRecord) -> list[Scalar]:
    """The rows of ``metrics.csv``, in its order."""
    return [
        Scalar(
            f"{m.subject}/{_with_cutoff(m.metric, m.k)}/{r.cell.attack}/{r.cell.defense}", r.cell.seed, float(m.value)
        )
        for r in record.results
        for m in r.measures
    ]


def parameters(record: RunRecord, overrides: Sequence[str]) -> dict[str, str]:
    """The chosen option of each group, ``none`` beside another left out, and what the user typed."""
    labels = {}
    for group in ("dataset", "model", "attack", "defense"):
        names = dict.fromkeys(str(getattr(result.cell, group)) for result in record.results)
        labels[group] = ", ".join(name for name in names if name != "none") or "none"
    return {**labels, "overrides": " ".join(overrides)}


def is_installed(package: str) -> bool:
    """Whether a package can be imported; it is not imported for it. Nothing (an empty name) always can."""
    return not package or find_spec(package) is not None


def _with_cutoff(metric: str, k: int | None) -> str:
    return metric if k is None else f"{metric}@{k}"
