"""Tables of one cell against another: what each attack did, and what each defense changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from recpoison.errors import ConfigError
from recpoison.evaluation.questions import AGAINST, Metric
from recpoison.evaluation.sentences import story
from recpoison.evaluation.subjects import OF_DEFENSE
from recpoison.report.measurements import Measurements
from recpoison.report.runs import LABELS
from recpoison.report.tables import (
    SMALLER_IS_MORE,
    Entry,
    Table,
    alike,
    as_text,
    blank,
    finished,
    in_order,
    in_words,
    mark_best,
)

_MOST_SENTENCES = 12


def effect_table(measurements: Measurements, metrics: Sequence[Metric]) -> Table:
    """What each attack did: a row for each dataset and attack, and clean, attacked and difference for each metric.

    Dataset, model, defense and other settings become leading columns where they vary, else part of the title. Bold: the
    attack after which the targets stand best, among rows that differ in the attack alone. What was found stands above
    in sentences.

    Raises:
        ConfigError: If no run has an attack.
    """
    summary = _summary(measurements, metrics)
    attacked = summary[summary.attack != "none"]
    if attacked.empty:
        raise ConfigError(
            "these runs have no attack: give --rows and --columns, such as --rows dataset --columns model"
        )
    attacked = measurements.with_undefined(attacked, unless_none="attack")
    keys = _keys(attacked, measurements, "attack")
    table = _compared("What each attack did", attacked, keys, metrics, "clean", measurements.paired_test)
    rivals = [tuple(value for key, value in zip(keys, row, strict=True) if key != "attack") for row in table.rows]
    entries = [list(row) for row in table.entries]
    for number, metric in enumerate(metrics):
        if metric.subject == "target":
            sign = -1 if metric.name in SMALLER_IS_MORE else 1
            mark_best(entries, [[(r, 3 * number + 1) for r in same] for same in alike(rivals)], sign)
    notes = table.notes
    bold = [metric.label for metric in metrics if metric.subject == "target"]
    if bold and any(entry and entry.best for row in entries for entry in row):
        notes = (*notes, f"bold: the attack that moved the targets' {bold[0]} most")
    told = _at_most(_told(measurements, summary))
    return replace(table, entries=tuple(tuple(row) for row in entries), notes=notes, told=told)


def headlines(measurements: Measurements, metrics: Sequence[Metric]) -> list[str]:
    """What was found of ``metrics``: attacks that are one, then what each attack and each defense did."""
    return _told(measurements, _summary(measurements, metrics))


def _summary(measurements: Measurements, metrics: Sequence[Metric]) -> pd.DataFrame:
    """Of ``metrics``, and of what defenses thought of users."""
    thought = [metric for metric in measurements.metrics() if metric.subject in OF_DEFENSE]
    return measurements.summary([*metrics, *thought])


def _told(measurements: Measurements, summary: pd.DataFrame) -> list[str]:
    return [*_one_attack(measurements), *story(summary, measurements.paired_test, measurements.keys)]


def defense_table(measurements: Measurements, metrics: Sequence[Metric]) -> Table | None:
    """What each defense changed, clean and under each attack; None where no cell stands with and without a defense."""
    summary = measurements.summary(metrics)
    defended = summary[(summary.defense != "none") & summary.undefended_n.gt(0)]
    if defended.empty:
        return None
    defended = measurements.with_undefined(defended, unless_none="defense")
    keys = _keys(defended, measurements, "defense", "attack")
    return _compared("What each defense changed", defended, keys, metrics, "undefended", measurements.paired_test)


def _one_attack(measurements: Measurements) -> list[str]:
    """Which attacks made the same change, and which gave the same numbers in every metric and seed."""
    frame = measurements.frame[measurements.frame.attack != "none"]
    keys = [key for key in measurements.keys if key.startswith("attack.")]
    changed = _together(frame, keys, _changes_of)
    measured = _together(frame[~frame.subject.isin(("surrogate", "fake"))], keys, _numbers_of)
    told = [
        f"{' and '.join(attacks)} made the same change ({', '.join(where)}): they are one attack."
        for attacks, where in changed.items()
    ]
    for attacks, where in measured.items():
        if left := [place for place in where if place not in changed.get(attacks, ())]:
            one = f"{' and '.join(attacks)} gave the same numbers ({', '.join(left)})"
            told.append(f"{one}: to that victim they are one attack.")
    return told


def _together(
    frame: pd.DataFrame, keys: list[str], signature: Callable[[pd.DataFrame], frozenset[tuple[Any, ...]]]
) -> dict[tuple[str, ...], dict[str, None]]:
    """Attacks whose ``signature`` is the same, and the victims of which that holds; an empty one is like no other."""
    alike_in: dict[tuple[str, str, frozenset[tuple[Any, ...]]], dict[str, None]] = {}
    for (dataset, model, _), cells in frame.groupby(["dataset", "model", "defense"], sort=False):
        for (attack, *values), rows in cells.groupby(["attack", *keys], sort=False, dropna=False):
            settings = [f"{key}={as_text(value)}" for key, value in zip(keys, values, strict=True) if value == value]
            if found := signature(rows):
                alike_in.setdefault((dataset, model, found), {})[" ".join([attack, *settings])] = None
    together: dict[tuple[str, ...], dict[str, None]] = {}
    for (dataset, model, _), attacks in alike_in.items():
        if len(attacks) > 1:
            together.setdefault(tuple(attacks), {})[f"{model} on {dataset}"] = None
    return together


def _numbers_of(rows: pd.DataFrame) -> frozenset[tuple[Any, ...]]:
    told = rows[["defense", "seed", "subject", "metric", "k", "value"]].astype({"k": object}).fillna(-1)
    return frozenset(told.itertuples(index=False, name=None))


def _changes_of(rows: pd.DataFrame) -> frozenset[tuple[Any, ...]]:
    """Nothing where the change of some number is not known."""
    known = rows[["defense", "seed", "change"]]
    return frozenset() if known.change.isna().any() else frozenset(known.itertuples(index=False, name=None))


def _keys(rows: pd.DataFrame, measurements: Measurements, *always: str) -> list[str]:
    """What names a row: what it must, and what varies."""
    candidates = (*LABELS, *measurements.keys)
    return [key for key in candidates if key in always or rows[key].nunique(dropna=False) > 1]


def _compared(
    title: str, rows: pd.DataFrame, keys: list[str], metrics: Sequence[Metric], against: str, paired_test: str
) -> Table:
    """A row for each cell: the other cell, its own number and the difference for each metric."""
    names = ("clean", "attacked", "difference") if against == "clean" else ("undefended", "defended", "difference")
    columns = [(metric.title, name) for metric in metrics for name in names]
    groups = in_order(rows, keys)
    entries = [[entry for metric in metrics for entry in _beside(group, metric, against)] for _, group in groups]
    named = [tuple(as_text(value) for value in values) for values, _ in groups]
    fixed = [f"{key} {rows[key].iloc[0]}" for key in LABELS if key not in keys]
    return finished(title + in_words(fixed), keys, named, columns, entries, paired_test)


def _beside(group: pd.DataFrame, metric: Metric, against: str) -> list[Entry | None]:
    found = _rows_of(group, metric)
    if found.empty:
        return [blank(group)] * 3
    row, start = found.iloc[0], AGAINST[against]
    own = Entry(row["mean"], row.sd, int(row.n))
    if not np.isfinite(row[f"{against}_mean"]):
        return [None, own, None]
    n = int(row[f"{against}_n"])
    difference, p, low, high = (row[f"{start}{name}"] for name in ("difference", "p", "low", "high"))
    return [
        Entry(row[f"{against}_mean"], row[f"{against}_sd"], n),
        own,
        Entry(difference, n=n, p=p, signed=True, low=low, high=high, family=row.family),
    ]


def _rows_of(group: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    same_k = group.k.isna() if metric.k is None else (group.k == metric.k).fillna(False)
    return group[(group.subject == metric.subject) & (group.metric == metric.name) & same_k]


def _at_most(told: Sequence[str]) -> tuple[str, ...]:
    if len(told) <= _MOST_SENTENCES:
        return tuple(told)
    left = len(told) - _MOST_SENTENCES
    return (*told[:_MOST_SENTENCES], f"{left} more sentences are left out: the tables have their numbers.")
