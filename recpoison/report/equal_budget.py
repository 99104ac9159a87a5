"""Attacks on embeddings compared by the size of the shift they really used: every point, and at common sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from recpoison.errors import ConfigError
from recpoison.evaluation.questions import FAMILY_SEPARATOR, Metric, over_seeds
from recpoison.evaluation.significance import holm
from recpoison.report.curves import Curves
from recpoison.report.runs import LABELS
from recpoison.report.tables import (
    SMALLER_IS_MORE,
    Entry,
    Table,
    alike,
    as_text,
    finished,
    in_order,
    in_words,
    mark_best,
)

BUDGETS = (0.5, 1.0, 2.0, 4.0)
_ROUNDING = 1e-4  # a length of 0.49999998 is 0.5


def lengths_in(text: str) -> tuple[float, ...]:
    """The lengths typed for ``--row-l2``.

    Raises:
        ConfigError: If they are none.
    """
    try:
        lengths = tuple(float(part) for part in text.split(","))
    except ValueError:
        lengths = ()
    if not lengths or not all(0 < length < float("inf") for length in lengths):
        raise ConfigError(f"--row-l2 is {text}: give lengths above 0 with commas between, such as 0.5,1,2,4")
    return lengths


def followed(curves: Curves) -> str | None:
    """What the attacks on embeddings were followed over: ``epsilon`` where it was, else ``steps``, or nothing."""
    return next((along for along in ("epsilon", "steps") if along in curves.along()), None)


def points_table(curves: Curves, metric: Metric) -> Table:
    """Every point of the curves: the shift used (longest row's L2, largest number), the metric, its change.

    Stars compare with the clean cell over seeds, corrected over the points of a curve.
    """
    along = followed(curves) or "epsilon"
    rows = curves.of(along, metric)
    keys = [*_keys(rows, curves.keys), "at"]
    groups = in_order(rows, keys)
    entries = [_point(group) for _, group in groups]
    _correct(entries, [names for names, _ in groups], along)
    columns = [("shift used", "row L2"), ("shift used", "L-infinity")]
    columns += [(metric.title, name) for name in ("clean", "attacked", "difference")]
    named = [tuple(as_text(value) for value in names) for names, _ in groups]
    title = f"{metric.title} over {along}, with the shift used" + in_words(_fixed(rows, keys))
    return finished(title, [*keys[:-1], along], named, columns, entries)


def common_table(curves: Curves, metric: Metric, budgets: Sequence[float] = BUDGETS) -> Table:
    """The metric at common row L2, so that attacks compare at equal budget: a row an attack, defense and setting.

    Between two measured points it is interpolated linearly in the logarithm of the row L2, for each seed, and then
    averaged; nothing stands where a seed was not measured on both sides. Bold: the attack that does most.
    """
    along = followed(curves) or "epsilon"
    rows = curves.of(along, metric)
    keys = _keys(rows, curves.keys)
    groups = in_order(rows, keys)
    entries: list[list[Entry | None]] = [_at_budgets(group, budgets) for _, group in groups]
    named = [tuple(as_text(value) for value in names) for names, _ in groups]
    rivals = [
        tuple(v for key, v in zip(keys, row, strict=True) if key in ("dataset", "model", "defense")) for row in named
    ]
    sign = 1 if metric.name in SMALLER_IS_MORE else -1
    for number in range(1, len(budgets) + 1):
        mark_best(entries, [[(r, number) for r in same] for same in alike(rivals)], sign)
    columns = [(metric.title, "clean"), *((f"{metric.title} at a row L2 of", f"{budget:g}") for budget in budgets)]
    title = f"{metric.title} at equal budget" + in_words(_fixed(rows, keys))
    table = finished(title, keys, named, columns, entries)
    how = (
        f"row L2: of the longest row, beside which others may be shorter (in a box they are, after FGSM they are not); "
        f"linear in its logarithm between points over {along}; – outside of the points"
    )
    has_bold = any(entry and entry.best for row in table.entries for entry in row)
    bold = ["bold: the attack that does most at that budget"] if has_bold else []
    return replace(table, notes=(*table.notes, how, *bold))


def interpolate(lengths: np.ndarray, values: np.ndarray, at: Sequence[float]) -> np.ndarray:
    """``values`` at the lengths ``at``, linear in the logarithm of the length; nan outside of the measured lengths.

    Args:
        lengths: ``(n,)``; zeros are left out. Of points of one length the last counts: the one after most steps.
        values: ``(n,)``.
        at: Lengths asked for.
    """
    measured = {float(length): value for length, value in zip(lengths, values, strict=True) if length > 0}
    if not measured:
        return np.full(len(at), np.nan)
    known = np.array(sorted(measured))
    asked = np.array(at, float)
    inside = (asked >= known[0] * (1 - _ROUNDING)) & (asked <= known[-1] * (1 + _ROUNDING))
    found = np.interp(np.log(asked), np.log(known), [measured[length] for length in known])
    return np.where(inside, found, np.nan)


def _keys(rows: pd.DataFrame, settings: Sequence[str]) -> list[str]:
    """What names a row: attacks on one victim stand together."""
    ordered = ("dataset", "model", "defense", "attack", *settings)
    return [key for key in ordered if key == "attack" or rows[key].nunique(dropna=False) > 1]


def _fixed(rows: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    return [f"{key} {rows[key].iloc[0]}" for key in LABELS if key not in keys]


def _point(group: pd.DataFrame) -> list[Entry | None]:
    found = over_seeds(group)
    n = found["n"]
    used: list[Entry | None] = [Entry(group[name].mean(), n=n) for name in ("row_l2", "linf")]
    attacked = Entry(found["mean"], found["sd"], n)
    if not found["clean_n"]:
        return [*used, None, attacked, None]
    clean = Entry(found["clean_mean"], found["clean_sd"], found["clean_n"])
    compared = {name: found[name] for name in ("p", "low", "high")}
    return [*used, clean, attacked, Entry(found["difference"], n=found["clean_n"], signed=True, **compared)]


def _correct(entries: list[list[Entry | None]], points: Sequence[tuple[Any, ...]], along: str) -> None:
    """Holm's correction over the differences of each curve, whose points have the same names but for the last."""
    for rows in alike([tuple(map(str, point[:-1])) for point in points]):
        last = [(row, entry) for row in rows if (entry := entries[row][-1]) is not None]
        family = FAMILY_SEPARATOR.join(f"{along} {as_text(points[row][-1])}" for row, _ in last)
        for (row, entry), p in zip(last, holm(np.array([entry.p for _, entry in last])), strict=True):
            entries[row][-1] = replace(entry, p=float(p), family=family)


def _at_budgets(group: pd.DataFrame, budgets: Sequence[float]) -> list[Entry | None]:
    seeds = [seed.sort_values("at") for _, seed in group.groupby("seed")]
    clean = np.array([seed.clean.mean() for seed in seeds])
    found = np.array([interpolate(seed.row_l2.to_numpy(), seed.value.to_numpy(), budgets) for seed in seeds])
    return [_mean(clean), *(_mean(column) for column in found.T)]


def _mean(values: np.ndarray) -> Entry | None:
    """Over all seeds; None if one of them has no value, so that means are over the same seeds."""
    if not np.isfinite(values).all():
        return None
    return Entry(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan"), len(values))
