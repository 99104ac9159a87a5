"""What each run's training data hold, as numbers of a cell without an attack: for tables that summarise datasets."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from recpoison.report.runs import LABELS, METRICS, Run

_FIGURES = {"Users": "users", "Items": "items", "Rows": "train_rows", "Zeros": "train_zeros"}  # as run.json has them


def data_figures(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a figure, dataset, model and seed of a run, under the subject ``data``.

    Columns are those of ``metrics.csv``, ``clean``, and ``run``, the run's place.
    """
    rows = [row for place, run in enumerate(runs) for row in _rows(run, place)]
    frame = pd.DataFrame(rows, columns=[*METRICS, "clean", "run"])
    return frame.astype({"seed": "int64", "k": "Int64", "value": float, "clean": float, "run": "int64"})


def _rows(run: Run, place: int) -> list[tuple[object, ...]]:
    data = run.about.get("data", {})
    named = run.metrics[[*LABELS[:2], "seed"]].drop_duplicates()
    return [
        (dataset, model, "none", "none", seed, "data", figure, None, float(facts[key]), 1, None, place)
        for dataset, model, seed in named.itertuples(index=False, name=None)
        if isinstance(facts := data.get(str(seed)), dict)
        for figure, key in _FIGURES.items()
        if key in facts
    ]
