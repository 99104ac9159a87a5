"""What defenses and other models are worth against an attack: each beside the undefended model of the same runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recpoison.evaluation.questions import Metric
from recpoison.evaluation.subjects import share_undone
from recpoison.report.measurements import Measurements
from recpoison.report.tables import as_text

ORIGIN, ATTACKED, DEFENDED = "origin", "attacked", "defended"
SAFE, SAFE_TEST = "safe", "origin_test"  # the held-out number without an attack, with the defense and without


@dataclass(frozen=True, eq=False)
class Robustness:
    """Attacked cells with a defense, or of a model that others are held against, beside what they are compared with.

    Args:
        frame: One row a cell and seed: ``dataset base attack protection``, the keys, ``seed``, and the targets' numbers
            ``origin`` (no attack, no defense), ``attacked`` (no defense) and ``defended``; ``safe`` and ``origin_test``
            are the held-out number without an attack with and without the defense.
        keys: Settings that tell cells of equal names apart.
        target: What is measured on the targets.
        test: What is measured on held-out items; None where nothing is.
    """

    frame: pd.DataFrame
    keys: tuple[str, ...]
    target: Metric
    test: Metric | None


def robustness_of(measurements: Measurements, target: Metric, test: Metric | None) -> Robustness:
    """Every protected cell under attack; no rows where nothing is protected.

    A model with defended cells is one that is protected, the base. Where a dataset has one such, another model is a
    protection of its own, as PCMF is in the tables of APT; where it has several, each is held against itself.
    """
    keys = measurements.keys
    numbers = _with_base(_of(measurements.frame, target), measurements.frame)
    own = numbers.model == numbers.base
    names = numbers.defense.where(numbers.defense != "none", numbers.model)
    protected = numbers.assign(protection=names)[(numbers.attack != "none") & (~own | (numbers.defense != "none"))]
    protected = protected.rename(columns={"value": DEFENDED})
    bare = numbers[own & (numbers.defense == "none")]
    attacks = [key for key in keys if key.startswith("attack.")]
    shared = [key for key in keys if not key.startswith(("attack.", "defense.", "model."))]
    aims = [key for key in attacks if key.startswith("attack.targets")]
    place = ["dataset", "base", "seed", *shared]
    frame = _with(protected, bare[bare.attack != "none"], [*place, "attack", *attacks], ATTACKED)
    frame = _with(frame, bare[bare.attack == "none"], [*place, *aims], ORIGIN)
    if test is not None:
        clean = _with_base(_of(measurements.frame, test), measurements.frame)
        clean = clean[clean.attack == "none"]
        of_defense = [key for key in keys if key.startswith(("defense.", "model."))]
        frame = _with(frame, clean, ["dataset", "model", "defense", "seed", *shared, *of_defense], SAFE)
        frame = _with(frame, clean[(clean.model == clean.base) & (clean.defense == "none")], place, SAFE_TEST)
    return Robustness(frame.reset_index(drop=True), keys, target, test)


def _with_base(numbers: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Rows with the model that each is held against, ``base``; without those that have none."""
    defended = cells[cells.defense != "none"][["dataset", "model"]].drop_duplicates()
    pairs = set(defended.itertuples(index=False, name=None))
    only = dict(defended.drop_duplicates("dataset", keep=False).itertuples(index=False, name=None))
    own = numbers[["dataset", "model"]].itertuples(index=False, name=None)
    base = [model if (data, model) in pairs else only.get(data) for data, model in own]
    return numbers.assign(base=base).dropna(subset="base")


def improvement(rows: pd.DataFrame) -> float:
    """RI of the means over seeds: 1 - (defended - origin) / (attacked - origin) (APT, section 5.1.4).

    1 where the targets are as visible as without an attack, 0 where the defense changed nothing; nan where the attack
    without a defense did nothing. Of means: a seed on which the attack does next to nothing has no ratio to speak of.
    """
    origin, attacked, defended = (float(rows[name].mean()) for name in (ORIGIN, ATTACKED, DEFENDED))
    return share_undone(origin, attacked, defended) if attacked != origin else math.nan


def jackknife(rows: pd.DataFrame, number: Callable[[pd.DataFrame], float]) -> float:
    """Standard error of ``number`` over the seeds of ``rows``, leaving each out in turn; nan with a single one."""
    n = len(rows)
    if n < 2:
        return math.nan
    left = np.array([number(rows.drop(index=place)) for place in rows.index])
    return float(np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))


def _of(frame: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    same_k = frame.k.isna() if metric.k is None else (frame.k == metric.k).fillna(False)
    return frame[(frame.subject == metric.subject) & (frame.metric == metric.name) & same_k]


def _with(frame: pd.DataFrame, other: pd.DataFrame, shared: Sequence[str], name: str) -> pd.DataFrame:
    """``frame`` with the number of ``other`` in the row that agrees in ``shared``, nan where there is none."""
    numbers = {_place(row, shared): row["value"] for _, row in other.iterrows()}
    return frame.assign(**{name: [numbers.get(_place(row, shared), math.nan) for _, row in frame.iterrows()]})


def _place(row: pd.Series, shared: Sequence[str]) -> tuple[str, ...]:
    return tuple(as_text(row[key]) for key in shared)
