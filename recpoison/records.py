"""What a run leaves behind: the record and its files."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from recpoison.changes import Change
from recpoison.curves import CURVE_COLUMNS, Curve
from recpoison.data.arrays import save_arrays
from recpoison.errors import OutputError
from recpoison.evaluation.base import Measure, Record
from recpoison.evaluation.significance import bootstrap_interval, paired_t_test, wilcoxon_test
from recpoison.evaluation.subjects import compared_with, in_words
from recpoison.versions import commit

METRIC_COLUMNS = ["dataset", "model", "attack", "defense", "seed", "subject", "metric", "k", "value", "n"]
_PACKAGES = ("recpoison", "torch", "numpy", "scipy", "pandas", "numba", "hydra-core", "omegaconf")
Key = TypeVar("Key")


@dataclass(frozen=True)
class Cell:
    """One square of the two-by-two: an attack (or none) on a defense (or none), for one seed."""

    dataset: str
    model: str
    attack: str
    defense: str
    seed: int

    @property
    def path(self) -> str:
        """Prefix of the cell's arrays in ``ranks.npz`` and ``change.npz``."""
        return f"seed={self.seed}/attack={self.attack}/defense={self.defense}"


@dataclass(frozen=True, eq=False)
class CellResult:
    """What one cell showed.

    Args:
        cell: Which one.
        measures: Its numbers.
        seen: What the evaluation looked at (ranks), from which the numbers follow.
        change: The crafted change, None in a clean cell.
        curve: Numbers over epochs, steps, epsilons or iterations, where asked for.
    """

    cell: Cell
    measures: list[Measure]
    seen: Record
    change: Change | None
    curve: Curve = field(default_factory=Curve)


@dataclass(frozen=True)
class Cost:
    """What one stage of a run cost.

    Args:
        stage: Such as ``fit`` or ``change``.
        cell: Where it was needed, ``attack/defense``.
        seed: The run's seed.
        seconds: Wall time; the original's where reused.
        peak_mb: Highest resident memory of the process by its end, in MB; device memory on CUDA.
        reused: Whether it came from the store.
    """

    stage: str
    cell: str
    seed: int
    seconds: float
    peak_mb: float
    reused: bool


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Everything a run found: the source of all its files and tables.

    Args:
        results: One entry a cell and seed.
        costs: One entry a stage.
        protocol: What a reader must know to compare the numbers.
        about: The parts, the device, the data, notes about them and the attack's size in words, in plain values.
    """

    results: list[CellResult]
    costs: list[Cost]
    protocol: dict[str, str]
    about: dict[str, Any] = field(default_factory=dict)

    def metrics(self) -> pd.DataFrame:
        """One row a number, columns as in ``metrics.csv``."""
        rows = [
            (*_cell_columns(result.cell), m.subject, m.metric, m.k, m.value, m.n)
            for result in self.results
            for m in result.measures
        ]
        return pd.DataFrame(rows, columns=METRIC_COLUMNS).astype({"k": "Int64"})

    def curves(self) -> pd.DataFrame:
        """One row a number along something, columns as in ``curve.csv``."""
        rows = [(*_cell_columns(result.cell), *row) for result in self.results for row in result.curve.rows]
        return pd.DataFrame(rows, columns=[*METRIC_COLUMNS[:5], *CURVE_COLUMNS]).astype({"k": "Int64"})

    def summary(self) -> pd.DataFrame:
        """Mean, spread, and the paired difference to the same cell without an attack.

        Differences are paired over seeds; with a single seed, over users, which tells whether the two fits differ and
        not whether the attack made them so. ``p`` is the paired t-test's and ``p_wilcoxon`` the signed-rank test's,
        both uncorrected; ``low`` and ``high`` bound the mean difference (95% bootstrap). The mean over an attack's
        steps (``path``) compares with the clean number of the ``test`` rows.
        """
        groups = _grouped(self.results, lambda result: (result.cell.attack, result.cell.defense))
        rows = []
        for (attack, defense), results in groups.items():
            clean = groups.get(("none", defense), []) if attack != "none" else []
            for measures in zip(*(result.measures for result in results), strict=True):
                rows.append(_summary_row(results[0].cell, measures, _matching(clean, measures[0])))
        return pd.DataFrame(rows).astype({"k": "Int64"})


def write(record: RunRecord, folder: Path, config: str, overrides: Sequence[str], command: str | None = None) -> None:
    """Write the files of a run into ``folder``: all of them, or, where it is stopped or fails, none.

    They are written into a draft folder inside and moved from there; ``metrics.csv`` comes last, so that its presence
    marks a complete run even if the process is killed.

    Args:
        record: What to write.
        folder: The run's folder; made if missing.
        config: The resolved config as YAML text.
        overrides: What the user typed.
        command: The shell command; this process's where None.

    Raises:
        OutputError: If the folder cannot be written.
    """
    draft = folder / f".draft-{uuid.uuid4().hex[:8]}"
    try:
        for left in folder.glob(".draft-*"):  # a killed run's
            shutil.rmtree(left, ignore_errors=True)
        draft.mkdir(parents=True)
        _write_files(record, draft, config, overrides, command or shlex.join(["recpoison", *sys.argv[1:]]))
        _move(draft, folder)
    except OSError as error:
        raise OutputError(f"results cannot be written to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_files(record: RunRecord, folder: Path, config: str, overrides: Sequence[str], command: str) -> None:
    costs = pd.DataFrame([vars(cost) for cost in record.costs])
    changes = {r.cell.path: r.change for r in record.results if r.change is not None}
    arrays = {f"{r.cell.path}/{name}": array for r in record.results for name, array in r.seen.arrays().items()}
    texts = {
        "config.yaml": config,
        "overrides.yaml": "".join(f"- {json.dumps(text)}\n" for text in overrides) or "[]\n",
        "run.json": json.dumps(run_facts(record, command), indent=2, default=str) + "\n",
        "costs.csv": costs.to_csv(index=False),
        "summary.csv": record.summary().to_csv(index=False),
        "table.md": markdown(record),
        "metrics.csv": record.metrics().to_csv(index=False),
    }
    curves = record.curves()
    if len(curves):
        texts["curve.csv"] = curves.to_csv(index=False)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    save_arrays(arrays, folder / "ranks.npz")
    if changes:
        crafted = {
            f"{path}/{name}": array for path, change in changes.items() for name, array in change.arrays().items()
        }
        save_arrays(crafted, folder / "change.npz")


def _move(draft: Path, folder: Path) -> None:
    """Move a run's files to their place; if that is interrupted, take back those that moved."""
    names = sorted((path.name for path in draft.iterdir()), key=lambda name: (name == "metrics.csv", name))
    try:
        for name in names:
            os.replace(draft / name, folder / name)
    except BaseException:
        if not (folder / "metrics.csv").exists():
            for name in names:
                if not (draft / name).exists():
                    (folder / name).unlink(missing_ok=True)
        raise


def markdown(record: RunRecord) -> str:
    """The summary as a markdown table under its protocol line."""
    table = record.summary()
    first = record.results[0].cell
    lines = [
        f"**{first.dataset}, {first.model}**. "
        + "; ".join(f"{name}: {fact}" for name, fact in record.protocol.items())
        + ".",
        "",
        *([f"Attack: {size}.", ""] if (size := record.about.get("attack_size")) else []),
        *(line for note in record.about.get("notes", []) for line in (f"Note: {note}.", "")),
        f"Subjects: {in_words(set(table.subject))}.",
        "",
        "| subject | metric | attack | defense | mean | sd | n seeds | difference | p |",
        "|---|---|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in table.itertuples(index=False):
        metric = row.metric if pd.isna(row.k) else f"{row.metric}@{row.k}"
        numbers = [f"{x:.4f}" if np.isfinite(x) else "" for x in (row.mean, row.sd)]
        compared = [
            f"{row.difference:+.4f}" if np.isfinite(row.difference) else "",
            f"{row.p:.2g}" if np.isfinite(row.p) else "",
        ]
        fields = [row.subject, metric, row.attack, row.defense, *numbers, str(row.n), *compared]
        lines.append("| " + " | ".join(fields) + " |")
    return "\n".join(lines) + "\n"


def _summary_row(cell: Cell, measures: Sequence[Measure], clean: Sequence[Measure]) -> dict[str, Any]:
    values = np.array([measure.value for measure in measures])
    row = {name: getattr(cell, name) for name in ("dataset", "model", "attack", "defense")}
    row |= {"subject": measures[0].subject, "metric": measures[0].metric, "k": measures[0].k}
    row |= {"mean": values.mean(), "sd": values.std(ddof=1) if len(values) > 1 else np.nan, "n": len(values)}
    difference, p, p_wilcoxon, low, high, over = np.nan, np.nan, np.nan, np.nan, np.nan, ""
    if clean:
        before, after, over = _pairs(clean, measures)
        difference = float(values.mean() - np.mean([measure.value for measure in clean]))
        if len(before) > 1:
            p, p_wilcoxon = paired_t_test(before, after), wilcoxon_test(before, after)
            low, high = bootstrap_interval(after - before, np.random.default_rng(0), resamples=1000)
    compared = {"difference": difference, "p": p, "paired_over": over}
    return row | compared | {"p_wilcoxon": p_wilcoxon, "low": low, "high": high}


def _pairs(clean: Sequence[Measure], attacked: Sequence[Measure]) -> tuple[np.ndarray, np.ndarray, str]:
    if len(attacked) > 1:
        return np.array([m.value for m in clean]), np.array([m.value for m in attacked]), "seeds"
    before, after = clean[0], attacked[0]
    if before.per_unit is None or after.per_unit is None or before.units is None or after.units is None:
        return np.zeros(0), np.zeros(0), ""
    _, left, right = np.intersect1d(before.units, after.units, return_indices=True)
    return before.per_unit[left], after.per_unit[right], "users"


def _matching(results: Sequence[CellResult], like: Measure) -> list[Measure]:
    wanted = (compared_with(like.subject), like.metric, like.k)
    return [m for result in results for m in result.measures if (m.subject, m.metric, m.k) == wanted]


def _grouped(results: Sequence[CellResult], key: Callable[[CellResult], Key]) -> dict[Key, list[CellResult]]:
    groups: dict[Key, list[CellResult]] = {}
    for result in results:
        groups.setdefault(key(result), []).append(result)
    return groups


def _cell_columns(cell: Cell) -> tuple[str, str, str, str, int]:
    return cell.dataset, cell.model, cell.attack, cell.defense, cell.seed


def run_facts(record: RunRecord, command: str) -> dict[str, Any]:
    """What ``run.json`` holds."""
    return {
        "command": command,
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "versions": {name: _installed(name) for name in _PACKAGES},
        "commit": commit(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "protocol": record.protocol,
        **record.about,
        "changes": {result.cell.path: result.change.facts() for result in record.results if result.change is not None},
        "stages": [vars(cost) for cost in record.costs],
        "reused": sum(cost.reused for cost in record.costs),
        "peak_mb": max((cost.peak_mb for cost in record.costs), default=None),
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
