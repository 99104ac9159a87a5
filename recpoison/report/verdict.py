"""What attacks did, in a sentence for each attacked cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recpoison.report.measurements import Measurements, Metric
from recpoison.report.runs import LABELS
from recpoison.report.tables import default_metrics

_WHOSE = {"target": "the targets' ", "test": "held-out ", "path": "over the attack's steps held-out "}


def sentences(measurements: Measurements) -> list[str]:
    """One sentence a cell with an attack: from, to, and for several seeds the p-value of the paired t-test."""
    summary = pd.concat([measurements.summary([metric]) for metric in default_metrics(measurements)])
    attacked = summary[(summary.attack != "none") & summary.difference.notna()]
    keys = [*LABELS, *measurements.keys]
    varying = [key for key in keys if attacked[key].nunique(dropna=False) > 1]
    told = []
    for _, cell in attacked.groupby(keys, sort=False, dropna=False):
        place = ", ".join(_place(cell.iloc[0], varying))
        changes = "; ".join(_change(row) for row in cell.itertuples())
        told.append(f"{place}: {changes}." if place else f"{changes[0].upper()}{changes[1:]}.")
    return told


def _place(cell: pd.Series, varying: Sequence[str]) -> list[str]:
    """What tells a cell from the others: names as they are, settings with theirs."""
    known = [(key, cell[key]) for key in varying if not pd.isna(cell[key])]
    return [str(value) if key in LABELS else f"{key}={value}" for key, value in known]


def _change(row: Any) -> str:
    metric = Metric(row.subject, row.metric, None if pd.isna(row.k) else int(row.k))
    before, after = f"{row.clean_mean:.4f}", f"{row.clean_mean + row.difference:.4f}"
    moved = f"{'rose' if row.difference > 0 else 'fell'} from {before} to {after}"
    tested = f" (p = {row.p:.2g} over {row.clean_n} seeds)" if np.isfinite(row.p) else ""
    whose = _WHOSE.get(metric.subject, f"{metric.subject} ")
    return f"{whose}{metric.label} {moved if before != after else f'stayed at {after}'}{tested}"
