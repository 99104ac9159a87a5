"""One tidy table over the curves of many runs: a metric over epochs, steps, epsilon, iterations or flips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recpoison.evaluation.questions import MEASURE, Metric
from recpoison.report.measurements import Measurements, each_once, key_column
from recpoison.report.runs import CURVE, LABELS, Runs

ALONG = {
    "epochs": "epoch of training",
    "steps": "steps of the attack",
    "epsilon": "epsilon (L2 length of a row)",
    "iterations": "iterations of the attack",
    "flips": "edges flipped",
    "fake_users": "fake users",
}
FLIPS = ("attack.n_flips", "attack.budget", "attack.plan")  # what says how many: a place on a curve over them
_EFFECTS = {"promote": 1.0, "nuke": -1.0, "untargeted": 0.0}
_USUAL = ("NDCG", "HR", "Coverage", "Accuracy", "AUROC")  # what the papers draw


@dataclass(frozen=True, eq=False)
class Curves:
    """Numbers of many runs along something that grows.

    Args:
        frame: One row a number: the columns of ``curve.csv``, a column for each of ``keys``, ``clean`` (the same
            metric without the attack from the same run's ``metrics.csv``; nan where it has none) and ``effect`` (the
            direction in which the attack moves targets: 1 up, -1 down, 0 neither).
        flat: The same columns for attacks without steps, ``at`` 1: their ``metrics.csv`` beside other attacks' steps.
        keys: Settings that tell cells of equal names apart, as in ``Measurements``.
        random: The clean numbers of runs with ``model=random``, where there are any: the floor of a figure.
    """

    frame: pd.DataFrame
    flat: pd.DataFrame
    keys: tuple[str, ...]
    random: pd.DataFrame

    def along(self) -> list[str]:
        """What there are curves over, in the order of ``ALONG``."""
        return [name for name in ALONG if (self.frame.along == name).any()]

    def metrics(self, along: str) -> list[Metric]:
        """What was measured over ``along``, in the files' order."""
        distinct = self.frame.loc[self.frame.along == along, list(MEASURE)].drop_duplicates()
        return [
            Metric(row.subject, row.metric, None if pd.isna(row.k) else int(row.k)) for row in distinct.itertuples()
        ]

    def usual(self, along: str) -> list[Metric]:
        """What is drawn if nobody names a metric: those that the papers draw of each subject (else its first metric).

        Of several cutoffs 10, else the longest.
        """
        chosen = []
        known = self.metrics(along)
        for subject in dict.fromkeys(metric.subject for metric in known):
            offered = [metric for metric in known if metric.subject == subject]
            names = [name for name in _USUAL if any(metric.name == name for metric in offered)] or [offered[0].name]
            for name in names:
                same = [metric for metric in offered if metric.name == name]
                chosen.append(min(same, key=lambda metric: (metric.k != 10, -(metric.k or 0))))
        return chosen

    def of(self, along: str, metric: Metric) -> pd.DataFrame:
        """The rows of ``metric`` over ``along``."""
        return _of(self.frame[self.frame.along == along], metric)

    def over_seeds(self, along: str, metric: Metric) -> pd.DataFrame:
        """Over the seeds of each cell, at each ``at``: ``mean sd n clean_mean``, and the means of ``row_l2 linf``.

        ``random_mean`` is what random order comes to on the same dataset; nan where no run says.
        """
        return self._with_random(_over_seeds(self.of(along, metric), [*LABELS, *self.keys, "at"]), metric)

    def without_steps(self, metric: Metric) -> pd.DataFrame:
        """The same columns for attacks that take no steps, to stand beside those that do."""
        return self._with_random(_over_seeds(_of(self.flat, metric), [*LABELS, *self.keys, "at"]), metric)

    def _with_random(self, summary: pd.DataFrame, metric: Metric) -> pd.DataFrame:
        floors = _of(self.random, metric).groupby("dataset").value.mean()
        return summary.assign(random_mean=summary.dataset.map(floors).astype(float))

    def tidy(self) -> pd.DataFrame:
        """The columns of ``curve.csv`` and the settings that tell cells apart, for a file."""
        return self.frame[[*CURVE, *self.keys]]


def curves_of(runs: Runs, measurements: Measurements, average_repeated: bool = False) -> Curves:
    """The curves of ``runs``, cells told apart as in ``measurements``.

    A point that several jobs measured counts once. What a learned attack saw on its surrogate does not depend on the
    victim: it counts once too. Runs of an attack on edges that differ in the number of flips are points of one curve,
    which begins with the clean cell.

    Raises:
        DataError: If a point was measured twice with different numbers, and ``average_repeated`` is off.
    """
    keys = measurements.keys
    with_curve = [run.curve.assign(run=number) for number, run in enumerate(runs.runs) if len(run.curve)]
    swept = _over_flips(measurements)
    parts = [*with_curve, *([swept] if len(swept) else [])]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=[*CURVE, "run"])
    frame = frame.assign(**{key: _key_column(frame, measurements, key) for key in keys})
    objectives = [measurements.configs[run].get("attack.objective") for run in frame.run]
    frame = _with_clean(frame.assign(effect=[_EFFECTS.get(objective, 1.0) for objective in objectives]), runs)
    on_surrogate = frame.along == "iterations"
    same = ["dataset", "attack", *keys, "seed", "at", *MEASURE, "value"]
    frame = frame[~(on_surrogate & frame.duplicated(same))].reset_index(drop=True)
    identity = [*LABELS, *keys, "seed", "along", "at", *MEASURE]
    if len(frame):
        frame = each_once(frame, identity, runs, average_repeated, ("value", "clean", "row_l2", "linf"))
    numbers = measurements.frame
    random = numbers[(numbers.model == "random") & (numbers.attack == "none") & (numbers.defense == "none")]
    return Curves(frame, _without_steps(frame, measurements), keys, random)


def _over_flips(measurements: Measurements) -> pd.DataFrame:
    """Rows of ``curve.csv`` from the numbers of attacks on edges whose runs say how many they flip, and from none."""
    frame, configs = measurements.frame, measurements.configs
    flips = pd.Series([configs[run].get(FLIPS[0]) for run in frame["run"]], index=frame.index, dtype=object)
    chosen = (frame.attack != "none") & flips.notna() & frame.subject.isin(["link", "node"])
    attacked = frame[chosen].assign(along="flips", row_l2=np.nan, linf=np.nan)
    places = [attacked.assign(at=flips[chosen].astype(float)), attacked.assign(at=0.0, value=attacked.clean)]
    return pd.concat(places, ignore_index=True)[[*CURVE, "run"]].dropna(subset=["value"])


def _key_column(frame: pd.DataFrame, measurements: Measurements, key: str) -> list[Any]:
    """The setting of each row; None where it is the row's own place."""
    column = key_column(frame, measurements.configs, key)
    if key not in FLIPS:
        return column
    return [None if along == "flips" else value for along, value in zip(frame.along, column, strict=True)]


def _with_clean(frame: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """The curve's rows with the clean cell's number of the same run; none for clean cells themselves."""
    pairing = ["run", "dataset", "model", "defense", "seed", *MEASURE]
    numbers = [run.metrics.assign(run=number) for number, run in enumerate(runs.runs)]
    clean = pd.concat(numbers, ignore_index=True).query("attack == 'none'").drop_duplicates(pairing)
    frame = frame.astype({"run": "int64", "seed": "int64", "k": "Int64"})
    frame = frame.merge(clean[[*pairing, "value"]].rename(columns={"value": "clean"}), on=pairing, how="left")
    return frame.assign(clean=frame.clean.astype(float).where(frame.attack != "none"))


def _without_steps(frame: pd.DataFrame, measurements: Measurements) -> pd.DataFrame:
    """Numbers of attacks on the same victims and metrics as the curves over steps, that have no such curve."""
    stepping = frame[frame.along == "steps"]
    numbers = measurements.frame[measurements.frame.attack != "none"]
    victims = stepping[["dataset", "model", "defense", *MEASURE]].drop_duplicates()
    beside = numbers.merge(victims, on=list(victims.columns))
    beside = beside[~beside.attack.isin(stepping.attack.unique())]
    return beside.assign(at=1.0, row_l2=np.nan, linf=np.nan)


def _of(frame: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    same_k = frame.k.isna() if metric.k is None else (frame.k == metric.k).fillna(False)
    return frame[(frame.subject == metric.subject) & (frame.metric == metric.name) & same_k.astype(bool)]


def _over_seeds(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    groups = frame.astype({"clean": float, "value": float}).groupby(list(by), sort=False, dropna=False)
    numbers = groups.agg(
        mean=("value", "mean"),
        sd=("value", "std"),
        n=("value", "count"),
        clean_mean=("clean", "mean"),
        row_l2=("row_l2", "mean"),
        linf=("linf", "mean"),
    )
    return numbers.reset_index()
