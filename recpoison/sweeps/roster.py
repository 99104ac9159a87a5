"""What every process of a sweep knows of the whole: its cells in the order typed, what differs, what is still to do."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from recpoison.command import cells
from recpoison.drafts import clear_abandoned, draft_of
from recpoison.paths import ROSTER
from recpoison.progress import duration
from recpoison.report.live import Overview


@dataclass(frozen=True)
class Roster:
    """The cells of a sweep, as the command that began it leaves them in the sweep's folder.

    Args:
        cells: What differs from the others, by cell, in the order typed. Cells of earlier commands in the same folder
            stand behind.
        count: How many of them are this command's.
        todo: Of the cells that this command is to do, the seconds that each may take; None where nobody knows.
    """

    cells: dict[str, list[str]] = field(default_factory=dict)
    count: int = 0
    todo: dict[str, float | None] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it, whole or not at all; what an earlier command left is kept behind.

        Raises:
            OSError: If it cannot be written.
        """
        earlier = {cell: differs for cell, differs in read_roster(folder).cells.items() if cell not in self.cells}
        draft = draft_of(folder / ROSTER)
        try:
            clear_abandoned(folder / ROSTER)
            content = asdict(self) | {"cells": self.cells | earlier}
            draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            os.replace(draft, folder / ROSTER)
        finally:
            draft.unlink(missing_ok=True)

    def name(self, cell: str, overrides: list[str]) -> str:
        """How lines name a cell, such as ``cell 3 of 12 (model=mf)``; by its hash where it is not on the list."""
        place = list(self.cells).index(cell) + 1 if cell in self.cells else self.count + 1
        if place > self.count:
            return f"cell {cell} ({' '.join(overrides)})"
        differs = " ".join(self.cells[cell])
        return f"cell {place} of {self.count}" + (f" ({differs})" if differs else "")

    def overview(self, folder: Path, cell: str, overrides: list[str]) -> Overview | None:
        """Where the sweep is as a cell begins; None where the cell is not on the list."""
        if cell not in self.todo:
            return None
        statuses = {each: cells.read_status(folder / each) for each in self.todo}
        taken = {each: status.seconds for each, status in statuses.items() if status and status.status == "done"}
        over = [each for each, status in statuses.items() if status and status.status in ("done", "failed")]
        running = sum(1 for each, status in statuses.items() if each != cell and status and status.status == "running")
        left = [each for each in self.todo if each != cell and each not in over]
        said = _countdown(self._prices(taken), cell, left, at_once=1 + running)
        return Overview(self.name(cell, overrides), self.count - len(self.todo) + len(over), self.count, said)

    def _prices(self, taken: Mapping[str, float]) -> dict[str, float] | None:
        """The seconds of each cell to do: as foretold, corrected by what cells took so far; None where nobody knows.

        The first cell also loads libraries and compiles: it counts only while there is no other.
        """
        counted = dict(list(taken.items())[1:]) or dict(taken)
        foretold = {cell: seconds for cell, seconds in self.todo.items() if seconds}
        both = [cell for cell in counted if cell in foretold]
        told = sum(foretold[cell] for cell in both)
        pace = sum(counted[cell] for cell in both) / told if told and len(taken) > 1 else 1.0
        usual = [seconds * pace for seconds in foretold.values()] if not counted else list(counted.values())
        if not usual:
            return None
        mean = sum(usual) / len(usual)
        return {cell: mean if seconds is None else seconds * pace for cell, seconds in self.todo.items()}


def read_roster(folder: Path) -> Roster:
    """The roster in a sweep's folder; an empty one where there is none that can be read."""
    try:
        content = json.loads((folder / ROSTER).read_text(encoding="utf-8"))
        return Roster(**{item.name: content[item.name] for item in fields(Roster)})
    except (OSError, ValueError, KeyError, TypeError):
        return Roster()


def what_differs(overrides: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Of what is typed for each cell, what is not typed for all."""
    shared = set.intersection(*map(set, overrides.values())) if overrides else set()
    return {cell: [text for text in texts if text not in shared] for cell, texts in overrides.items()}


def _countdown(
    prices: Mapping[str, float] | None, cell: str, others: list[str], at_once: int
) -> Callable[[], str] | None:
    """What tells the time left for the whole sweep while a cell runs; None where nobody knows."""
    if prices is None:
        return None
    begun, rest = time.monotonic(), sum(prices[each] for each in others) / at_once

    def left() -> str:
        return f"~{duration(rest + max(0.0, prices[cell] - (time.monotonic() - begun)))}"

    return left
