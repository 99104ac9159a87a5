"""Cells of a sweep: what identifies one, and how far it is, on disk.

A cell is one job. Its folder is named by the hash of its resolved configuration, so that the same cell finds its folder
again, whatever command asks for it and in whatever order.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recpoison.command.composed import settings_of
from recpoison.command.config import build, targets
from recpoison.descriptions import code_of, digest
from recpoison.drafts import clear_abandoned, draft_of
from recpoison.errors import OutputError
from recpoison.intact import altered, settle, sha256_of
from recpoison.stages import locks

STATUS = "status.json"
# Settings that say where and how fast, never what.
_NO_EFFECT_ON_A_RUN = ("data_dir", "store_dir", "checkpoint_seconds", "threads", "workers", "jobs_per_gpu", "trackers")
NO_EFFECT = (*_NO_EFFECT_ON_A_RUN, "objective", "sweep", "hydra")
_FOLLOWS = "tuned"  # a group that follows from others; what it sets is in the configuration
_LETTERS = 12
_PIPELINE = "recpoison.experiment"
# The digest of files is believed for this many times as long as it took to read them, so that many cells do not each
# read them and a change is still seen.
_BELIEVED = 10
_read_before: dict[str, tuple[str, float]] = {}


@dataclass(frozen=True)
class Status:
    """How far a cell is.

    Args:
        status: ``pending``, ``running``, ``done``, ``failed``, ``stopped`` or, of a cell left out, ``undefined``.
        cell: Hash of its configuration.
        version: Hash of the code it runs.
        overrides: What the user typed for it.
        code: Exit code of a failed one: 2 the user's mistake, 1 ours.
        reason: Why it failed, or is not defined.
        seconds: Wall time.
        process: Who runs it, or ran it last.
        data: Digest of the raw files it reads; empty where nobody could read them.
        files: sha256 of each file that a done one left.
        labels: The options of its parts, where it is not defined.
        misfits: Which parts do not fit together.
    """

    status: str
    cell: str = ""
    version: str = ""
    overrides: list[str] = field(default_factory=list)
    code: int = 0
    reason: str = ""
    seconds: float = 0.0
    process: str = ""
    data: str = ""
    files: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)


def identify(cfg: DictConfig, choices: Mapping[str, Any]) -> str:
    """Hash of all that can affect a cell's files: the resolved configuration and the names of the chosen options.

    Left out: where data and stages lie, threads, the device's number, and how the sweep is run.

    Args:
        cfg: The composed configuration; a ``hydra`` node in it does not count.
        choices: The chosen option of each group, as in ``hydra.runtime.choices``: tables print them.
    """
    plain = {key: value for key, value in plain_settings(cfg).items() if key not in NO_EFFECT}
    plain["device"] = str(plain.get("device")).partition(":")[0]
    named = {group: option for group, option in choices.items() if not group.startswith(("hydra/", _FOLLOWS))}
    return digest([plain, named])[:_LETTERS]


def identify_job(cfg: DictConfig) -> str:
    """As ``identify``, for a configuration that still has its ``hydra`` node."""
    return identify(cfg, cfg.hydra.runtime.choices)


def version_of(cfg: DictConfig) -> str:
    """Hash of the code that a cell runs: its parts, and what makes and writes a run. Nothing is imported for it."""
    named = [str(target) for target in targets(plain_settings(cfg))]
    return code_of([_PIPELINE, *(target.rpartition(".")[0] for target in named)])[:_LETTERS]


def data_of(cfg: DictConfig, trusted: Sequence[str] = ()) -> str | None:
    """Digest of the raw files that a cell reads; None where they cannot be read: the job then says what is wrong.

    Args:
        cfg: Its configuration.
        trusted: Packages besides ``recpoison`` that may be imported.
    """
    try:
        key = digest([OmegaConf.to_container(cfg.dataset, resolve=True), cfg.data_dir, list(trusted)])
        found, until = _read_before.get(key, ("", 0.0))
        if not found or time.monotonic() > until:
            dataset = build(cfg.dataset, trusted)
            start = time.monotonic()
            found = dataset.fingerprint(Path(cfg.data_dir) if cfg.data_dir else None)[:_LETTERS]
            _read_before[key] = found, time.monotonic() + _BELIEVED * (time.monotonic() - start)
        reads = build(cfg.attack, trusted).reads if "path" in cfg.attack else None
        found = found if reads is None else digest([found, reads])[:_LETTERS]
    except Exception:  # a user's dataset may raise what it likes
        return None
    return found


def plain_settings(cfg: DictConfig) -> dict[str, Any]:
    """The configuration without ``hydra`` in plain values; raw where a reference leads nowhere, which check tells."""
    kept = settings_of(cfg)
    try:
        plain = OmegaConf.to_container(kept, resolve=True)
    except OmegaConfBaseException:
        plain = OmegaConf.to_container(kept, resolve=False)
    return {str(key): value for key, value in plain.items()} if isinstance(plain, dict) else {}


def register() -> None:
    """Let ``${recpoison.cell:}`` stand for a cell's hash in YAML: each process that runs jobs needs it."""

    def cell(*, _root_: DictConfig) -> str:
        return identify_job(_root_)

    OmegaConf.register_new_resolver("recpoison.cell", cell, replace=True)


register()


def read_status(folder: Path) -> Status | None:
    """The status of the cell in ``folder``; None where there is none that can be read."""
    try:
        content = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        known = {item.name for item in fields(Status)}
        status = Status(**{key: value for key, value in content.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    if not _is_plausible(status):
        return None
    if status.status == "running" and locks.is_free(_lock(folder)):
        return replace(status, status="stopped")  # its process died without a word
    return status


def is_cell(folder: Path) -> bool:
    """Whether a folder is a cell's by its own status, or, where that is lost or cannot be read, by its name."""
    status = read_status(folder)
    if status is not None:
        return status.cell == folder.name
    return len(folder.name) == _LETTERS and set(folder.name) <= set("0123456789abcdef")


def _is_plausible(status: Status) -> bool:
    """Whether what was read has the types of a status."""
    like = Status("")
    kinds = {
        item.name: (int, float) if item.name == "seconds" else type(getattr(like, item.name)) for item in fields(like)
    }
    return all(isinstance(getattr(status, name), kind) for name, kind in kinds.items())


def write_status(folder: Path, status: Status, *, only_first: bool = False) -> None:
    """Write ``status.json``, whole or not at all.

    Args:
        folder: The cell's; made if missing.
        status: What to write.
        only_first: Whether a status that is there already stays.

    Raises:
        OSError: If it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = draft_of(folder / STATUS)
    try:
        clear_abandoned(folder / STATUS)
        draft.write_text(json.dumps(asdict(status), indent=1) + "\n", encoding="utf-8")
        settle(draft)
        if not only_first:
            os.replace(draft, folder / STATUS)
            settle(folder)
        elif not (folder / STATUS).exists():
            with suppress(OSError):  # another process was quicker, or the file system knows no links
                os.link(draft, folder / STATUS)
    finally:
        draft.unlink(missing_ok=True)


def claim(folder: Path, what: str) -> AbstractContextManager[None]:
    """Hold a cell's folder for a block; wait while another process holds it. A dead process holds nothing."""
    return locks.holding(_lock(folder), what)


def this_process() -> str:
    """How messages name this process."""
    return f"{os.getpid()} on {socket.gethostname()}"


def set_results_aside(folder: Path) -> Path | None:
    """Move the results in ``folder`` into a hidden folder inside it, so that reports do not see them.

    ``metrics.csv``, which marks results as complete, goes first and the status stays: a kill in between leaves no
    results that nobody answers for.

    Returns:
        Where they are now, or None where there were none.
    """
    found = _results(folder)
    if not (folder / "metrics.csv").exists():
        return None
    aside = folder / f".earlier-{uuid.uuid4().hex[:8]}"
    aside.mkdir()
    for path in sorted(found, key=lambda path: path.name != "metrics.csv"):
        os.replace(path, aside / path.name)
    return aside


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of each file of results in ``folder``."""
    return {path.name: sha256_of(path) or "" for path in sorted(_results(folder))}


def damaged(folder: Path, status: Status) -> list[str]:
    """The files of a done cell that are missing or not as it left them; nobody can vouch for those without a sha256."""
    return altered(folder, {"metrics.csv": ""} | status.files)


def refuse_results(folder: Path, cell: str, setting: str = "hydra.run.dir") -> None:
    """Refuse a folder that holds finished results, or unfinished ones of another cell.

    Args:
        folder: Where a run wants to write.
        cell: The hash of its configuration.
        setting: What chose the folder.

    Raises:
        OutputError: If it is taken.
    """
    status = read_status(folder)
    held = [name for name in ("metrics.csv", "run.json", "config.yaml") if (folder / name).exists()]
    ours = status is not None and status.cell == cell
    remedy = f"choose another {setting}, or remove it"
    if "metrics.csv" in held or (held and not ours):
        raise OutputError(f"{folder} already holds results ({held[0]}): {remedy}")
    if status is not None and not ours:
        raise OutputError(f"{folder} holds an unfinished run with other settings: {remedy}")


def _results(folder: Path) -> list[Path]:
    stay = ("run.log", STATUS)
    return [path for path in folder.iterdir() if path.is_file() and path.name[0] != "." and path.name not in stay]


def _lock(folder: Path) -> Path:
    return folder / ".lock"
