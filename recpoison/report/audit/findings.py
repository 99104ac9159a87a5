"""What an audit found: how far each victim's targets come, beside what retraining alone does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from recpoison.evaluation.significance import paired_t
from recpoison.report.audit.autoshill import worst_case
from recpoison.report.audit.cells import Cells, cells_of
from recpoison.report.runs import Run, Runs, Undefined

LEVELS = (0.01, 0.1, 0.5)  # shares of users
HELPS = 0.75  # a defense helps where less than this share of what was reached is left


class Reach(NamedTuple):
    """A share of users, over seeds.

    Args:
        mean: The mean.
        sd: Over seeds; nan with a single one.
        n: Seeds.
        low: Lower end of the 95% interval by Student's t, not below 0; nan where seeds have no spread.
        high: Its upper end, not above 1.
    """

    mean: float
    sd: float
    n: int
    low: float
    high: float


def reach(rows: pd.DataFrame, column: str = "value") -> Reach:
    """The mean over seeds of what is, for each seed, the mean over drawn targets."""
    values = rows.groupby("seed")[column].mean().to_numpy(float)
    _, low, high = paired_t(np.zeros(len(values)), values)
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    mean = float(values.mean()) if len(values) else float("nan")
    return Reach(mean, sd, len(values), max(0.0, low) if low == low else low, min(1.0, high) if high == high else high)


@dataclass(frozen=True, eq=False)
class Audit:
    """The findings on one dataset.

    Args:
        dataset: Its name.
        cells: The numbers.
        runs: The dataset's, with the jobs that left none.
    """

    dataset: str
    cells: Cells
    runs: Runs

    @cached_property
    def attacks(self) -> list[str]:
        """In the order of the runs."""
        return list(self.cells.frame.attack.unique())

    @cached_property
    def buckets(self) -> list[str]:
        """In the order of the runs."""
        return list(self.cells.frame.bucket.unique())

    @cached_property
    def defenses(self) -> list[str]:
        """Those that were tried."""
        return [name for name in self.cells.frame.defense.unique() if name != "none"]

    @cached_property
    def budgets(self) -> list[int]:
        """Numbers of fake users, ascending."""
        return sorted(self.cells.frame.budget.unique())

    @cached_property
    def worst(self) -> pd.DataFrame:
        """AutoShill's rows, by defense; see ``worst_case``."""
        return worst_case(self.cells.frame)

    @cached_property
    def victims(self) -> list[str]:
        """The most fragile first: by what AutoShill reaches with the most fake users, over all buckets."""
        at_most = self.at(self.worst, budget=self.cells.largest)
        means = at_most.groupby("victim", sort=False).value.mean()
        return list(means.sort_values(ascending=False, kind="stable").index)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Victim and bucket of what was measured, bucket by bucket, the most fragile victims first."""
        measured = set(zip(self.cells.frame.victim, self.cells.frame.bucket, strict=True))
        every = [(victim, bucket) for bucket in self.buckets for victim in self.victims]
        return [pair for pair in every if pair in measured]

    @staticmethod
    def at(rows: pd.DataFrame, defense: str = "none", **where: object) -> pd.DataFrame:
        """The rows of a defense with these values in their columns."""
        for column, value in (where | {"defense": defense}).items():
            rows = rows[rows[column] == value]
        return rows

    def worst_at(self, victim: str, bucket: str, budget: int, defense: str = "none") -> Reach:
        """What AutoShill reaches."""
        return reach(self.at(self.worst, defense, victim=victim, bucket=bucket, budget=budget))

    def placebo(self, victim: str, bucket: str) -> tuple[float, float]:
        """Share of users reached without an attack, and how far two trainings with other seeds differ in it.

        The second is the range over seeds, the mean of it over drawn targets.
        """
        rows = self.at(self.cells.frame, victim=victim, bucket=bucket).drop_duplicates(["draw", "seed"])
        ranges = rows.groupby("draw").clean.agg(lambda values: values.max() - values.min())
        return float(rows.clean.mean()), float(ranges.mean())

    def is_noise(self, victim: str, bucket: str, mean: float) -> bool:
        """Whether a share is above the clean one by no more than retraining moves it, or than one user weighs."""
        clean, spread = self.placebo(victim, bucket)
        return mean - clean <= max(spread, 1 / max(1, self.cells.n_users)) + 1e-12

    def needed(self, victim: str, bucket: str, level: float) -> int | None:
        """The least measured number of fake users with which a share of users is reached.

        0 where so many have the target without an attack; None where the most are too few.
        """
        if self.placebo(victim, bucket)[0] >= level:
            return 0
        for budget in self.budgets:
            found = self.worst_at(victim, bucket, budget)
            if found.n and found.mean >= level and not self.is_noise(victim, bucket, found.mean):
                return budget
        return None

    @cached_property
    def means(self) -> pd.Series:
        """What each attack reaches with the most fake users, the mean over victims and targets; the strongest first."""
        at_most = self.at(self.cells.frame, budget=self.cells.largest)
        return at_most.groupby("attack", sort=False).value.mean().sort_values(ascending=False, kind="stable")

    @cached_property
    def fallen(self) -> list[tuple[str, str]]:
        """The pairs of victim and bucket on which the worst case is more than noise."""
        return [pair for pair in self.pairs if not self.is_noise(*pair, self.worst_at(*pair, self.cells.largest).mean)]

    def tried(self, defense: str) -> list[tuple[str, str]]:
        """The pairs of victim and bucket that were measured with a defense."""
        return [pair for pair in self.pairs if self.worst_at(*pair, self.cells.largest, defense).n]

    def mean_worst(self, defense: str, pairs: Sequence[tuple[str, str]]) -> float:
        """What AutoShill reaches with the most fake users, the mean over ``pairs`` of victim and bucket."""
        rows = self.at(self.worst, defense, budget=self.cells.largest)
        return float(reach(rows[[pair in pairs for pair in zip(rows.victim, rows.bucket, strict=True)]]).mean)

    def winner(self, victim: str, bucket: str) -> str:
        """The attack that was chosen most often with the most fake users."""
        rows = self.at(self.worst, victim=victim, bucket=bucket, budget=self.cells.largest)
        return str(rows.attack.mode().iloc[0]) if len(rows) else ""

    def accuracy(self, victim: str, defense: str) -> Reach:
        """Held-out items found in the clean data (HR at the lists' length)."""
        runs = [run.metrics for run in self.cells.runs if run.metrics.model.iloc[0] == victim]
        numbers = pd.concat(runs)
        same_k = (numbers.k == self.cells.k).fillna(False).astype(bool)
        chosen = (numbers.subject == "test") & (numbers.metric == "HR") & same_k
        chosen &= (numbers.attack == "none") & (numbers.defense == defense)
        return reach(numbers[chosen])


def audits_of(runs: Runs) -> list[Audit]:
    """An audit of each dataset whose runs have a curve of targets over fake users; of runs without one, none."""
    by_dataset: dict[str, list[Run]] = {}
    for run in runs.runs:
        by_dataset.setdefault(str(run.metrics.dataset.iloc[0]), []).append(run)
    found = [(name, own, cells_of(own)) for name, own in by_dataset.items()]
    return [
        Audit(name, cells, Runs(tuple(own), runs.missing, _left_out(runs, name)))
        for name, own, cells in found
        if cells is not None
    ]


def _left_out(runs: Runs, dataset: str) -> tuple[Undefined, ...]:
    return tuple(job for job in runs.undefined if job.labels["dataset"] == dataset)


def percent(share: float) -> str:
    """A share as a reader would say it: ``35%``, ``1.3%``, ``1%``, ``0.13%``."""
    hundred = round(100 * share, 9)
    return f"{round(hundred, 0 if hundred >= 10 else 1 if hundred >= 1 else 2):g}%"


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
