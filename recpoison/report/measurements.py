"""One tidy table over many runs: numbers, the settings that tell cells apart, and means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recpoison.errors import ConfigError, DataError
from recpoison.evaluation.significance import paired_t_test
from recpoison.report.runs import LABELS, Run, Runs, shown_path

MEASURE = ("subject", "metric", "k")
_NOT_PART_OF_A_CELL = (
    "seed",
    "repeats",
    "device",
    "threads",
    "data_dir",
    "store_dir",
    "checkpoint_seconds",
    "jobs_per_gpu",
    "deterministic",
    "trackers",
    "sweep",
)
_CHANGES_NO_NUMBER = (
    "evaluation.metrics",
    "evaluation.cutoffs",
    "evaluation.memory_mb",
    "attack.memory_limit",
    "evaluation.curve_epochs",
    "evaluation.curve_steps",
    "evaluation.curve_epsilons",
)


@dataclass(frozen=True, order=True)
class Metric:
    """What is measured: ``target`` ``HR`` at 50. ``k`` is None for metrics without a cutoff."""

    subject: str
    name: str
    k: int | None = None

    @property
    def label(self) -> str:
        """As papers print it, such as ``HR@50``."""
        return self.name if self.k is None else f"{self.name}@{self.k}"

    @property
    def title(self) -> str:
        """With its subject, such as ``target HR@50``."""
        return f"{self.subject} {self.label}"


@dataclass(frozen=True, eq=False)
class Measurements:
    """Numbers of many runs.

    Args:
        frame: One row a number: the columns of ``metrics.csv``, a column for each of ``keys``, ``clean`` (the same
            number without the attack, from the same run) and ``run`` (its place in ``configs``).
        keys: Settings that tell cells of equal names apart, such as ``attack.budget``.
        configs: All settings of each run by dotted key.
    """

    frame: pd.DataFrame
    keys: tuple[str, ...]
    configs: tuple[dict[str, Any], ...]

    def metrics(self) -> list[Metric]:
        """What was measured, in the files' order."""
        distinct = self.frame[list(MEASURE)].drop_duplicates()
        return [
            Metric(row.subject, row.metric, None if pd.isna(row.k) else int(row.k)) for row in distinct.itertuples()
        ]

    def find(self, label: str, subject: str) -> Metric:
        """The metric a user names, such as ``HR@50`` of ``target``.

        Raises:
            ConfigError: If the runs do not hold it.
        """
        known = self.metrics()
        for metric in known:
            if metric.subject == subject and metric.label.lower() == label.lower():
                return metric
        offered = ", ".join(m.label for m in known if m.subject == subject)
        subjects = ", ".join(dict.fromkeys(m.subject for m in known))
        remedy = f"choose one of {offered}" if offered else f"choose a subject of {subjects}"
        raise ConfigError(f"--metric {label} --subject {subject} is not in these runs: {remedy}")

    def with_key(self, key: str) -> Measurements:
        """With the setting ``key`` as a column, though it does not vary within equal names.

        Raises:
            ConfigError: If no run has it.
        """
        if key in self.frame.columns:
            return self
        known = sorted({name for config in self.configs for name in config})
        if key not in known:
            near = [name for name in known if name.startswith(key) or name.endswith(f".{key}")]
            remedy = (
                f"did you mean {', '.join(near[:5])}?"
                if near
                else "give a column of metrics.csv or a key of config.yaml"
            )
            raise ConfigError(f"{key} is no setting of these runs: {remedy}")
        values = key_column(self.frame, self.configs, key)
        return Measurements(self.frame.assign(**{key: values}), (*self.keys, key), self.configs)

    def summary(self, metrics: Sequence[Metric] | None = None) -> pd.DataFrame:
        """Over the seeds of each cell: ``mean sd n``, ``clean_mean clean_sd clean_n``, ``difference`` and its ``p``.

        ``n`` counts seeds. ``sd`` has n - 1 in its denominator. ``difference`` and ``p`` (paired t-test, uncorrected)
        are taken over the seeds that have both cells; with a single seed there is no ``p``.
        """
        frame = self.frame
        if metrics is not None:
            wanted = {(m.subject, m.name, m.k) for m in metrics}
            rows = zip(frame.subject, frame.metric, frame.k, strict=True)
            frame = frame[[(s, m, None if pd.isna(k) else int(k)) in wanted for s, m, k in rows]]
        by = [*LABELS, *self.keys, *MEASURE]
        groups = frame.groupby(by, sort=False, dropna=False)
        return pd.DataFrame([dict(zip(by, names, strict=True)) | over_seeds(group) for names, group in groups])


def measure(runs: Runs, average_repeated: bool = False) -> Measurements:
    """One tidy table over ``runs``.

    Two cells are the same if their names, their seed and every setting that can affect them agree (an attack's
    settings do not affect a clean cell, apart from its targets). A cell measured twice with equal numbers counts once:
    the jobs of a sweep share clean cells. A cell measured twice with different numbers is refused, or averaged first
    with ``average_repeated``.

    Raises:
        DataError: If a cell was measured twice with different numbers.
    """
    frame = _numbers(runs.runs)
    configs = tuple(run.config for run in runs.runs)
    keys = _telling_keys(frame, configs)
    frame = frame.assign(**{key: key_column(frame, configs, key) for key in keys})
    identity = [*LABELS, *keys, "seed", *MEASURE]
    return Measurements(each_once(frame, identity, runs, average_repeated), keys, configs)


def each_once(
    frame: pd.DataFrame,
    identity: Sequence[str],
    runs: Runs,
    average_repeated: bool,
    averaged: Sequence[str] = ("value", "clean"),
) -> pd.DataFrame:
    """One row for each distinct ``identity``; where rows of one disagree, the means of ``averaged`` if that is allowed.

    Raises:
        DataError: If a number was measured twice with different results and ``average_repeated`` is off.
    """
    groups = frame.groupby(list(identity), dropna=False, sort=False)
    spread = (groups["value"].transform("max") - groups["value"].transform("min")).to_numpy()
    if (spread > 1e-9).any():
        if not average_repeated:
            raise DataError(_disagreement(frame, identity, int(spread.argmax()), runs))
        frame = frame.assign(**groups[list(averaged)].transform("mean"))
    return frame.drop_duplicates(list(identity)).reset_index(drop=True)


def _numbers(runs: Sequence[Run]) -> pd.DataFrame:
    """The runs' numbers under each other, with ``run`` and ``clean``: for ``path`` that of the ``test`` rows."""
    frame = pd.concat([run.metrics.assign(run=number) for number, run in enumerate(runs)], ignore_index=True)
    pairing = ["run", "dataset", "model", "defense", "seed", *MEASURE]
    clean = frame[frame.attack == "none"].drop_duplicates(pairing).rename(columns={"value": "clean"})
    clean = pd.concat([clean, clean[clean.subject == "test"].assign(subject="path")], ignore_index=True)
    frame = frame.merge(clean[[*pairing, "clean"]], on=pairing, how="left")
    frame.loc[frame.attack == "none", "clean"] = np.nan
    return frame


def _telling_keys(frame: pd.DataFrame, configs: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Settings that differ between runs of cells with equal names."""
    keys: dict[str, None] = {}
    for (_, _, attack, defense), group in frame.groupby(list(LABELS), sort=False):
        chosen = [configs[run] for run in group["run"].unique()]
        for key in dict.fromkeys(name for config in chosen for name in config):
            values = {str(config[key]) for config in chosen if config.get(key) is not None}
            if len(values) > 1 and affects(key, attack, defense):
                keys[key] = None
    return tuple(keys)


def affects(key: str, attack: str, defense: str) -> bool:
    """Whether a setting can change a number of a cell with this attack and defense."""
    group = key.partition(".")[0]
    if group in _NOT_PART_OF_A_CELL or key in _CHANGES_NO_NUMBER:
        return False
    if group in ("attack", "surrogate") and attack == "none":
        return key.startswith("attack.targets")
    return group != "defense" or defense != "none"


def key_column(frame: pd.DataFrame, configs: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """The setting ``key`` of each row's run; None where it cannot affect the row's cell."""
    group = key.partition(".")[0]
    free = group in _NOT_PART_OF_A_CELL
    rows: Iterable[tuple[int, str, str]] = zip(frame["run"], frame.attack, frame.defense, strict=True)
    return [configs[run].get(key) if free or affects(key, attack, defense) else None for run, attack, defense in rows]


def _disagreement(frame: pd.DataFrame, identity: Sequence[str], row: int, runs: Runs) -> str:
    cell = frame.groupby(list(identity), dropna=False).ngroup().to_numpy()
    same = frame[cell == cell[row]].sort_values("value")
    low, high = same.iloc[0], same.iloc[-1]
    metric = Metric(low.subject, low.metric, None if pd.isna(low.k) else int(low.k)).title
    place = f", {low['along']} {low['at']:g}" if "along" in identity else ""
    return (
        f"two runs disagree on one cell ({low.dataset}, {low.model}, attack {low.attack}, defense {low.defense}, "
        f"seed {low.seed}{place}): "
        f"{metric} is {low.value:.6g} in {shown_path(runs.runs[low.run].folder)} and {high.value:.6g} in "
        f"{shown_path(runs.runs[high.run].folder)}; report them apart, or take their mean with --average-repeated"
    )


def over_seeds(group: pd.DataFrame) -> dict[str, Any]:
    """What ``Measurements.summary`` says of one cell, from its rows' ``value`` and ``clean``."""
    measured = group[group.value.notna()]
    values = measured.value.to_numpy(float)
    both = measured[measured.clean.notna()]
    before, after = both.clean.to_numpy(float), both.value.to_numpy(float)
    p = paired_t_test(before, after) if len(both) > 1 else np.nan
    return {
        "mean": values.mean() if len(values) else np.nan,
        "sd": values.std(ddof=1) if len(values) > 1 else np.nan,
        "n": len(values),
        "clean_mean": before.mean() if len(before) else np.nan,
        "clean_n": len(before),
        "clean_sd": before.std(ddof=1) if len(before) > 1 else np.nan,
        "difference": (after - before).mean() if len(before) else np.nan,
        "p": p,
    }
