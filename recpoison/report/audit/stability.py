"""How much of everybody's recommended lists an attack moves, beside what retraining alone moves."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from recpoison.evaluation.list_stability import jaccard, rank_biased_overlap
from recpoison.report.audit.cells import attack_label
from recpoison.report.audit.findings import Audit
from recpoison.report.reading import read_arrays
from recpoison.report.runs import Run


class Stability(NamedTuple):
    """How alike two sets of lists are, 1 being the same; a number for each seed, or for each pair of seeds.

    Args:
        overlap: Mean over users of rank-biased overlap with persistence 0.9, normalised at the lists' length.
        shared: Mean over users of the Jaccard index.
    """

    overlap: list[float]
    shared: list[float]


def stability(audit: Audit, victim: str, bucket: str) -> tuple[Stability, Stability]:
    """Clean lists beside those under the strongest attack with the most fake users, and between clean seeds.

    The users are the same; between seeds their held-out rows may differ, and with them what may be recommended.

    Raises:
        BrokenArrays: If the lists of a run cannot be read.
    """
    rows = audit.at(audit.cells.frame, victim=victim, bucket=bucket, budget=audit.cells.largest)
    rows = rows[rows.attack == audit.winner(victim, bucket)]
    attacked, clean = Stability([], []), Stability([], [])
    for _, same in rows.groupby("draw"):
        lists = {}
        for row in same.itertuples():
            run = audit.cells.runs[row.run]
            lists[row.seed] = _lists(run, row.seed, "none", audit.cells.k)
            _compare(attacked, lists[row.seed], _lists(run, row.seed, attack_label(run), audit.cells.k))
        if not clean.overlap:  # nobody attacked: the same for each target
            for one, other in combinations(lists.values(), 2):
                _compare(clean, one, other)
    return attacked, clean


def _compare(into: Stability, first: pd.DataFrame, second: pd.DataFrame) -> None:
    both = first.index.intersection(second.index)
    lists = first.loc[both].to_numpy(), second.loc[both].to_numpy()
    into.overlap.append(float(rank_biased_overlap(*lists).mean()))
    into.shared.append(float(jaccard(*lists).mean()))


def _lists(run: Run, seed: int, attack: str, k: int) -> pd.DataFrame:
    """The first ``k`` items of each user without a defense, by the user's number."""
    prefix = f"seed={seed}/attack={attack}/defense=none"
    arrays = read_arrays(run.folder / "ranks.npz", prefix, ["list_users", "lists"])
    return pd.DataFrame(np.asarray(arrays["lists"])[:, :k], index=arrays["list_users"])
