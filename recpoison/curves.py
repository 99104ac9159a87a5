"""Curves of a run: a metric over the epochs of a fit, the steps or the epsilon of an attack, or its iterations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from recpoison.changes import EmbeddingShift, FakeProfiles
from recpoison.data.arrays import save_arrays
from recpoison.edge_flips import EdgeFlips
from recpoison.evaluation.base import Measure

ALONG = ("epochs", "steps", "epsilon", "iterations", "flips", "fake_users")
CURVE_COLUMNS = ["along", "at", "row_l2", "linf", "subject", "metric", "k", "value", "n"]
Row = tuple[str, float, float, float, str, str, int | None, float, int]


@dataclass(frozen=True, eq=False)
class Curve:
    """Numbers along something that grows.

    Args:
        rows: One a number, as ``CURVE_COLUMNS``: ``along`` is ``epochs`` (of a fit), ``steps`` or ``epsilon`` (of an
            attack on embeddings), ``iterations`` (of a learned attack, on its surrogate), ``flips`` (of an attack on
            edges) or ``fake_users`` (of one that adds them; for both the victim is fitted anew at each), and ``at``
            how many, or how large. ``row_l2`` and ``linf`` say how far an attack shifted the tables, NaN for others.
    """

    rows: tuple[Row, ...] = field(default=())

    def __add__(self, other: Curve) -> Curve:
        """Both, one after the other."""
        return Curve(self.rows + other.rows)

    def mean_over_steps(self, subject: str = "test") -> list[Measure]:
        """Each metric's mean over the steps of the attack, as MSAP's table 1 prints it, under the subject ``path``."""
        found: dict[tuple[str, int | None], list[float]] = {}
        for along, _, _, _, whose, metric, k, value, _ in self.rows:
            if along == "steps" and whose == subject:
                found.setdefault((metric, k), []).append(value)
        return [Measure("path", *label, float(np.mean(values)), len(values)) for label, values in found.items()]

    def save(self, path: Path) -> None:
        """Write as npz."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(CURVE_COLUMNS)
        arrays = dict(zip(CURVE_COLUMNS, columns, strict=True))
        arrays["k"] = tuple(-1 if k is None else k for k in arrays["k"])
        kinds: dict[str, type] = {"along": np.str_, "subject": np.str_, "metric": np.str_, "k": np.int64, "n": np.int64}
        save_arrays({name: np.array(x, dtype=kinds.get(name, np.float64)) for name, x in arrays.items()}, path)

    @staticmethod
    def load(path: Path) -> Curve:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name].tolist() for name in CURVE_COLUMNS}
        columns["k"] = [None if k < 0 else k for k in columns["k"]]
        return Curve(tuple(zip(*columns.values(), strict=True)))


def points(along: str, at: float, measures: Iterable[Measure], shift: EmbeddingShift | None = None) -> Curve:
    """The numbers at one place of a curve, with what ``shift`` used."""
    row_l2, linf = (np.nan, np.nan) if shift is None else (shift.used("row_l2"), shift.used("linf"))
    return Curve(tuple((along, float(at), row_l2, linf, m.subject, m.metric, m.k, m.value, m.n) for m in measures))


def on_surrogate(change: FakeProfiles | EdgeFlips, n_users: int) -> list[Measure]:
    """What a learned attack's fake users do to its own surrogate, by the iteration they are from."""
    if change.best is None:
        return []
    figures = {
        name: (change.cutoff if name == "HR" else None, column[change.best]) for name, column in change.trace.items()
    }
    return [Measure("surrogate", name, k, float(value), n_users) for name, (k, value) in figures.items()]


def of_trace(change: FakeProfiles | EdgeFlips) -> Curve:
    """What a learned attack saw on its surrogate at each iteration."""
    measures: Sequence[tuple[str, int | None]] = [
        (name, change.cutoff if name == "HR" else None) for name in change.trace
    ]
    return Curve(
        tuple(
            ("iterations", float(at), np.nan, np.nan, "surrogate", name, k, float(value), 1)
            for name, k in measures
            for at, value in enumerate(change.trace[name])
        )
    )
