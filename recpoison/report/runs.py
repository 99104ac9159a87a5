"""Read run folders and sweeps back: what was measured, what it cost, and which jobs left nothing."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from recpoison.data.notes import USERS_JUDGED
from recpoison.errors import ConfigError, DataError
from recpoison.paths import ROSTER
from recpoison.report.reading import not_as_left, read_about, read_json, read_overrides, read_settings, read_table

LABELS = ("dataset", "model", "attack", "defense")
METRICS = (*LABELS, "seed", "subject", "metric", "k", "value", "n")
CURVE = (*LABELS, "seed", "along", "at", "row_l2", "linf", "subject", "metric", "k", "value", "n")
COSTS = ("stage", "cell", "seed", "seconds", "peak_mb", "reused")
EPOCH = "epoch"  # of a protocol
_OF_SEEDS = re.compile(r"^seed [\d, ]+: ")  # as ``recpoison.data.notes.over_seeds`` begins a note
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
        altered: Its files that were edited or damaged since it ended, where its status tells.
    """

    folder: Path
    metrics: pd.DataFrame
    costs: pd.DataFrame
    config: dict[str, Any]
    overrides: tuple[str, ...]
    about: dict[str, Any]
    curve: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CURVE)))
    altered: tuple[str, ...] = ()


@dataclass(frozen=True)
class Missing:
    """A job of a sweep without results: failed, not finished, or with a file that cannot be read.

    Args:
        folder: Where it is.
        overrides: What the user typed.
        reason: Why it has none.
        damaged: Whether it left results, of which a file cannot be read.
    """

    folder: Path
    overrides: tuple[str, ...]
    reason: str
    damaged: bool = False


@dataclass(frozen=True, eq=False)
class Undefined:
    """A job that a sweep left out, because its parts do not fit together.

    Args:
        labels: What tables call its dataset, model, attack and defense.
        config: Its settings by dotted key.
        reason: Which parts do not fit together, and why.
        misfits: These parts.
    """

    labels: dict[str, str]
    config: dict[str, Any]
    reason: str
    misfits: tuple[str, ...]

    def squares(self) -> list[dict[str, str]]:
        """Labels of its squares that are not defined: also without the attack or the defense that is not to blame."""
        labels = {part: {self.labels[part], *(() if part in self.misfits else ("none",))} for part in LABELS[2:]}
        return [
            self.labels | {"attack": attack, "defense": defense}
            for attack in sorted(labels["attack"])
            for defense in sorted(labels["defense"])
        ]


@dataclass(frozen=True, eq=False)
class Runs:
    """What a set of folders holds: runs with results, jobs that have none, and jobs that are not defined."""

    runs: tuple[Run, ...]
    missing: tuple[Missing, ...]
    undefined: tuple[Undefined, ...] = ()

    def without(self, folder: Path, reason: str) -> Runs:
        """The same, with the run in ``folder`` among the missing, for a file that turned out to be broken."""
        kept = tuple(run for run in self.runs if run.folder != folder)
        left = [Missing(run.folder, run.overrides, reason, damaged=True) for run in self.runs if run.folder == folder]
        return Runs(kept, (*self.missing, *left), self.undefined)

    def protocols(self) -> list[dict[str, str]]:
        """The distinct protocols of the runs, in order of appearance; without the number of users judged, see notes.

        A model without epochs follows that of a model which is measured alike at one of its epochs.
        """
        distinct: list[dict[str, str]] = []
        for protocol in sorted(map(protocol_of, self.runs), key=_has_no_epochs):
            alike = distinct if not _has_no_epochs(protocol) else [one | {EPOCH: protocol[EPOCH]} for one in distinct]
            if protocol and protocol not in alike:
                distinct.append(protocol)
        return distinct

    def data_notes(self) -> list[str]:
        """What was noted about each dataset's runs, as a line each; what runs say of different seeds is said once."""
        found: dict[str, dict[str, set[str]]] = {}
        for run in self.runs:
            name = ", ".join(dict.fromkeys(run.metrics.dataset))
            for note in run.about.get("notes") or ():
                found.setdefault(name, {}).setdefault(_OF_SEEDS.sub("", note), set()).add(note)
        return [
            f"{name}: {'; '.join(_told_once(text, forms) for text, forms in notes.items())}"
            for name, notes in found.items()
        ]

    def altered(self) -> list[str]:
        """A sentence for each run whose files are not as it left them: they are shown as they are now."""
        return [
            f"{shown_path(run.folder)}: {', '.join(run.altered)} not as the run left it: its command computes it again"
            for run in self.runs
            if run.altered
        ]


def _told_once(text: str, forms: set[str]) -> str:
    return min(forms) if len(forms) == 1 else f"{text} (some seeds)"


def _has_no_epochs(protocol: dict[str, str]) -> bool:
    return protocol.get(EPOCH, "").startswith("none")


def protocol_of(run: Run) -> dict[str, str]:
    """How a run measured, rule by rule, without the number of users judged."""
    protocol = {str(key): str(value) for key, value in run.about.get("protocol", {}).items()}
    protocol.pop(USERS_JUDGED, None)
    return protocol


def read_runs(paths: Iterable[str | Path]) -> Runs:
    """Read every run below ``paths``: run folders, sweeps, folders of either, and globs of any.

    A folder met twice (``outputs/latest`` is a link) is read once. A job with a broken file is missing, and says why.

    Raises:
        ConfigError: If a path leads to no run.
        DataError: If the only job has a broken file or cannot be read.
    """
    jobs: dict[Path, None] = {}
    for path in paths:
        jobs.update(dict.fromkeys(_jobs_of(str(path))))
    read = [_read_job(folder) for folder in jobs]
    runs = tuple(job for job in read if isinstance(job, Run))
    missing = tuple(job for job in read if isinstance(job, Missing))
    if len(read) == 1 and missing and missing[0].damaged:
        raise DataError(missing[0].reason)
    if not runs:
        listed = "; ".join(f"{job.folder}: {job.reason}" for job in missing) or "none of them is defined"
        raise ConfigError(f"no job has results to report on ({listed})")
    return Runs(runs, missing, tuple(job for job in read if isinstance(job, Undefined)))


def _read_job(folder: Path) -> Run | Missing | Undefined:
    try:
        os.scandir(folder).close()
        if (undefined := _left_out(folder)) is not None:
            return undefined
        if reason := _no_results(folder):
            return Missing(folder, read_overrides(folder), reason)
        return _read_run(folder)
    except DataError as error:
        reason = str(error)
    except OSError as error:  # a folder whose files may not even be asked for
        reason = f"{folder} cannot be read ({error.strerror}): leave it out, or make it readable"
    with suppress(DataError, OSError):
        return Missing(folder, read_overrides(folder), reason, damaged=True)
    return Missing(folder, (), reason, damaged=True)


def _left_out(folder: Path) -> Undefined | None:
    """What ``folder`` says of a job that its sweep left out; None of another."""
    status = read_json(folder / "status.json")
    labels = status.get("labels")
    if status.get("status") != "undefined" or not isinstance(labels, dict):
        return None
    named = {label: str(labels.get(label, "–")) for label in LABELS}
    misfits = tuple(map(str, status.get("misfits") or ()))
    return Undefined(named, read_settings(folder / "config.yaml"), str(status.get("reason", "")), misfits)


def _jobs_of(path: str) -> list[Path]:
    typed = os.path.lexists(path) or not glob.has_magic(path)  # a folder may be called x[1]
    folders = [Path(path)] if typed else sorted(Path(found) for found in glob.glob(path))
    jobs = [job for folder in folders if folder.is_dir() for job in _jobs_below(folder.resolve())]
    if not jobs:
        remedy = "give the folder of a run or a sweep, such as outputs/latest"
        reason = "holds no run" if any(folder.is_dir() for folder in folders) else "does not exist"
        raise ConfigError(f"{path} {reason}: {remedy}")
    return jobs


def _jobs_below(folder: Path) -> Iterator[Path]:
    """Job folders at or under ``folder``; a folder is one if it has results, or marks of a run and no jobs inside."""
    if os.path.isfile(folder / "metrics.csv"):  # where Path would raise in a folder that may not be entered
        yield folder
        return
    if os.path.isdir(folder / ".locks"):  # a store of stages: thousands of folders, and no run
        return
    try:
        children = [child for child in folder.iterdir() if child.is_dir() and not child.is_symlink()]
    except OSError:  # told when it is read
        yield folder
        return
    children = _in_order(folder, children)
    found = [job for child in children if not child.name.startswith(".") for job in _jobs_below(child)]
    if not found and any((folder / mark).is_file() for mark in _MARKS):
        found = [folder]
    yield from found


def _in_order(folder: Path, children: list[Path]) -> list[Path]:
    """The cells of a sweep as typed, then what no list names."""
    try:
        listed = list(read_json(folder / ROSTER).get("cells", ()))
    except (DataError, TypeError):  # it only orders
        listed = []
    places = {name: place for place, name in enumerate(listed)}
    return sorted(children, key=lambda child: (places.get(child.name, len(places)), _natural(child)))


def _natural(folder: Path) -> tuple[int, str]:
    return (int(folder.name), "") if folder.name.isdecimal() else (-1, folder.name)


def _no_results(folder: Path) -> str:
    """Why ``folder`` has nothing to report, or an empty string."""
    status = read_json(folder / "status.json")
    if status.get("status") == "failed":
        return str(status.get("reason") or "failed")
    if (folder / "metrics.csv").is_file():  # it is written last
        return ""
    return f"not finished ({status['status']}): see its run.log" if "status" in status else "not finished"


def _read_run(folder: Path) -> Run:
    metrics = read_table(folder / "metrics.csv", METRICS)
    if metrics.empty:
        raise DataError(f"{folder / 'metrics.csv'} holds no numbers: run that job again")
    return Run(
        folder,
        metrics,
        read_table(folder / "costs.csv", COSTS),
        read_settings(folder / "config.yaml"),
        read_overrides(folder),
        read_about(folder / "run.json"),
        read_table(folder / "curve.csv", CURVE),
        not_as_left(folder, read_json(folder / "status.json").get("files")),
    )


def shown_path(folder: Path) -> str:
    """``folder`` as a user would type it from here."""
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative
