"""What a run leaves behind: the record and its files."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recpoison.changes import Change, FakeProfiles
from recpoison.crafted import fake_users, fingerprint, write_fake_users
from recpoison.curves import CURVE_COLUMNS, Curve
from recpoison.data.arrays import save_arrays
from recpoison.drafts import clear_abandoned, draft_of
from recpoison.errors import OutputError
from recpoison.evaluation.base import Measure, Record
from recpoison.evaluation.questions import in_words as how_tested
from recpoison.evaluation.questions import summarise, with_counterparts
from recpoison.evaluation.sentences import story
from recpoison.evaluation.subjects import in_words
from recpoison.intact import settle
from recpoison.versions import commit, packages

METRIC_COLUMNS = ["dataset", "model", "attack", "defense", "seed", "subject", "metric", "k", "value", "n"]
SUMMARY_COLUMNS = ["dataset", "model", "attack", "defense", "subject", "metric", "k", "mean", "sd", "n"]
SUMMARY_COLUMNS += ["difference", "p", "low", "high"]  # to the cell without the attack
SUMMARY_COLUMNS += ["defense_difference", "defense_p", "defense_low", "defense_high", "family"]


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
        seen: What the evaluation looked at (ranks), from which the numbers follow; of several seeds read from disk.
        change: The crafted change, None in a clean cell; of several seeds read from disk.
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
        paired_test: What p-values are of: ``t``, ``wilcoxon`` or ``permutation``.
        item_ids: ``(n_items,)`` each seed's ids of items in their source, None where they are not known.
    """

    results: list[CellResult]
    costs: list[Cost]
    protocol: dict[str, str]
    about: dict[str, Any] = field(default_factory=dict)
    paired_test: str = "t"
    item_ids: Mapping[int, np.ndarray | None] = field(default_factory=dict)

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

    def fake_users(self) -> pd.DataFrame:
        """One row for each item of a fake user, columns as in ``fake_users.csv``; all squares of a seed share them."""
        return fake_users(dict(self.fakes()), self.item_ids)

    def fakes(self) -> Iterator[tuple[int, FakeProfiles]]:
        """The fake users of each seed, one seed after the other; none where an attack crafts no such thing."""
        attacked = {result.cell.seed: result for result in self.results if result.cell.attack != "none"}
        changes = ((seed, result.change) for seed, result in attacked.items())
        return ((seed, change) for seed, change in changes if isinstance(change, FakeProfiles))

    def changes(self) -> Iterator[tuple[Cell, Change]]:
        """The crafted change of each attacked cell, one after the other, so that no more than one is in memory."""
        for result in self.results:
            if (change := result.change) is not None:
                yield result.cell, change

    def summary(self) -> pd.DataFrame:
        """Mean, spread, and the paired differences to the same cell without the attack and without the defense.

        Computed once; columns as in ``recpoison.evaluation.questions.summarise``. Everything is paired over seeds: a
        single seed has differences, and no interval and no p-value.
        """
        return self._summary.copy()

    def story(self) -> list[str]:
        """What was found, in sentences."""
        return story(self._summary, self.paired_test)

    @cached_property
    def _summary(self) -> pd.DataFrame:
        return summarise(with_counterparts(self.metrics()), test=self.paired_test)


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
    draft = draft_of(folder / "draft")
    try:
        clear_abandoned(folder / "draft")
        draft.mkdir(parents=True)
        _write_files(record, draft, config, overrides, command or shlex.join(["recpoison", *sys.argv[1:]]))
        _move(draft, folder)
    except OSError as error:
        raise OutputError(f"results cannot be written to {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_files(record: RunRecord, folder: Path, config: str, overrides: Sequence[str], command: str) -> None:
    costs = pd.DataFrame([vars(cost) for cost in record.costs])
    texts = {
        "config.yaml": config,
        "overrides.yaml": "".join(f"- {json.dumps(text)}\n" for text in overrides) or "[]\n",
        "run.json": json.dumps(run_facts(record, command), indent=2, default=str) + "\n",
        "costs.csv": costs.to_csv(index=False),
        "summary.csv": record.summary()[[*SUMMARY_COLUMNS]].to_csv(index=False),
        "table.md": markdown(record),
        "metrics.csv": record.metrics().to_csv(index=False),
    }
    curves = record.curves()
    if len(curves):
        texts["curve.csv"] = curves.to_csv(index=False)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_fake_users(record.fakes(), record.item_ids, folder / "fake_users.csv")
    save_arrays(_named((result.cell, result.seen) for result in record.results), folder / "ranks.npz")
    if next(record.changes(), None) is not None:
        save_arrays(_named(record.changes()), folder / "change.npz")


def _named(parts: Iterable[tuple[Cell, Record | Change]]) -> Iterator[tuple[str, np.ndarray]]:
    """Each array of each part under its cell's prefix; a part is let go before the next is asked for."""
    for cell, part in parts:
        for name, array in part.arrays().items():
            yield f"{cell.path}/{name}", array


def _move(draft: Path, folder: Path) -> None:
    """Move a run's files to their place; if that is interrupted, take back those that moved."""
    names = sorted((path.name for path in draft.iterdir()), key=lambda name: (name == "metrics.csv", name))
    try:
        for name in names:
            settle(draft / name)
        for name in names:
            if name == "metrics.csv":
                settle(folder)  # all others first
            os.replace(draft / name, folder / name)
        settle(folder)
    except BaseException:
        if not (folder / "metrics.csv").exists():
            for name in names:
                if not (draft / name).exists():
                    (folder / name).unlink(missing_ok=True)
        raise


def markdown(record: RunRecord) -> str:
    """What was found in sentences, and the summary as a markdown table, with its protocol."""
    table = record.summary()
    first = record.results[0].cell
    facts = "; ".join(f"{name}: {fact}" for name, fact in record.protocol.items())
    lines = [f"**{first.dataset}, {first.model}**. {facts}.", ""]
    lines += [line for sentence in record.story() for line in (sentence, "")]
    lines += [f"Attack: {size}.", ""] if (size := record.about.get("attack_size")) else []
    lines += [line for note in record.about.get("notes", []) for line in (f"Note: {note}.", "")]
    lines += [f"Subjects: {in_words(set(table.subject))}.", ""]
    tested = table[table.p.notna() | table.defense_p.notna()]
    lines += [f"{how_tested(tested.family, record.paired_test)}.", ""] if len(tested) else []
    answers = ["difference", "95% interval", "p"]
    heads = ["subject", "metric", "attack", "defense", "mean", "sd", "n seeds", *answers]
    starts = [""]
    if table.defense_difference.notna().any():
        heads += [f"{name} to no defense" for name in answers]
        starts.append("defense_")
    lines += [f"| {' | '.join(heads)} |", "|" + "---|" * 4 + "--:|" * (len(heads) - 4)]
    lines += [f"| {' | '.join(_fields(row, starts))} |" for row in table.itertuples(index=False)]
    return "\n".join(lines) + "\n"


def _fields(row: Any, starts: Sequence[str]) -> list[str]:
    metric = row.metric if pd.isna(row.k) else f"{row.metric}@{row.k}"
    fields = [row.subject, metric, row.attack, row.defense, _printed(row.mean), _printed(row.sd), str(row.n)]
    for start in starts:
        difference, p, low, high = (getattr(row, f"{start}{name}") for name in ("difference", "p", "low", "high"))
        interval = f"{low:+.4f} to {high:+.4f}" if np.isfinite(low) else ""
        fields += [_printed(difference, "+"), interval, f"{p:.2g}" if np.isfinite(p) else ""]
    return fields


def _printed(number: float, sign: str = "") -> str:
    return f"{round(number, 12):{sign}.4f}" if np.isfinite(number) else ""


def _cell_columns(cell: Cell) -> tuple[str, str, str, str, int]:
    return cell.dataset, cell.model, cell.attack, cell.defense, cell.seed


def run_facts(record: RunRecord, command: str) -> dict[str, Any]:
    """What ``run.json`` holds."""
    return {
        "command": command,
        "python": platform.python_version(),
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "paired_test": record.paired_test,
        "versions": packages(),
        "commit": commit(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "protocol": record.protocol,
        **record.about,
        "changes": {
            cell.path: change.facts() | {"fingerprint": fingerprint(change)} for cell, change in record.changes()
        },
        "stages": [vars(cost) for cost in record.costs],
        "reused": sum(cost.reused for cost in record.costs),
        "peak_mb": max((cost.peak_mb for cost in record.costs), default=None),
    }
