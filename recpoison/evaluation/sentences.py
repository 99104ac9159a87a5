"""What was found, in sentences: effect, interval over seeds, n. The same on the console, in files and in reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recpoison.evaluation.questions import AGAINST, CELL, COMPARED, FAMILY_SEPARATOR, Metric
from recpoison.evaluation.significance import LEVEL, fewest_pairs, seeds_that_would_do, told_apart
from recpoison.evaluation.subjects import (
    FAKE_WEIGHT,
    LOST,
    PAIRED_TESTS,
    PRECISION,
    RANKED,
    REAL_WEIGHT,
    RECALL,
    REMOVED,
    SUBJECTS,
    WEIGHED,
    share_undone,
)

_WHOSE = {"target": "the targets' ", "test": "held-out ", "path": "over the attack's steps held-out "}
_ADVISED = 5  # seeds, where there is no spread to compute a number from


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``, ``1,000 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def decimal(value: float, like: float | None = None, sign: str = "") -> str:
    """Four decimals for shares, fewer for ranks: by the size of ``like``."""
    value = round(value, 12)  # a sum of shares and the share itself differ in the last bits
    size = abs(value if like is None else like)
    text = f"{value:{sign}.{4 if size < 10 else 2 if size < 100 else 1}f}"
    return text.replace("-", "+" if sign else "") if float(text) == 0 else text


def story(summary: pd.DataFrame, test: str = "t", keys: Sequence[str] = ()) -> list[str]:
    """What each attack did, what each defense changed about it, and for how much of that the seeds suffice.

    A sentence has the metrics of the question's family. Cells that differ in more than attack and defense are named.

    Args:
        summary: What ``summarise`` returned.
        test: The test of its p-values.
        keys: Settings that tell cells of equal names apart.
    """
    if summary.empty:
        return []
    rows = summary[summary.family != ""]
    attacked = rows[rows.attack != "none"]
    names = [key for key in (*CELL[:3], *keys) if (attacked if len(attacked) else rows)[key].nunique(dropna=False) > 1]
    groups = rows.groupby([*CELL, *keys], sort=False, dropna=False)
    cells = [cell.sort_values("subject", key=_place_of_subject, kind="stable") for _, cell in groups]
    cells = sorted(cells, key=lambda cell: cell.defense.iloc[0] != "none")  # stable: the order typed
    told = [_attacked(cell, names, test) for cell in cells] + [_defended(cell, names, test) for cell in cells]
    undefended = {_place(cell, keys): cell for cell in cells if cell.defense.iloc[0] == "none"}
    told += [_undone(cell, undefended.get(_place(cell, keys)), names) for cell in cells]
    for subject, sentence_of in ((REMOVED, _removed), (WEIGHED, _weighed)):
        thought = summary[summary.subject == subject].groupby([*CELL, *keys], sort=False, dropna=False)
        told += [sentence_of(cell, names) for _, cell in thought]
    return [*(sentence for sentence in told if sentence), *_too_few(rows, test)]


def _place_of_subject(subjects: pd.Series) -> pd.Series:
    """As in tables; subjects of a user's own evaluation come last."""
    places = {subject: place for place, subject in enumerate(SUBJECTS)}
    return subjects.map(lambda subject: places.get(subject, len(places)))


def _attacked(cell: pd.DataFrame, named: Sequence[str], test: str) -> str:
    """What an attack did under one defense, or under none."""
    first = cell.iloc[0]
    told = [_change(row, "clean", test) for row in cell.itertuples() if np.isfinite(row.difference)]
    under = "" if first.defense == "none" else f"with defense {first.defense}"
    return _sentence([*_names(first, named), under], told)


def _defended(cell: pd.DataFrame, named: Sequence[str], test: str) -> str:
    """What a defense changed under one attack, or under none."""
    first = cell.iloc[0]
    told = [_change(row, "undefended", test) for row in cell.itertuples() if np.isfinite(row.defense_difference)]
    under = f"under attack {first.attack}" if first.attack != "none" else "without an attack"
    others = _names(first, [key for key in named if key != "attack"])
    return _sentence([*others, f"{under}, defense {first.defense} instead of none"], told)


def _place(cell: pd.DataFrame, keys: Sequence[str]) -> tuple[object, ...]:
    """What a defended cell and the undefended one have in common: all but the defense."""
    values = cell.iloc[0][[*CELL[:3], *keys]]
    return tuple(None if pd.isna(value) else value for value in values)


def _undone(cell: pd.DataFrame, undefended: pd.DataFrame | None, named: Sequence[str]) -> str:
    """How much of what an attack did to the targets a defense undid: RI of the means over seeds.

    The ratio of a single seed may be any number where its attack did little, and so may a mean of such ratios.
    """
    first, told = cell.iloc[0], []
    if undefended is None or "none" in (first.attack, first.defense):
        return ""
    before = {row.k: row for row in undefended.itertuples() if (row.subject, row.metric) == ("target", "HR")}
    for row in cell.itertuples():
        plain = before.get(row.k) if (row.subject, row.metric) == ("target", "HR") else None
        if plain is not None and plain.mean > plain.clean_mean:
            undone = share_undone(plain.clean_mean, plain.mean, row.mean)
            told.append(f"robustness improvement@{int(row.k)} of the means is {decimal(undone)}")
    if told:
        told[-1] += " (1: targets as without the attack; 0: as without the defense)"
    others = _names(first, [key for key in named if key not in ("attack", "defense")])
    return _sentence([*others, f"under attack {first.attack}, with defense {first.defense}"], told)


def _removed(cell: pd.DataFrame, named: Sequence[str]) -> str:
    """What a defense that removes users caught: precision, recall, the share of real users it lost, and AUROC."""
    first, shares = cell.iloc[0], dict(zip(cell.metric, cell["mean"], strict=True))
    told = [f"{decimal(shares[LOST])} of the real users lost"]
    if RECALL in shares:
        told.insert(0, f"{decimal(shares[RECALL])} of the fake users caught (recall)")
    if PRECISION in shares:
        told.insert(0, f"{decimal(shares[PRECISION])} of the removed users are fake (precision)")
    if RANKED in shares:
        told.append(f"fake users were more suspicious than real ones in {decimal(shares[RANKED])} of pairs (AUROC)")
    return _thought(first, named, "removed users", told)


def _weighed(cell: pd.DataFrame, named: Sequence[str]) -> str:
    """What a defense that weighs users made of the fake ones: the weight they keep beside the real ones', and AUROC."""
    first, values = cell.iloc[0], dict(zip(cell.metric, cell["mean"], strict=True))
    told = [f"real users weigh {decimal(values[REAL_WEIGHT])} on average"]
    if FAKE_WEIGHT in values:
        told.insert(0, f"fake users weigh {decimal(values[FAKE_WEIGHT])} on average")
    if RANKED in values:
        told.append(f"fake users weigh less than real ones in {decimal(values[RANKED])} of pairs (AUROC)")
    return _thought(first, named, "weighed users", told)


def _thought(cell: pd.Series, named: Sequence[str], done: str, told: Sequence[str]) -> str:
    under = f"under attack {cell.attack}" if cell.attack != "none" else "without an attack"
    others = _names(cell, [key for key in named if key not in ("attack", "defense")])
    return _sentence([*others, f"{under}, defense {cell.defense} {done}"], told)


def _sentence(place: Sequence[str], told: Sequence[str]) -> str:
    where = ", ".join(word for word in place if word)
    text = f"{where}: {'; '.join(told)}." if where else f"{'; '.join(told)}."
    is_name = bool(place and place[0] and len(place) > 1)  # names of parts keep their case
    return (text if is_name else text[0].upper() + text[1:]) if told else ""


def _names(cell: pd.Series, keys: Sequence[str]) -> list[str]:
    """What tells a cell from the others: names as they are, settings with theirs."""
    known = [(key, cell[key]) for key in keys if cell[key] is not None and cell[key] == cell[key]]
    return [str(value) if key in CELL else f"{key}={value}" for key, value in known]


def _change(row: Any, against: str, test: str) -> str:
    """One metric: from, to, difference, interval, p, n, and how many seeds would do where these do not."""
    start = AGAINST[against]
    metric = Metric(row.subject, row.metric, None if pd.isna(row.k) else int(row.k))
    whose = _WHOSE.get(metric.subject, f"{metric.subject} ")
    before, difference = getattr(row, f"{against}_mean"), getattr(row, f"{start}difference")
    old, new = decimal(before), decimal(before + difference)  # over the seeds that have both cells
    moved = f"{'rose' if difference > 0 else 'fell'} from {old} to {new}" if old != new else f"stayed at {new}"
    return f"{whose}{metric.label} {moved}{_certainty(row, against, test)}"


def _certainty(row: Any, against: str, test: str) -> str:
    start, n = AGAINST[against], int(getattr(row, f"{against}_n"))
    difference, sd, p, low, high = (getattr(row, f"{start}{name}") for name in COMPARED)
    if n < 2:
        return ""
    like = getattr(row, f"{against}_mean")
    shown, seeds = decimal(difference, like, "+"), counted(n, "seed")
    if not np.isfinite(low):
        same = "equal" if difference == 0 else shown
        return f" ({same} in each of {seeds}: no spread, so no t-test{f', p {_p(p)}' if np.isfinite(p) else ''})"
    ends = f"95% interval {decimal(low, like, '+')} to {decimal(high, like, '+')}"
    more = ""
    if p >= LEVEL and test == "t" and float(shown) != 0:
        needed = seeds_that_would_do(difference / sd, _size(row))
        more = f"; {'more than 1,000' if needed is None else f'{max(needed, n + 1)}'} seeds would tell"
    return f" ({shown}, {ends}{f', p {_p(p)}' if np.isfinite(p) else ''}, n = {seeds}{more})"


def _p(p: float) -> str:
    return f"= {p:.2g}" if p >= 0.001 else "< 0.001"


def _size(row: Any) -> int:
    return len(row.family.split(FAMILY_SEPARATOR))


def _too_few(rows: pd.DataFrame, test: str) -> list[str]:
    """Whether these seeds suffice for any verdict, and what the numbers of seeds in the sentences above mean."""
    compared = rows[rows.difference.notna() | rows.defense_difference.notna()]
    if compared.empty:
        return []
    counts = [compared.clean_n[compared.difference.notna()], compared.undefended_n[compared.defense_difference.notna()]]
    most, family = int(pd.concat(counts).max()), max(_size(row) for row in compared.itertuples())
    least = fewest_pairs(test, family)
    if most < least:
        return [_no_verdict(most, least, family, test)]
    is_open = (compared.p >= LEVEL) | (compared.defense_p >= LEVEL)
    if test != "t" or not is_open.any():
        return []
    return [
        "Seeds that would tell: in four of five experiments they tell a difference of this mean and spread from none."
    ]


def _no_verdict(n: int, least: int, family: int, test: str) -> str:
    if n > 1 or test != "t":
        return (
            f"{counted(n, 'seed')}: too few for any verdict. In a family of {counted(family, 'test')} "
            f"{PAIRED_TESTS[test]} can come below p = {LEVEL:g} from {least} seeds on (repeats={least})."
        )
    return (
        f"1 seed: too few for any verdict, since it has no spread: no interval and no p. {_ADVISED} seeds "
        f"(repeats={_ADVISED}) tell a difference from none where it is {told_apart(_ADVISED, family):.1f} times "
        "its own standard deviation."
    )
