"""What tests of the command and of sweeps share: a run that takes a tenth of a second, and looking at what it left."""

from __future__ import annotations

import json
from pathlib import Path

SMALL = ["dataset=planted", "dataset.n_users=40", "model=popularity", "attack=bandwagon", "attack.budget=0.1"]
SMALL += ["evaluation.cutoffs=[5]"]


def statuses(folder: Path | str) -> dict[str, dict]:
    """What each cell of a sweep says of itself, by what was typed last for it."""
    found = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*/status.json"))]
    return {status["overrides"][-1]: status for status in found}


def results(folder: Path | str) -> dict[str, bytes]:
    """``metrics.csv`` of each cell of a sweep."""
    return {path.parent.name: path.read_bytes() for path in Path(folder).glob("*/metrics.csv")}


def write_table(path: Path | str, step: int = 3) -> None:
    """A csv file of 30 users with 6 of 20 items each; another ``step`` gives other rows."""
    rows = [f"{user},{(user * step + number * number) % 20}" for user in range(30) for number in range(6)]
    Path(path).write_text("\n".join(["user,item", *rows]) + "\n")
