"""Cells of a sweep whose parts do not fit together: found beforehand, named, and left out where that is asked for.

A wrong value or a misspelt name is no such thing: its cell fails.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recpoison.command import cells
from recpoison.command.agreement import agreement_problems
from recpoison.command.cells import Status
from recpoison.command.checking import locate
from recpoison.command.composed import options_of
from recpoison.command.config import BASES, build
from recpoison.command.declared import of_class
from recpoison.command.overrides import Job, Sweep
from recpoison.errors import ConfigError, IncompatibleParts, UserError

UNDEFINED = "undefined"  # a status


@dataclass(frozen=True)
class Undefined:
    """A cell that is not defined.

    Args:
        job: What was typed for it, and its configuration.
        parts: Which parts do not fit together, such as ``defense`` and ``model``.
        why: Their options, and the reason.
    """

    job: Job
    parts: tuple[str, ...]
    why: str


def defined_only(sweep: Sweep, trusted: Sequence[str]) -> tuple[Sweep, list[Undefined]]:
    """The sweep without its cells that are not defined, and these; all of it where ``sweep.skip_undefined`` is false.

    Args:
        sweep: What was typed.
        trusted: Packages besides ``recpoison`` that may be imported.

    Raises:
        ConfigError: If the sweeper decides as it goes.
        IncompatibleParts: If no cell is defined.
    """
    if not sweep.cfg.sweep.skip_undefined:
        return sweep, []
    if sweep.jobs is None:
        raise ConfigError("sweep.skip_undefined needs the whole grid beforehand, but this sweeper decides as it goes")
    kept: list[Job] = []
    left: list[Undefined] = []
    for job in sweep.jobs:
        found = look_at(job, trusted)
        if found is None:
            kept.append(job)
        else:
            left.append(found)
    if not kept:
        raise IncompatibleParts("no cell of this sweep is defined: " + "; ".join(_counted(left)))
    return replace(sweep, jobs=kept), left


def look_at(job: Job, trusted: Sequence[str]) -> Undefined | None:
    """What does not fit together in a cell; None where all does, or where a part is not sound by itself."""
    from recpoison.parts import Parts

    labels = options_of(job.cfg.hydra)
    try:
        parts = {group: build(job.cfg[group], trusted) for group in BASES}
        disagree = agreement_problems(job.cfg, list(BASES), labels, lambda target: of_class(locate(target, trusted)))
        if disagree:
            return Undefined(job, (disagree[0].partition("=")[0], "dataset"), disagree[0])
        Parts(**parts)
    except IncompatibleParts as error:
        if not error.parts:  # inside one of them
            return None
        first, *others = (f"{group}={labels.get(group, group)}" for group in error.parts)
        return Undefined(job, error.parts, f"{first} with {' and '.join(others)}: {error}")
    except (UserError, OmegaConfBaseException):
        return None
    return None


def say_left_out(left: Sequence[Undefined], total: int) -> None:
    """Print how many cells are left out, and which parts do not go together."""
    are = "is not defined: it is" if len(left) == 1 else "are not defined: they are"
    lines = [f"  {line}" for line in _counted(left)]
    print(f"{len(left)} of {total} cells {are} left out, and n/a in tables", *lines, sep="\n", flush=True)


def offer_to_leave_out(sweep: Sweep, statuses: Mapping[str, Status], trusted: Sequence[str]) -> None:
    """Name the setting, if a cell failed because its parts do not fit together."""
    failed = [cell for cell, status in statuses.items() if (status.status, status.code) == ("failed", 2)]
    jobs = {job.cell: job for job in sweep.jobs or ()} if failed else {}
    if any(look_at(jobs[cell], trusted) for cell in failed if cell in jobs):
        print("recpoison: sweep.skip_undefined=true leaves out cells whose parts do not fit together", file=sys.stderr)


def mark(sweep: Sweep, left: Sequence[Undefined]) -> None:
    """Leave in the folder of each cell that it is not defined, and its settings; results of other code go aside.

    Raises:
        OSError: If that cannot be written.
    """
    for each in left:
        cell, cfg, labels = each.job.cell, each.job.settings, options_of(each.job.cfg.hydra)
        status = Status(UNDEFINED, cell, cells.version_of(cfg), each.job.overrides, reason=each.why)
        status = replace(status, labels=labels, misfits=list(each.parts))
        folder = sweep.folder / cell
        if cells.read_status(folder) != status:
            folder.mkdir(parents=True, exist_ok=True)
            if (aside := cells.set_results_aside(folder)) is not None:
                print(f"cell {cell} is not defined any more; its earlier results are in {aside}", flush=True)
            (folder / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
            cells.write_status(folder, status)


def _counted(left: Sequence[Undefined]) -> list[str]:
    """Each reason once, with the number of cells."""
    counts = Counter(each.why for each in left)
    return [f"{why} ({count} cell{'s' if count > 1 else ''})" for why, count in counts.items()]
