"""Tables over many runs: what an attack did, and any setting against any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recpoison.errors import ConfigError
from recpoison.evaluation.significance import holm
from recpoison.evaluation.subjects import SUBJECTS
from recpoison.evaluation.subjects import in_words as subjects_in_words
from recpoison.report.attack_sizes import attack_sizes
from recpoison.report.measurements import Measurements, Metric
from recpoison.report.runs import LABELS, Runs, shown_path

SMALLER_IS_MORE = ("MeanRank", "LogLoss")  # a promoted item climbs to a smaller rank
STARS = "* p < 0.05, ** p < 0.01, *** p < 0.001"


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Args:
        mean: Over seeds.
        sd: Over seeds, n - 1 in its denominator; nan with a single seed.
        n: Number of seeds.
        p: Of the paired comparison with the clean cell, Holm-corrected over the table; nan where nothing is compared.
        signed: Whether it is a difference, printed with its sign.
        best: Whether it is printed in bold.
    """

    mean: float
    sd: float = float("nan")
    n: int = 1
    p: float = float("nan")
    signed: bool = False
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Rows and columns of entries, ready for any renderer.

    Args:
        title: What it shows.
        keys: Names of the leading columns.
        rows: Values of ``keys``, one tuple a row.
        columns: ``(group, name)`` of each column; neighbours of one group share a heading.
        entries: One tuple a row, None where nothing was measured.
        notes: Sentences printed under it: protocol, what n, stars and bold mean, what is missing.
        mixed: Whether rows are of different metrics, so that each row has decimals of its own.
    """

    title: str
    keys: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, str], ...]
    entries: tuple[tuple[Entry | None, ...], ...]
    notes: tuple[str, ...] = ()
    mixed: bool = False

    def seeds(self, row: int) -> str:
        """Number of seeds behind a row, as a range where its entries differ."""
        counts = sorted({entry.n for entry in self.entries[row] if entry})
        return "–".join(str(n) for n in dict.fromkeys((counts[0], counts[-1]))) if counts else "0"


def default_metrics(measurements: Measurements) -> list[Metric]:
    """HR@50 of the targets and HR@10 of the held-out items; where absent, the first metric of each subject.

    The surrogate of a learned attack is no victim: it is left out unless there is nothing else.
    """
    known = measurements.metrics()
    preferred = (Metric("target", "HR", 50), Metric("test", "HR", 10), Metric("path", "HR", 10))
    chosen = []
    subjects = {m.subject for m in known}
    for subject in (name for name in SUBJECTS if name in subjects):
        if subject == "surrogate" and len(subjects) > 1:  # an attack's own view; figures over iterations show it
            continue
        offered = [m for m in known if m.subject == subject]
        chosen.append(next((m for m in preferred if m in offered), offered[0]))
    return chosen or known[:1]  # a user's own evaluation may have subjects of its own


def effect_table(measurements: Measurements, metrics: Sequence[Metric]) -> Table:
    """What each attack did: a row for each dataset and attack, and clean, attacked and difference for each metric.

    Dataset, model, defense and other settings become leading columns where they vary, else part of the title. Bold: the
    attack after which the targets stand best, among rows that differ in the attack alone.

    Raises:
        ConfigError: If no run has an attack.
    """
    summary = measurements.summary(metrics)
    attacked = summary[summary.attack != "none"]
    if attacked.empty:
        raise ConfigError(
            "these runs have no attack: give --rows and --columns, such as --rows dataset --columns model"
        )
    candidates = (*LABELS, *measurements.keys)
    keys = [key for key in candidates if key == "attack" or attacked[key].nunique(dropna=False) > 1]
    columns = [(metric.title, name) for metric in metrics for name in ("clean", "attacked", "difference")]
    groups = in_order(attacked, keys)
    entries = [[entry for metric in metrics for entry in _effect(group, metric)] for _, group in groups]
    rows = [tuple(as_text(value) for value in names) for names, _ in groups]
    rivals = [tuple(value for key, value in zip(keys, row, strict=True) if key != "attack") for row in rows]
    for number, metric in enumerate(metrics):
        if metric.subject == "target":
            sign = -1 if metric.name in SMALLER_IS_MORE else 1
            mark_best(entries, [[(r, 3 * number + 1) for r in same] for same in alike(rivals)], sign)
    fixed = [f"{key} {attacked[key].iloc[0]}" for key in LABELS if key not in keys]
    table = finished("What each attack did" + in_words(fixed), keys, rows, columns, entries)
    bold = [metric.label for metric in metrics if metric.subject == "target"]
    if bold and any(entry and entry.best for row in table.entries for entry in row):
        table = replace(table, notes=(*table.notes, f"bold: the attack that moved the targets' {bold[0]} most"))
    return table


def pivot_table(measurements: Measurements, rows: Sequence[str], columns: str, metric: Metric) -> Table:
    """``metric`` with the settings ``rows`` down and ``columns`` across: mean ± sd over seeds, stars against clean.

    A name is a column of ``metrics.csv`` or a dotted key of ``config.yaml``. Settings that vary besides these become
    leading columns, so that a cell never mixes different things. Bold: the largest of each row, or the smallest for
    metrics where less is more and where defenses are compared by what reached the targets; none across datasets.

    Raises:
        ConfigError: If a name is unknown.
    """
    for name in (*rows, columns):
        measurements = measurements.with_key(name)
    if "seed" in (*rows, columns):
        raise ConfigError("tables are means over seeds: choose another key than seed for --rows and --columns")
    summary = measurements.summary([metric])
    used = {*rows, columns}
    others = [k for k in (*LABELS, *measurements.keys) if k not in used and summary[k].nunique(dropna=False) > 1]
    keys = list(dict.fromkeys([*rows, *others]))
    values = sorted(summary[columns].unique(), key=_order)
    groups = in_order(summary, keys)
    heads = [(columns, as_text(value)) for value in values]
    entries = [[_entry(group[group[columns].map(as_text) == name]) for _, name in heads] for _, group in groups]
    sign = (
        -1 if (metric.name in SMALLER_IS_MORE) != (columns.startswith("defense") and metric.subject == "target") else 1
    )
    if columns.partition(".")[0] not in ("dataset", "evaluation"):  # no contest: they change what the number means
        mark_best(entries, [[(r, c) for c in range(len(values))] for r in range(len(groups))], sign)
    shown = [tuple(as_text(value) for value in names) for names, _ in groups]
    fixed = [f"{k} {as_text(summary[k].iloc[0])}" for k in LABELS if k not in keys and k != columns]
    table = finished(f"{metric.title}{in_words(fixed)}", keys, shown, heads, entries)
    if any(entry and entry.best for row in table.entries for entry in row):
        table = replace(table, notes=(*table.notes, f"bold: the {'largest' if sign > 0 else 'smallest'} of each row"))
    return table


def with_notes(table: Table, runs: Runs) -> Table:
    """The table, and under it protocol, notes, attack sizes, what its subjects mean, and jobs without a result."""
    protocols = ["protocol: " + "; ".join(f"{k}: {v}" for k, v in protocol.items()) for protocol in runs.protocols()]
    if len(protocols) > 1:
        protocols.append("these runs follow different protocols: their numbers do not compare")
    missing = [f"no result: {shown_path(job.folder)}: {job.reason}" for job in runs.missing]
    if missing:
        total = len(runs.runs) + len(runs.missing)
        missing.insert(0, f"{len(runs.missing)} of {total} jobs have no result and are in no mean")
    about = f"{table.title} {' '.join(group for group, _ in table.columns)}".split()
    told = subjects_in_words({word for word in about if word in SUBJECTS})
    return replace(
        table,
        notes=(
            *protocols,
            *runs.data_notes(),
            *runs.altered(),
            *attack_sizes(runs),
            *table.notes,
            *([told] if told else []),
            *missing,
        ),
    )


def _effect(group: pd.DataFrame, metric: Metric) -> list[Entry | None]:
    found = _rows_of(group, metric)
    if found.empty:
        return [None, None, None]
    row = found.iloc[0]
    attacked = Entry(row["mean"], row.sd, int(row.n))
    if not np.isfinite(row.clean_mean):
        return [None, attacked, None]
    paired = int(row.clean_n)
    return [
        Entry(row.clean_mean, row.clean_sd, paired),
        attacked,
        Entry(row.difference, n=paired, p=row.p, signed=True),
    ]


def _rows_of(group: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    same_k = group.k.isna() if metric.k is None else (group.k == metric.k).fillna(False)
    return group[(group.subject == metric.subject) & (group.metric == metric.name) & same_k]


def _entry(group: pd.DataFrame) -> Entry | None:
    if group.empty:
        return None
    row = group.iloc[0]
    return Entry(row["mean"], row.sd, int(row.n), row.p)


def mark_best(entries: list[list[Entry | None]], sets: Iterable[list[tuple[int, int]]], sign: int) -> None:
    """Set ``best`` on the largest (smallest with ``sign`` -1) of each set of at least two entries; ties share it."""
    for places in sets:
        means = {(r, c): sign * e.mean for r, c in places if (e := entries[r][c]) is not None and np.isfinite(e.mean)}
        if len(means) > 1 and min(means.values()) < max(means.values()):
            for r, c in (place for place, mean in means.items() if mean == max(means.values())):
                entries[r][c] = replace(entries[r][c], best=True)  # type: ignore[type-var]  # not None: see means


def finished(
    title: str,
    keys: Sequence[str],
    rows: Sequence[tuple[str, ...]],
    columns: Sequence[tuple[str, str]],
    entries: list[list[Entry | None]],
) -> Table:
    """Correct the p-values over the whole table and say what n and stars mean."""
    compared = [(r, c) for r, row in enumerate(entries) for c, e in enumerate(row) if e and np.isfinite(e.p)]
    raw = [entries[r][c].p for r, c in compared]  # type: ignore[union-attr]  # compared holds no None
    for (r, c), p in zip(compared, holm(np.array(raw)) if raw else [], strict=True):
        entries[r][c] = replace(entries[r][c], p=float(p))  # type: ignore[type-var]
    notes = ["mean ± standard deviation over n seeds" if _any(entries, lambda e: e.n > 1) else "one seed each"]
    if compared:
        over = "seeds" if _any(entries, lambda e: e.n > 1) else "users"
        notes.append(
            f"{STARS}: paired t-test against the clean cell over {over}, Holm-corrected over {len(compared)} tests"
        )
    return Table(
        title, tuple(keys), tuple(rows), tuple(columns), tuple(tuple(row) for row in entries), ("; ".join(notes),)
    )


def _any(entries: list[list[Entry | None]], holds: Callable[[Entry], bool]) -> bool:
    return any(entry is not None and holds(entry) for row in entries for entry in row)


def alike(names: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """The places of equal names, a list for each distinct one."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, name in enumerate(names):
        groups.setdefault(name, []).append(number)
    return list(groups.values())


def in_words(fixed: Sequence[str]) -> str:
    """What is the same in all rows, in parentheses after a title."""
    return f" ({', '.join(fixed)})" if fixed else ""


def as_text(value: Any) -> str:
    """A setting's value in a table; a dash where a row has none."""
    if value is None or value != value:
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_order(summary: pd.DataFrame, keys: list[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """One group a row: names as they appear, ``none`` first; other settings by size."""
    appeared = {key: list(summary[key].unique()) for key in keys if key in LABELS}

    def place(item: tuple[tuple[Any, ...], pd.DataFrame]) -> list[Any]:
        named = zip(keys, item[0], strict=True)
        return [(v != "none", appeared[key].index(v)) if key in appeared else _order(v) for key, v in named]

    return sorted(summary.groupby(keys, sort=False, dropna=False), key=place)


def _order(value: Any) -> tuple[int, float, str]:
    """No value first, then ``none``, numbers by size, words by name."""
    if value is None or value != value:
        return 0, 0, ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 2, float(value), ""
    return (1, 0, "") if str(value) == "none" else (3, 0, str(value))
