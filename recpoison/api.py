"""``recpoison.run`` and ``recpoison.load``: the command's words, or parts of one's own, from Python.

record = recpoison.run("dataset=ml_100k", "model=mf", "attack=average", repeats=3)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from recpoison.command.arguments import Arguments, sort_arguments
from recpoison.command.checking import locate
from recpoison.command.composed import options_of, settings_of
from recpoison.command.config import BASES, build, check
from recpoison.command.job import Task, run_configured
from recpoison.command.machine import choose_device, prepared, threads_of_a_seed
from recpoison.command.overrides import Job, Sweep
from recpoison.command.typed import refuse_idle
from recpoison.command.understanding import understand
from recpoison.data.frame import IN_MEMORY, FrameTable
from recpoison.descriptions import describe
from recpoison.errors import ConfigError
from recpoison.parts import Parts
from recpoison.report.runs import read_runs
from recpoison.results import Finished, Result

__all__ = ["Parts", "Result", "load", "run"]

# Text that the command's grammar takes for text: no number, no null, true or false.
_PLAIN = re.compile(r"(?!(?:null|true|false|nan|inf)$)[a-z_/.][a-z0-9_./:@%+-]*", re.IGNORECASE | re.ASCII)
_FLAGS = {"--multirun", "--config-dir", "--trust"}


def run(*words: str | Parts, data: pd.DataFrame | None = None, quiet: bool = False, **settings: Any) -> Result:
    """Train, attack, defend and measure, as the command does; nothing is written but stages into the store.

    What the command takes may be given as its words (``"attack.budget=0.03"``, also ``"-m"`` for every combination of
    ``a,b,c``) or by name (``attack="average"``, ``repeats=3``). Dataset, model, attack, defense and evaluation may also
    be objects, by name or together as ``Parts``.

    Args:
        words: As typed after ``recpoison``; or one ``Parts``.
        data: A table with a row for each interaction, in place of a dataset. Its columns are named as for
            ``dataset=csv``: ``"dataset.user=customer"``, ``"dataset.item=sku"``, ``"dataset.rating=stars"``, ...
        quiet: Whether no progress is shown, on a terminal.
        settings: Settings and parts by name; ``dataset`` may be a frame.

    Returns:
        What was found; of several runs where a sweep was asked for.

    Raises:
        UserError: What is wrong, in a sentence for each problem.
    """
    asked = _asked(words, data, settings)
    jobs = _jobs(asked)
    refuse_idle(asked.line.overrides, [job.cfg for job in jobs], asked.line.trusted, asked.given)
    return Result.of([_finish(job, asked, quiet) for job in jobs])


def load(*folders: str | Path) -> Result:
    """Read runs back: from the folder of a run, of a sweep, or of several.

    A run of several whose file is broken is left out: ``verdict`` and ``table`` say so.

    Raises:
        ConfigError: If a folder holds no run.
        DataError: If a file of the only run is broken.
    """
    return Result(read_runs(folders))


@dataclass(frozen=True)
class _Asked:
    """A call, sorted.

    Args:
        line: Its words.
        given: Parts that are objects, by group.
        labels: What tables call them.
        data: A frame in place of a dataset.
    """

    line: Arguments
    given: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    data: pd.DataFrame | None = None


def _asked(words: Sequence[str | Parts], data: pd.DataFrame | None, settings: Mapping[str, Any]) -> _Asked:
    together = [word for word in words if isinstance(word, Parts)]
    if len(together) > 1:
        raise ConfigError("run takes one Parts: call it once for each")
    given: dict[str, Any] = {group: getattr(parts, group) for parts in together for group in BASES}
    texts = [word for word in words if isinstance(word, str)]
    if len(texts) + len(together) < len(words):
        raise ConfigError('run takes words such as "model=mf" or one Parts: give other things by name, as model=MF()')
    for name, value in settings.items():
        if name == "dataset" and isinstance(value, pd.DataFrame) and data is None:
            data = value
        elif name in BASES and not isinstance(value, str):
            given[name] = _part(name, value)
        else:
            texts.append(f"{name}={_as_word(value)}")
    line = sort_arguments(texts)
    if foreign := sorted(line.names - _FLAGS):
        raise ConfigError(f"{foreign[0]} is for the command: leave it out")
    named = {text.partition("=")[0].lstrip("+") for text in line.overrides}
    if twice := sorted(named & given.keys()) or (
        ["dataset"] if data is not None and {"dataset"} & {*named, *given} else []
    ):
        raise ConfigError(f"{twice[0]} is given twice: keep one")
    if lost := sorted(name for name in named if name.partition(".")[0] in given):
        raise ConfigError("\n".join(f"{name}: {name.partition('.')[0]} is an object: set it there" for name in lost))
    labels = {group: label for parts in together for group, label in parts.labels.items()}
    return _Asked(replace(line, overrides=[*line.overrides, *_for_given(given, data, named)]), given, labels, data)


def _for_given(given: Mapping[str, Any], data: pd.DataFrame | None, named: set[str]) -> list[str]:
    """Words that go with objects: a frame is read as a csv file is, and what suits a named dataset suits no other."""
    words = [] if data is None else ["dataset=csv", f"dataset.path={IN_MEMORY}"]
    if data is not None and "dataset.name" not in named:
        words.append(f"dataset.name={IN_MEMORY}")
    return words + (["~tuned"] if {"dataset", "model"} & given.keys() else [])


def _part(group: str, value: Any) -> Any:
    if not isinstance(value, tuple(map(locate, BASES[group]))):
        raise ConfigError(
            f"{group} is {type(value).__name__}: give the name of an option, or an object of {BASES[group][0]}"
        )
    return value


def _as_word(value: Any) -> str:
    """A value as the command's grammar has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_as_word, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}: {_as_word(item)}' for key, item in value.items())}}}"
    text = str(value)
    if not isinstance(value, str | Path) or _PLAIN.fullmatch(text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _jobs(asked: _Asked) -> list[Job]:
    """The configurations asked for: one, or those of a sweep."""
    line = asked.line
    understood = understand(line.in_place, line.sweeping, line.trusted, runs=asked.data is None)
    if not isinstance(understood, Sweep):
        return [Job(line.overrides, understood)]
    if understood.jobs is None or understood.cfg.sweep.plan:
        raise ConfigError("plans and sweepers that decide as they go are for the command: leave them out")
    return understood.jobs


def _finish(job: Job, asked: _Asked, quiet: bool) -> Finished:
    """Do one run."""
    trusted = asked.line.trusted
    cfg = settings_of(job.cfg)
    labels = {group: option for group, option in options_of(job.cfg.hydra).items() if group not in asked.given}
    if asked.data is not None:
        labels["dataset"] = cfg.dataset.name
    check(cfg, trusted, labels)
    if cfg.trackers:
        raise ConfigError("trackers hear of runs that the command writes: leave them out")
    given = dict(asked.given)
    if asked.data is not None:
        given["dataset"] = FrameTable.like(build(cfg.dataset, trusted), asked.data)
    task = Task(Path(), labels | asked.labels, job.overrides, "", trusted, among_many=quiet)
    device = choose_device(cfg.device)
    with prepared(cfg.deterministic, threads_of_a_seed(cfg, device, None)):
        record = run_configured(cfg, task, device, given)
    settled = OmegaConf.to_container(cfg, resolve=True) | {group: describe(part) for group, part in given.items()}  # type: ignore[operator]
    return Finished(record, OmegaConf.to_yaml(settled), tuple(job.overrides), _call(job.overrides, given))


def _call(overrides: Sequence[str], given: Mapping[str, Any]) -> str:
    """How the run was asked for, as ``run.json`` keeps it."""
    words = [repr(text) for text in overrides]
    return f"recpoison.run({', '.join([*words, *(f'{group}={part!r}' for group, part in given.items())])})"
