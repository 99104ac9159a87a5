"""One tidy table over many runs: numbers, the settings that tell cells apart, and means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from recpoison.errors import ConfigError, DataError
from recpoison.evaluation.questions import MEASURE, Metric, metrics_in, summarise, with_counterparts
from recpoison.report.runs import LABELS, Run, Runs, Undefined, shown_path

_NOT_PART_OF_A_CELL = (
    "seed",
    "repeats",
    "device",
    "threads",
    "workers",
    "data_dir",
    "store_dir",
    "checkpoint_seconds",
    "jobs_per_gpu",
    "deterministic",
    "paired_test",
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
    "evaluation.curve_flips",
    "evaluation.curve_fakes",
)


@dataclass(frozen=True, eq=False)
class Measurements:
    """Numbers of many runs.

    Args:
        frame: One row a number: the columns of ``metrics.csv``, a column for each of ``keys``, ``clean`` and
            ``undefended`` (the same number without the attack, without the defense, from the same run), ``run`` (its
            place in ``configs``) and ``change`` (what tells the attack's change from others, None where not known).
        keys: Settings that tell cells of equal names apart, such as ``attack.budget``.
        configs: All settings of each run by dotted key.
        paired_test: What p-values are of: ``t``, ``wilcoxon`` or ``permutation``.
        undefined: Cells that have no numbers because they are not defined.
    """

    frame: pd.DataFrame
    keys: tuple[str, ...]
    configs: tuple[dict[str, Any], ...]
    paired_test: str = "t"
    undefined: tuple[Undefined, ...] = ()

    def metrics(self) -> list[Metric]:
        """What was measured, in the files' order."""
        return metrics_in(self.frame)

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
        return replace(self, frame=self.frame.assign(**{key: values}), keys=(*self.keys, key))

    def with_undefined(self, rows: pd.DataFrame, unless_none: str | None = None) -> pd.DataFrame:
        """``rows`` of a summary, and one without numbers for each cell that is not defined, told by ``undefined``.

        Args:
            rows: Of ``summary``.
            unless_none: A label; cells in which it is ``none`` are left out.
        """
        found = []
        for cell, labels in ((each, square) for each in self.undefined for square in each.squares()):
            told = {key for key in self.keys if affects(key, labels["attack"], labels["defense"])}
            values = {key: cell.config.get(key) if key in told else None for key in self.keys}
            if unless_none is None or labels[unless_none] != "none":
                found.append({**values, **labels, "undefined": True})
        rows = rows.assign(undefined=False)
        return pd.concat([rows, pd.DataFrame(found)], ignore_index=True) if found else rows

    def summary(self, metrics: Sequence[Metric] | None = None) -> pd.DataFrame:
        """Over the seeds of each cell, what ``questions.summarise`` says, of ``metrics`` alone where they are given.

        ``n`` counts seeds. Comparisons are over the seeds that have both cells.
        """
        return summarise(self.frame, self.keys, self.paired_test, metrics)


def measure(runs: Runs, average_repeated: bool = False, paired_test: str = "t") -> Measurements:
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
    measured = each_once(frame, identity, runs, average_repeated)
    return Measurements(measured, keys, configs, paired_test, runs.undefined)


def each_once(
    frame: pd.DataFrame,
    identity: Sequence[str],
    runs: Runs,
    average_repeated: bool,
    averaged: Sequence[str] = ("value", "clean", "undefended"),
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
    """The runs' numbers under each other, with ``run`` and what they are compared with."""
    tables = [run.metrics.assign(run=number, change=_changes(run)) for number, run in enumerate(runs)]
    return with_counterparts(pd.concat(tables, ignore_index=True), ["run"])


def _changes(run: Run) -> list[str | None]:
    """The fingerprint of the change behind each number; None without one."""
    changes = run.about.get("changes", {})
    cells = zip(run.metrics.seed, run.metrics.attack, run.metrics.defense, strict=True)
    facts = (changes.get(f"seed={seed}/attack={attack}/defense={defense}", {}) for seed, attack, defense in cells)
    return [None if "fingerprint" not in known else str(known["fingerprint"]) for known in facts]


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
        return key.startswith("attack.targets") or key == "attack.craft_seed"  # it draws them
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
