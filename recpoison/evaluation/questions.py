"""What a table asks of its numbers: which cell is compared with which, and which tests belong together.

A question compares one cell with another: an attack with no attack (under the same defense), or a defense with no
defense (under the same attack). It has one family of tests: the first metric of each subject, the targets' first. Their
p-values are corrected by Holm's rule within the question, so that nothing measured beside it changes its verdict. All
other metrics have an interval and no p-value.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from recpoison.evaluation.significance import TESTS, holm, paired_t
from recpoison.evaluation.subjects import IMPROVEMENT, OF_DEFENSE, PAIRED_TESTS, SUBJECTS

CELL = ("dataset", "model", "attack", "defense")
MEASURE = ("subject", "metric", "k")
COMPARED = ("difference", "difference_sd", "p", "low", "high")
# What is compared with: the column of the other cell's number, and what the columns of the answer start with.
AGAINST = {"clean": "", "undefended": "defense_"}
_PRIMARY = (("target", "HR", 50), ("test", "HR", 10), ("path", "HR", 10))
_UNTESTED = ("surrogate", "fake", *OF_DEFENSE)  # they have no number in a clean cell, or in an undefended one
_BESIDE = ("surrogate", *OF_DEFENSE)  # of an attack itself and of a defense itself: no table compares them unasked
FAMILY_SEPARATOR = "; "


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


def metrics_in(frame: pd.DataFrame) -> list[Metric]:
    """What was measured, in the order of the rows."""
    distinct = frame[list(MEASURE)].drop_duplicates()
    return [Metric(row.subject, row.metric, None if pd.isna(row.k) else int(row.k)) for row in distinct.itertuples()]


def metric_of_each(frame: pd.DataFrame) -> list[Metric]:
    """The metric of each row."""
    rows = zip(frame.subject, frame.metric, frame.k, strict=True)
    return [Metric(subject, name, None if pd.isna(k) else int(k)) for subject, name, k in rows]


def primary(known: Sequence[Metric]) -> list[Metric]:
    """HR@50 of the targets and HR@10 of the held-out items; where absent, the first metric of each subject.

    The surrogate of a learned attack is no victim, and what a defense thought of users is no effect on one: they are
    left out unless there is nothing else.
    """
    chosen = []
    subjects = {m.subject for m in known}
    for subject in (name for name in SUBJECTS if name in subjects):
        if subject in _BESIDE and subjects - {*_BESIDE}:
            continue
        offered = [m for m in known if m.subject == subject]
        chosen.append(next((Metric(*m) for m in _PRIMARY if Metric(*m) in offered), offered[0]))
    return chosen or list(known[:1])  # a user's own evaluation may have subjects of its own


def family_of(known: Sequence[Metric]) -> list[Metric]:
    """The metrics that are tested where ``known`` were measured: the primary ones that a clean cell has too."""
    return [metric for metric in primary(known) if _is_tested(metric)]


def _is_tested(metric: Metric) -> bool:
    """Whether the cells that are compared both have it."""
    return metric.subject not in _UNTESTED and metric.name != IMPROVEMENT


def with_counterparts(frame: pd.DataFrame, within: Sequence[str] = ()) -> pd.DataFrame:
    """With the same number of the cell without the attack (``clean``) and without the defense (``undefended``).

    nan where there is none, and in the cells that are themselves compared with. The mean over an attack's steps
    (``path``) compares with the clean number of the ``test`` rows.

    Args:
        frame: The columns of ``metrics.csv``, one row a number.
        within: Columns that both cells must share besides names and seed, such as the run.
    """
    for name, group in (("clean", "attack"), ("undefended", "defense")):
        pairing = [*within, *(key for key in CELL if key != group), "seed", *MEASURE]
        other = frame[frame[group] == "none"].drop_duplicates(pairing).rename(columns={"value": name})
        if name == "clean":
            other = pd.concat([other, other[other.subject == "test"].assign(subject="path")], ignore_index=True)
            other = other.drop_duplicates(pairing)
        frame = frame.merge(other[[*pairing, name]], on=pairing, how="left")
        frame.loc[frame[group] == "none", name] = np.nan
    return frame


def summarise(
    frame: pd.DataFrame,
    keys: Sequence[str] = (),
    test: str = "t",
    wanted: Sequence[Metric] | None = None,
) -> pd.DataFrame:
    """One row a number over the seeds of a cell: mean, spread, and what both comparisons say.

    ``mean sd n``; for the comparison with the cell without the attack ``clean_mean clean_sd clean_n difference
    difference_sd p low high``; for that with the cell without the defense the same, named ``undefended_...`` and
    ``defense_...``. ``p`` stands for the metrics of the question's ``family`` alone, corrected within it; ``low`` and
    ``high`` bound each mean difference (95%, from the t). ``family`` names the tests, parted by ``FAMILY_SEPARATOR``;
    it is empty for a metric that is not tested.

    Args:
        frame: What ``with_counterparts`` returned.
        keys: Settings that tell cells of equal names apart.
        test: One of ``TESTS``.
        wanted: The metrics to tell of, which then join the families; None tells of all, and the families stay.
    """
    cell = [*CELL, *keys]
    families = {
        number: _family(metrics_in(rows), wanted)
        for number, (_, rows) in enumerate(frame.groupby(cell, sort=False, dropna=False))
    }
    places = frame.groupby(cell, sort=False, dropna=False).ngroup()
    frame = frame.assign(family=[families[place] for place in places], about=metric_of_each(frame))
    told = set(frame.about) if wanted is None else set(wanted)
    needed = [metric in told or metric in family for metric, family in zip(frame.about, frame.family, strict=True)]
    groups = frame[needed].groupby([*cell, *MEASURE], sort=False, dropna=False)
    summary = pd.DataFrame(
        [
            dict(zip([*cell, *MEASURE], names, strict=True))
            | over_seeds(rows, test)
            | {"about": rows.about.iloc[0], "family": rows.family.iloc[0]}
            for names, rows in groups
        ]
    )
    if summary.empty:
        return summary
    summary = _corrected(summary, cell)
    kept = summary[[metric in told for metric in summary.about]].drop(columns="about")
    return kept.reset_index(drop=True).astype({"k": "Int64"})


def over_seeds(group: pd.DataFrame, test: str = "t") -> dict[str, Any]:
    """What ``summarise`` says of one number, from its rows' ``value``, ``clean`` and ``undefended``; p uncorrected."""
    measured = group[group.value.notna()]
    found = _mean_and_spread(measured.value.to_numpy(float), "")
    for name, start in AGAINST.items():
        both = measured[measured[name].notna()] if name in measured else measured.iloc[:0]
        before, after = (both[column].to_numpy(float) if len(both) else np.zeros(0) for column in (name, "value"))
        found |= _mean_and_spread(before, f"{name}_") | _compared(before, after, start, test)
    return found


def in_words(families: Iterable[str], test: str = "t") -> str:
    """How the p-values of a table were made, to be printed under it; ``families`` as ``summarise`` names them."""
    named = [family.split(FAMILY_SEPARATOR) for family in dict.fromkeys(families) if family]
    sizes = [
        f"Holm-corrected within each question over {len(names)} tests ({_listed(names)})"
        if len(names) > 1
        else f"one test in each question ({names[0]})"
        for names in named
    ]
    return (
        f"p: {PAIRED_TESTS[test]} over seeds; {' or '.join(sizes)}; other metrics have intervals, no p; "
        "intervals: 95%, of Student's t, each for its one difference"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names if len(names) <= 6 else [*names[:3], "...", names[-1]])


def _mean_and_spread(values: np.ndarray, start: str) -> dict[str, Any]:
    return {
        f"{start}mean": values.mean() if len(values) else np.nan,
        f"{start}sd": values.std(ddof=1) if len(values) > 1 else np.nan,
        f"{start}n": len(values),
    }


def _compared(before: np.ndarray, after: np.ndarray, start: str, test: str) -> dict[str, Any]:
    if not len(before):
        return {f"{start}{name}": np.nan for name in COMPARED}
    p, low, high = paired_t(before, after)
    if len(before) > 1 and test != "t":
        p = TESTS[test](before, after)
    differences = after - before
    sd = differences.std(ddof=1) if len(differences) > 1 else np.nan
    return {f"{start}{name}": x for name, x in zip(COMPARED, (differences.mean(), sd, p, low, high), strict=True)}


def _family(known: Sequence[Metric], wanted: Sequence[Metric] | None) -> tuple[Metric, ...]:
    """The tests of a question, and after them the metrics that were asked for by name."""
    family = family_of(known)
    joining = [metric for metric in wanted or () if metric in known and _is_tested(metric)]
    return tuple(dict.fromkeys([*family, *joining]))


def _corrected(summary: pd.DataFrame, cell: Sequence[str]) -> pd.DataFrame:
    """P-values of the families alone, corrected within each question."""
    tested = np.array([about in family for about, family in zip(summary.about, summary.family, strict=True)])
    for start in AGAINST.values():
        summary.loc[~tested, f"{start}p"] = np.nan
        for _, rows in summary[tested].groupby(list(cell), sort=False, dropna=False):
            summary.loc[rows.index, f"{start}p"] = holm(rows[f"{start}p"].to_numpy(float))
    names = [FAMILY_SEPARATOR.join(metric.title for metric in family) for family in summary.family]
    return summary.assign(family=np.where(tested, names, ""))
