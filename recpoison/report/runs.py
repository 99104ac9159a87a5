"""Read run folders and sweeps back: what was measured, what it cost, and which jobs left nothing."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recpoison.data.notes import USERS_JUDGED
from recpoison.errors import ConfigError, DataError

LABELS = ("dataset", "model", "attack", "defense")
METRICS = (*LABELS, "seed", "subject", "metric", "k", "value", "n")
CURVE = (*LABELS, "seed", "along", "at", "row_l2", "linf", "subject", "metric", "k", "value", "n")
COSTS = ("stage", "cell", "seed", "seconds", "peak_mb", "reused")
_MARKS = ("status.json", "config.yaml", "overrides.yaml")


@dataclass(frozen=True, eq=False)
class Run:
    """One folder that holds results.

    Args:
        folder: Where it is.
        metrics: Its ``metrics.csv``; ``k`` is missing for metrics without a cutoff.
        costs: Its ``costs.csv``, empty where the folder has none.
        config: Its resolved configuration by dotted key, such as ``attack.budget``.
        overrides: What the user typed.
        about: Its ``run.json``: versions, device, protocol, command.
        curve: Its ``curve.csv``: metrics over epochs, steps, epsilon or iterations; empty where the folder has none.
    """

    folder: Path
    metrics: pd.DataFrame
    costs: pd.DataFrame
    config: dict[str, Any]
    overrides: tuple[str, ...]
    about: dict[str, Any]
    curve: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CURVE)))


@dataclass(frozen=True)
class Missing:
    """A job of a sweep without results: failed, or not finished."""

    folder: Path
    overrides: tuple[str, ...]
    reason: str


@dataclass(frozen=True, eq=False)
class Runs:
    """What a set of folders holds: runs with results, and jobs that have none."""

    runs: tuple[Run, ...]
    missing: tuple[Missing, ...]

    def protocols(self) -> list[dict[str, str]]:
        """The distinct protocols of the runs, in order of appearance; without the number of users judged, see notes."""
        distinct: list[dict[str, str]] = []
        for run in self.runs:
            protocol = {str(key): str(value) for key, value in run.about.get("protocol", {}).items()}
            protocol.pop(USERS_JUDGED, None)
            if protocol and protocol not in distinct:
                distinct.append(protocol)
        return distinct

    def data_notes(self) -> list[str]:
        """What was noted about the data of each run, as a line each; equal ones once."""
        lines = []
        for run in self.runs:
            if notes := run.about.get("notes"):
                lines.append(f"{', '.join(dict.fromkeys(run.metrics.dataset))}: {'; '.join(notes)}")
        return list(dict.fromkeys(lines))


def read_runs(paths: Iterable[str | Path]) -> Runs:
    """Read every run below ``paths``: run folders, sweeps, folders of either, and globs of any.

    A folder met twice (``outputs/latest`` is a link) is read once.

    Raises:
        ConfigError: If a path leads to no run.
        DataError: If a file of a run is broken; the message names it.
    """
    jobs: dict[Path, None] = {}
    for path in paths:
        jobs.update(dict.fromkeys(_jobs_of(str(path))))
    runs, missing = [], []
    for folder in jobs:
        reason = _no_results(folder)
        if reason:
            missing.append(Missing(folder, read_overrides(folder), reason))
        else:
            runs.append(_read_run(folder))
    if not runs:
        listed = "; ".join(f"{job.folder}: {job.reason}" for job in missing)
        raise ConfigError(f"no job has results to report on ({listed})")
    return Runs(tuple(runs), tuple(missing))


def _jobs_of(path: str) -> list[Path]:
    folders = sorted(Path(found) for found in glob.glob(path)) if glob.has_magic(path) else [Path(path)]
    jobs = [job for folder in folders if folder.is_dir() for job in _jobs_below(folder.resolve())]
    if not jobs:
        remedy = "give the folder of a run or a sweep, such as outputs/latest"
        reason = "holds no run" if any(folder.is_dir() for folder in folders) else "does not exist"
        raise ConfigError(f"{path} {reason}: {remedy}")
    return jobs


def _jobs_below(folder: Path) -> Iterator[Path]:
    """Job folders at or under ``folder``; a folder is one if it has results, or marks of a run and no jobs inside."""
    if (folder / "metrics.csv").is_file():
        yield folder
        return
    if (folder / ".locks").is_dir():  # a store of stages: thousands of folders, and no run
        return
    children = sorted((child for child in folder.iterdir() if child.is_dir() and not child.is_symlink()), key=_natural)
    found = [job for child in children if not child.name.startswith(".") for job in _jobs_below(child)]
    if not found and any((folder / mark).is_file() for mark in _MARKS):
        found = [folder]
    yield from found


def _natural(folder: Path) -> tuple[int, str]:
    return (int(folder.name), "") if folder.name.isdecimal() else (-1, folder.name)


def _no_results(folder: Path) -> str:
    """Why ``folder`` has nothing to report, or an empty string."""
    status = _read_json(folder / "status.json")
    if status.get("status") == "failed":
        return str(status.get("reason") or "failed")
    if (folder / "metrics.csv").is_file():  # it is written last
        return ""
    return f"not finished ({status['status']}): see its run.log" if "status" in status else "not finished"


def _read_run(folder: Path) -> Run:
    return Run(
        folder,
        _read_csv(folder / "metrics.csv", METRICS, integers=("seed", "n"), numbers=("value",), cutoff="k"),
        _read_csv(folder / "costs.csv", COSTS, integers=("seed",), numbers=("seconds", "peak_mb")),
        dict(_dotted(_read_yaml(folder / "config.yaml"))),
        read_overrides(folder),
        _read_json(folder / "run.json"),
        _read_csv(folder / "curve.csv", CURVE, ("seed", "n"), ("at", "value"), "k", optional=("row_l2", "linf")),
    )


def _read_csv(
    file: Path,
    columns: Sequence[str],
    integers: Sequence[str],
    numbers: Sequence[str],
    cutoff: str | None = None,
    optional: Sequence[str] = (),
) -> pd.DataFrame:
    table = _read_text_csv(file)
    if table.empty and not file.is_file():
        return pd.DataFrame(columns=list(columns))
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise DataError(f"{file} has no column {absent[0]}: its columns should be {','.join(columns)}")
    for column in (*integers, *numbers, *optional, *([cutoff] if cutoff else [])):
        parsed = pd.to_numeric(table[column], errors="coerce")
        none = ["", "nan"] if column in numbers else [""] if column in (cutoff, *optional) else []
        allowed = table[column].isin(none)  # a run writes a number that does not exist as an empty field
        wrong = (parsed.isna() & ~allowed).to_numpy()
        if wrong.any():
            line = int(wrong.argmax())
            text = table[column].iloc[line]
            raise DataError(f"{file}, line {line + 2}: {column} is {text!r} where a number belongs; run that job again")
        whole = column in integers or column == cutoff
        table[column] = parsed.astype("Int64" if column == cutoff else "int64" if whole else "float64")
    return table[list(columns)]


def _read_text_csv(file: Path) -> pd.DataFrame:
    """Every field as text; a short row has empty ones."""
    if not file.is_file():
        return pd.DataFrame()
    try:
        return pd.read_csv(file, dtype=str, keep_default_na=False, na_filter=False)
    except (ValueError, OSError) as error:
        raise DataError(f"{file} is no readable table ({error}): run that job again") from error


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{file} is no readable JSON ({error}): run that job again") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no JSON object: run that job again")
    return content


def _read_yaml(file: Path) -> Any:
    """Plain values; read by OmegaConf, whose YAML takes 1e-4 for a number."""
    if not file.is_file():
        return {}
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except Exception as error:  # a YAML error has no common class with OmegaConf's own
        raise DataError(f"{file} is no readable YAML ({error}): run that job again") from error


def read_overrides(folder: Path) -> tuple[str, ...]:
    """What the user typed for the run in ``folder``; nothing where it is not known."""
    content = _read_yaml(folder / "overrides.yaml") or _read_json(folder / "status.json").get("overrides")
    return tuple(str(override) for override in content) if isinstance(content, list) else ()


def _dotted(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        yield prefix, json.dumps(node) if isinstance(node, list) else node
        return
    for key, value in node.items():
        yield from _dotted(value, f"{prefix}.{key}" if prefix else str(key))


def shown_path(folder: Path) -> str:
    """``folder`` as a user would type it from here."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative
