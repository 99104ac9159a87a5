"""AutoShill: the worst case of several attacks, chosen on some seeds and reported on others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from recpoison.report.audit.cells import PLACE

NAME = "AutoShill"
_ENSEMBLE = [*PLACE, "defense", "budget"]


def worst_case(frame: pd.DataFrame) -> pd.DataFrame:
    """What the best attack on each target comes to, a row for each seed.

    An attack that is the best of several on the seeds that are also reported is luckier than it is strong. So the
    number of a seed is that of the attack with the highest mean over all other seeds; winners of two seeds may differ,
    and then the figure deserves doubt. With a single seed there is no other, and it chooses for itself. An attack that
    has no number for a seed of others does not compete.

    Args:
        frame: Rows of ``Cells.frame``.

    Returns:
        The same columns, ``attack`` being the winner.
    """
    rows = [row for names, group in frame.groupby(_ENSEMBLE, sort=False) for row in _rows(names, group)]
    return pd.DataFrame(rows, columns=list(frame.columns))


def _rows(names: tuple[Any, ...], group: pd.DataFrame) -> Iterator[dict[str, Any]]:
    table = group.pivot(index="seed", columns="attack", values="value")[list(dict.fromkeys(group.attack))]
    table = table.dropna(axis="columns") if table.notna().all().any() else table
    for seed in table.index:
        others = table.drop(index=seed) if len(table) > 1 else table
        winner = others.mean().idxmax()  # of equals the first
        (chosen,) = group[(group.seed == seed) & (group.attack == winner)].to_dict("records") or [None]
        if chosen is not None:
            yield chosen | dict(zip(_ENSEMBLE, names, strict=True))


def reaches_best(frame: pd.DataFrame, worst: pd.DataFrame) -> pd.DataFrame:
    """Of each cell at each number of fake users: whether AutoShill comes up to the best single attack.

    It does where its mean over seeds is at least the best attack's mean less one standard error of that mean. The best
    attack is the best in hindsight, on all seeds.

    Returns:
        ``_ENSEMBLE`` columns, ``best`` (the attack), ``least`` (what is to be reached), ``mean`` and ``reached``.
    """
    rows = []
    for names, group in frame.groupby(_ENSEMBLE, sort=False):
        means = group.groupby("attack", sort=False).value.agg(["mean", "sem"]).fillna({"sem": 0.0})
        best = means["mean"].idxmax()
        least = float(means.loc[best, "mean"] - means.loc[best, "sem"])
        same = (worst[_ENSEMBLE] == list(names)).all(axis=1)
        mean = float(worst[same].value.mean())
        rows.append((*names, best, least, mean, mean >= least - 1e-12))
    return pd.DataFrame(rows, columns=[*_ENSEMBLE, "best", "least", "mean", "reached"])
