"""The cells of a sweep and how far each is, as their files tell."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recpoison.command import cells
from recpoison.command.cells import Status


@dataclass(frozen=True)
class Board:
    """The cells of a sweep and their status on disk.

    Args:
        folder: The sweep's.
        cells: The overrides of each cell, by hash; None where nobody knows them before they run.
    """

    folder: Path
    cells: dict[str, list[str]] | None

    def statuses(self) -> dict[str, Status]:
        """The status of each cell, ``pending`` where there is none yet."""
        if self.cells is None:
            found = {path.parent.name: cells.read_status(path.parent) for path in self.folder.glob(f"*/{cells.STATUS}")}
            return {cell: status for cell, status in found.items() if status}
        return {
            cell: cells.read_status(self.folder / cell) or Status("pending", cell, overrides=overrides)
            for cell, overrides in self.cells.items()
        }

    def strangers(self) -> int:
        """Finished cells in the folder that this command does not name."""
        finished = {path.parent.name for path in self.folder.glob("*/metrics.csv")}
        return len(finished - set(self.cells)) if self.cells is not None else 0
