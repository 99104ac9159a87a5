"""The one number of a run that a search looks at: what the root setting ``objective`` names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recpoison.errors import ConfigError
from recpoison.evaluation.subjects import IMPROVEMENT, SUBJECTS
from recpoison.nearest import did_you_mean, nearest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_NAME = re.compile(r"(\w+)\.(\w+)(?:@([1-9]\d*))?")
_OF_RANKS = ("target", "test")  # what an evaluation with cutoffs measures, all of it listed in its metrics


def objective_problems(name: str, evaluation: Mapping[str, Any]) -> list[str]:
    """What is wrong with an objective that can be seen before a run: a sentence, or nothing.

    Args:
        name: Such as ``target.HR@50``.
        evaluation: The settings of the run's evaluation.
    """
    parts = _NAME.fullmatch(name)
    if parts is None or parts[1] not in SUBJECTS:
        return [
            f"objective is {name}: write SUBJECT.METRIC@K, such as target.HR@50, with one of {', '.join(SUBJECTS)} "
            "as the subject"
        ]
    subject, metric, k = parts.groups()
    if subject not in _OF_RANKS or "cutoffs" not in evaluation or metric == IMPROVEMENT:
        return []
    for key, wanted in (("metrics", metric), ("cutoffs", k and int(k))):
        there = evaluation.get(key)
        if wanted and isinstance(there, list) and wanted not in there:
            return [f"objective is {name}, but evaluation.{key} has no {wanted}: it has {', '.join(map(str, there))}"]
    return []


def read_objective(name: str, folder: Path) -> float:
    """The number of a finished run, as a mean over its seeds.

    Args:
        name: Such as ``target.HR@50``.
        folder: The run's, with its ``metrics.csv``.

    Raises:
        ConfigError: If the run has no such number, with those that it has.
    """
    import pandas as pd

    table = pd.read_csv(folder / "metrics.csv", keep_default_na=False, dtype=str)
    return float(seeds_of(name, table).mean())


def seeds_of(name: str, table: pd.DataFrame) -> np.ndarray:
    """``(n_seeds,)`` the number of each seed in the run's own attack and defense: in the last square that has it.

    Args:
        name: Such as ``target.HR@50``.
        table: The rows of ``metrics.csv``.

    Raises:
        ConfigError: If there is no such number, with those that there are.
    """
    import pandas as pd

    k = table.k.astype("string").fillna("")
    names = table.subject + "." + table.metric + ("@" + k).where(k != "", "")
    rows = table[names == name]
    if rows.empty:
        known = list(dict.fromkeys(names))
        raise ConfigError(f"the run measured no {name}{did_you_mean(nearest(name, known))}; it has {', '.join(known)}")
    last = rows.iloc[-1]
    values = pd.to_numeric(rows[(rows.attack == last.attack) & (rows.defense == last.defense)].value)
    if values.isna().any():
        raise ConfigError(f"{name} is not defined in this run: choose another number")
    return values.to_numpy(dtype=float)
