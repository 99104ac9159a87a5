"""Many jobs from one command: each leaves its status, and the end of the sweep reads them all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from recpoison.errors import OutputError
from recpoison.job import Outcome, point_latest, refuse_results

STATUS = "status.json"


@contextmanager
def status_of(folder: Path, overrides: list[str]) -> Iterator[list[Outcome]]:
    """Keep ``status.json`` while a job runs: ``running``, then ``done``, ``failed`` or ``stopped``.

    The block appends the job's outcome to the list it is given. A job that dies without a word stays ``running``.
    """
    outcomes: list[Outcome] = []
    _write(folder, status="running", overrides=overrides)
    try:
        yield outcomes
    finally:
        if not outcomes:
            _write(folder, status="stopped", overrides=overrides)
        else:
            end = outcomes[-1]
            status = "failed" if end.code else "done"
            _write(folder, status=status, overrides=overrides, code=end.code, reason=end.reason, seconds=end.seconds)


def _write(folder: Path, **content: Any) -> None:
    draft = folder / f".{STATUS}-{os.getpid()}"
    try:
        draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, folder / STATUS)
    except OSError as error:  # The job says so itself where it cannot write; here nothing must be lost by saying it.
        print(f"recpoison: {folder / STATUS} cannot be written ({error.strerror})", file=sys.stderr)


class SweepReport(Callback):
    """Hydra calls it around a sweep. Its end ends the process: with 0, or the worst code among the jobs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a folder that holds another sweep's results."""
        folder = Path(config.hydra.sweep.dir)
        for job in [folder, *sorted(path.parent for path in folder.glob("*/metrics.csv"))]:
            try:
                refuse_results(job)
            except OutputError as error:
                print(f"recpoison: {error}".replace("hydra.run.dir", "hydra.sweep.dir"), file=sys.stderr)
                raise SystemExit(2) from None

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Name the jobs that are missing from the tables."""
        folder = Path(config.hydra.sweep.dir)
        statuses = {path.parent.name: json.loads(path.read_text()) for path in folder.glob(f"*/{STATUS}")}
        missing = {job: status for job, status in statuses.items() if status["status"] != "done"}
        point_latest(folder)
        print(f"{len(statuses) - len(missing)} of {len(statuses)} jobs done: recpoison-report {_shown(folder)}")
        for job in sorted(missing, key=lambda name: (len(name), name)):
            status = missing[job]
            reason = status.get("reason") or "it stopped without a word; see its run.log"
            print(f"recpoison: job {job} ({' '.join(status['overrides'])}) is missing: {reason}", file=sys.stderr)
        raise SystemExit(min((status.get("code", 1) for status in missing.values()), default=0))


def _shown(folder: Path) -> str:
    relative = os.path.relpath(folder)
    return str(folder) if relative.startswith("..") else relative
