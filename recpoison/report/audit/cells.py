"""What the runs of an audit measured, a row for each victim, target, attack, number of fake users and seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from recpoison.report.runs import Run

PLACE = ["victim", "bucket", "draw"]  # one attacked item on one victim
REACHED = ("target", "HR")
_COLUMNS = [*PLACE, "attack", "defense", "budget", "seed", "value", "clean", "run"]


@dataclass(frozen=True, eq=False)
class Cells:
    """Shares of users who have the target among their first items.

    Args:
        frame: One row a number: ``victim``, ``bucket`` (rule by which the target was drawn), ``draw`` (the seed that
            drew it), ``attack``, ``defense``, ``budget`` (fake users), ``seed``, ``value``, ``clean`` (the same without
            the attack) and ``run`` (its place in ``runs``).
        runs: What they were read from.
        k: Length of the lists.
        n_users: Real users.
    """

    frame: pd.DataFrame
    runs: tuple[Run, ...]
    k: int
    n_users: int

    @property
    def largest(self) -> int:
        """The most fake users."""
        return int(self.frame.budget.max())

    def undefended(self) -> pd.DataFrame:
        """The rows of victims without a defense, each number once."""
        return self.frame[self.frame.defense == "none"]

    def config(self, run: int, key: str) -> Any:
        """A setting of a run."""
        return self.runs[run].config.get(key)


def cells_of(runs: Sequence[Run]) -> Cells | None:
    """The cells of runs on one dataset; None where no run has a curve of targets over fake users."""
    rows = [row for number, run in enumerate(runs) for row in _rows(number, run)]
    if not rows:
        return None
    k = 10 if any(row["k"] == 10 for row in rows) else min(row["k"] for row in rows)
    frame = pd.DataFrame([row for row in rows if row["k"] == k])[_COLUMNS]
    once = [name for name in _COLUMNS if name not in ("value", "clean", "run")]
    frame = frame.drop_duplicates(once).reset_index(drop=True)
    sizes = [facts["users"] for run in runs for facts in run.about.get("data", {}).values() if "users" in facts]
    return Cells(frame, tuple(runs), int(k), int(max(sizes, default=0)))


def attack_name(run: Run) -> str:
    """What a table calls the attack of a run: its ``setting``, which tells apart two that differ in their surrogate."""
    setting = next((text.partition("=")[2] for text in run.overrides if text.startswith("setting=")), "")
    return setting.removeprefix("audit_") or attack_label(run)


def attack_label(run: Run) -> str:
    """What the files of a run call its attack."""
    return next((str(name) for name in run.metrics.attack.unique() if name != "none"), "none")


def _rows(number: int, run: Run) -> Iterator[dict[str, Any]]:
    along = run.curve[(run.curve.along == "fake_users") & _is_reached(run.curve)]
    if along.empty:
        return
    draw = run.config.get("attack.craft_seed")
    where = {
        "victim": str(run.metrics.model.iloc[0]),
        "bucket": str(run.config.get("attack.targets.rule")),
        "attack": attack_name(run),
        "run": number,
    }
    clean = {(row.seed, row.k): row.value for row in along[along["at"] == 0].itertuples()}
    for row in along[along["at"] > 0].itertuples():
        own = {"draw": row.seed if draw is None else int(draw), "defense": "none", "budget": int(row.at)}
        yield where | own | {"seed": row.seed, "k": row.k, "value": row.value, "clean": clean[row.seed, row.k]}
    yield from _defended(run, where | {"budget": int(along["at"].max())}, draw)


def _defended(run: Run, where: dict[str, Any], draw: Any) -> Iterator[dict[str, Any]]:
    numbers = run.metrics[_is_reached(run.metrics) & (run.metrics.defense != "none")]
    clean = {(row.defense, row.seed, row.k): row.value for row in numbers[numbers.attack == "none"].itertuples()}
    for row in numbers[numbers.attack != "none"].itertuples():
        own = {"draw": row.seed if draw is None else int(draw), "defense": row.defense, "seed": row.seed, "k": row.k}
        yield where | own | {"value": row.value, "clean": clean.get((row.defense, row.seed, row.k), float("nan"))}


def _is_reached(frame: pd.DataFrame) -> pd.Series:
    return (frame.subject == REACHED[0]) & (frame.metric == REACHED[1])
