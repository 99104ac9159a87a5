"""Tables over many runs: what an attack did, and any setting against any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recpoison.errors import ConfigError
from recpoison.evaluation.questions import Metric, primary
from recpoison.evaluation.questions import in_words as how_tested
from recpoison.evaluation.sentences import counted
from recpoison.evaluation.significance import star_rule
from recpoison.evaluation.subjects import SUBJECTS
from recpoison.evaluation.subjects import in_words as subjects_in_words
from recpoison.report.attack_sizes import attack_sizes
from recpoison.report.measurements import Measurements
from recpoison.report.runs import LABELS, Runs, shown_path

SMALLER_IS_MORE = ("MeanRank", "LogLoss")  # a promoted item climbs to a smaller rank


@dataclass(frozen=True)
class Entry:
    """One number of a table.

    Args:
        mean: Over seeds.
        sd: Over seeds, n - 1 in its denominator; nan with a single seed.
        n: Number of seeds.
        p: Of the paired comparison, corrected within its question; nan where nothing is compared or tested.
        signed: Whether it is a difference, printed with its sign.
        best: Whether it is printed in bold.
        low: Of the 95% interval of a difference; nan with a single seed.
        high: Its other end.
        family: The tests that ``p`` was corrected with, as ``questions.summarise`` names them.
        undefined: Whether there can be no number, because parts do not fit together.
        percent: Whether a share is printed as hundredths; the table's title or heads say so.
        remark: A sign after the number that a note of the table explains.
    """

    mean: float
    sd: float = float("nan")
    n: int = 1
    p: float = float("nan")
    signed: bool = False
    best: bool = False
    low: float = float("nan")
    high: float = float("nan")
    family: str = ""
    undefined: bool = False
    percent: bool = False
    remark: str = ""


UNDEFINED = Entry(float("nan"), n=0, undefined=True)


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
        told: Sentences printed above it: what was found.
    """

    title: str
    keys: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, str], ...]
    entries: tuple[tuple[Entry | None, ...], ...]
    notes: tuple[str, ...] = ()
    mixed: bool = False
    told: tuple[str, ...] = ()

    def seeds(self, row: int) -> str:
        """Number of seeds behind a row, as a range where its entries differ."""
        counts = sorted({entry.n for entry in self.entries[row] if entry and not entry.undefined})
        return "–".join(str(n) for n in dict.fromkeys((counts[0], counts[-1]))) if counts else "0"


def default_metrics(measurements: Measurements) -> list[Metric]:
    """HR@50 of the targets and HR@10 of the held-out items; where absent, the first metric of each subject."""
    return primary(measurements.metrics())


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
    summary = measurements.with_undefined(measurements.summary([metric]))
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
    title, test = f"{metric.title}{in_words(fixed)}", measurements.paired_test
    table = finished(title, keys, shown, heads, entries, test, keep_undefined=True)
    if any(entry and entry.best for row in table.entries for entry in row):
        table = replace(table, notes=(*table.notes, f"bold: the {'largest' if sign > 0 else 'smallest'} of each row"))
    return table


def with_notes(table: Table, runs: Runs) -> Table:
    """The table, and under it protocol, notes, attack sizes, what its subjects mean, and jobs without a number."""
    protocols = ["protocol: " + "; ".join(f"{k}: {v}" for k, v in protocol.items()) for protocol in runs.protocols()]
    if len(protocols) > 1:
        protocols.append("these runs follow different protocols: their numbers do not compare")
    missing = [f"no result: {shown_path(job.folder)}: {job.reason}" for job in runs.missing]
    if missing:
        total = len(runs.runs) + len(runs.missing)
        missing.insert(0, f"{len(runs.missing)} of {total} jobs have no result and are in no mean")
    reasons = [job.reason for job in runs.undefined]
    undefined = [f"n/a: {reason} ({counted(reasons.count(reason), 'job')})" for reason in dict.fromkeys(reasons)]
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
            *undefined,
            *missing,
        ),
    )


def notes_once(tables: Sequence[Table]) -> list[Table]:
    """The tables of one document: a note stands under the first that has it."""
    said: set[str] = set()
    shown = []
    for table in tables:
        shown.append(replace(table, notes=tuple(note for note in table.notes if note not in said)))
        said.update(table.notes)
    return shown


def blank(group: pd.DataFrame) -> Entry | None:
    """What stands where ``group`` has no number: nothing was measured, or nothing can be."""
    return UNDEFINED if len(group) and group.undefined.all() else None


def _entry(group: pd.DataFrame) -> Entry | None:
    measured = group[~group.undefined]
    if measured.empty:
        return blank(group)
    row = measured.iloc[0]
    return Entry(row["mean"], row.sd, int(row.n), row.p, family=row.family)


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
    paired_test: str = "t",
    keep_undefined: bool = False,
) -> Table:
    """The table without columns that hold no number, and a note of what n, stars and the corrected tests mean.

    With ``keep_undefined`` a column stays where it says that something is not defined.
    """

    def tells(entry: Entry) -> bool:
        return bool(np.isfinite(entry.mean)) or (keep_undefined and entry.undefined)

    filled = [c for c in range(len(columns)) if _any([[row[c]] for row in entries], tells)]
    columns, entries = [columns[c] for c in filled], [[row[c] for c in filled] for row in entries]
    notes = ["mean ± standard deviation over n seeds" if _any(entries, lambda e: e.n > 1) else "one seed each"]
    tested = [e.family for row in entries for e in row if e and np.isfinite(e.p)]
    if tested:
        notes += [star_rule(), how_tested(tested, paired_test)]
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
