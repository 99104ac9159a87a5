"""``recpoison-store``: what is stored, what made it, and making room."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from recpoison.answering import answered
from recpoison.errors import ConfigError, OutputError
from recpoison.ruled import ruled
from recpoison.stages.store import Entry, Store, default_store_dir
from recpoison.stages.upkeep import (
    Leftover,
    damage,
    damaged_checkpoints,
    discard,
    least_recently_used,
    leftovers,
    size,
)

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; ``sys.argv`` where None.

    Returns:
        The exit code: 0 done, 1 damage found by ``verify``, 2 the user's mistake, 130 after Ctrl-C.
    """
    typed = _parser().parse_args(arguments)
    console = Console(soft_wrap=True, highlight=False, width=None if sys.stdout.isatty() else 160)
    return answered("recpoison-store", lambda: _run(typed, Store(typed.store_dir), console))


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--store-dir", type=Path, default=default_store_dir(), metavar="DIR", help="the store (default: %(default)s)"
    )
    parser = argparse.ArgumentParser(prog="recpoison-store", description="What runs have stored to reuse.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("ls", parents=[shared], help="list what is stored, oldest first")
    show = commands.add_parser("show", parents=[shared], help="show what a stage was made of")
    show.add_argument("key", help="its key, or the first letters")
    prune = commands.add_parser("prune", parents=[shared], help="remove what was not used for long; runs may go on")
    prune.add_argument("--older-than", metavar="AGE", help="stages last used longer ago, such as 30d, 12h or 2w")
    prune.add_argument("--keep-size", metavar="SIZE", help="then the least recently used until this is left, as 20GB")
    prune.add_argument("--dry-run", action="store_true", help="say what would be removed and remove nothing")
    commands.add_parser("verify", parents=[shared], help="check all files; set damaged stages aside")
    return parser


def _run(typed: argparse.Namespace, store: Store, console: Console) -> int:
    if not store.folder.is_dir():
        raise ConfigError(f"there is no store at {store.folder}: name it with --store-dir, as a run's store_dir did")
    if typed.command == "ls":
        _list(store, console)
    elif typed.command == "show":
        _show(store, _find(store, typed.key), console)
    elif typed.command == "prune":
        _prune(store, _seconds(typed.older_than), _bytes(typed.keep_size), typed.dry_run, console)
    else:
        return _verify(store, console)
    return 0


def _list(store: Store, console: Console) -> None:
    entries = store.entries()
    sizes = [size(store.path(entry)) for entry in entries]
    table = ruled()
    for name in ("stage", "key", "what"):
        table.add_column(name, no_wrap=name != "what")
    for name in ("took", "size", "last used"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry, bytes_ in zip(entries, sizes, strict=True):
        ago = f"{_age(time.time() - store.last_used(entry))} ago"
        table.add_row(entry.stage, entry.key[:12], entry.title, _age(entry.seconds), _readable(bytes_), ago)
    if entries:
        console.print(table)
    took = sum(entry.seconds for entry in entries)
    console.print(f"{len(entries)} stages in {store.folder}, {_readable(sum(sizes))}, {_age(took)} of work")
    if found := leftovers(store):
        console.print(f"{_counted(found)} left behind: recpoison-store prune removes it")


def _show(store: Store, entry: Entry, console: Console) -> None:
    folder = store.path(entry)
    lines = {
        "stage": entry.stage,
        "key": entry.key,
        "title": entry.title,
        "made": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.created)),
        "last used": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(store.last_used(entry))),
        "took": f"{entry.seconds:.1f} s, up to {entry.peak_mb:.0f} MB",
        "folder": str(folder),
    }
    for name, text in lines.items():
        console.print(f"{name:10}{text}", markup=False)
    for name, sha256 in entry.files.items():
        console.print(f"{'file':10}{name}, {_readable(size(folder / name))}, sha256 {sha256}", markup=False)
    console.print("made of", json.dumps(entry.inputs, indent=2), markup=False)


def _prune(store: Store, older_than: float | None, keep_size: float | None, dry_run: bool, console: Console) -> None:
    doomed: list[Entry | Leftover] = [*least_recently_used(store, older_than, keep_size)]
    doomed += [left for left in leftovers(store) if _of_no_use(left, older_than)]
    removed: list[Entry | Leftover] = []
    refused: list[OSError] = []
    freed = 0
    for one in doomed:
        bytes_ = size(store.path(one) if isinstance(one, Entry) else one.path)
        try:
            if not dry_run:
                _remove(store, one)
        except OSError as error:
            refused.append(error)
            continue
        removed.append(one)
        freed += bytes_
        console.print(_named(store, one), markup=False)
    n_stages = sum(isinstance(one, Entry) for one in removed)
    verb = "would free" if dry_run else "freed"
    console.print(f"{n_stages} stages and {len(removed) - n_stages} leftovers: {verb} {_readable(freed)}")
    if older_than is None and keep_size is None:
        console.print("give --older-than or --keep-size to remove finished stages too")
    if refused:
        raise OutputError(
            f"{len(refused)} of {len(doomed)} could not be removed from {store.folder} ({refused[0].strerror}): "
            "run prune as the user who made them"
        )


def _remove(store: Store, one: Entry | Leftover) -> None:
    if isinstance(one, Entry):
        store.remove(one)
    else:
        discard(one.path)


def _named(store: Store, one: Entry | Leftover) -> str:
    if isinstance(one, Entry):
        return f"{one.stage} {one.key[:12]}  {one.title}"
    return f"{one.what}: {one.path.relative_to(store.folder)}"


def _of_no_use(left: Leftover, older_than: float | None) -> bool:
    """A stopped run may still want its checkpoints, unless its stage was finished by another or they are old."""
    if left.what != "checkpoint" or (left.path.parent / left.path.name.removeprefix(".part-")).is_dir():
        return True
    return older_than is not None and left.last_used < time.time() - older_than


def _verify(store: Store, console: Console) -> int:
    entries = store.entries()
    n_broken = 0
    for entry in entries:
        broken = damage(store, entry)
        if broken and os.path.lexists(store.path(entry)):  # Else pruned meanwhile.
            n_broken += 1
            end = "set aside" if store.set_aside(entry, broken) else "cannot be set aside"
            named = ", ".join(broken)
            console.print(f"damaged: {entry.stage} {entry.key[:12]} ({named}), {end}", markup=False)
    checkpoints = damaged_checkpoints(store)
    for path in checkpoints:
        end = "removed" if _discarded(path) else "cannot be removed"
        console.print(f"damaged checkpoint: {path.relative_to(store.folder)}, {end}", markup=False)
    found = [left for left in leftovers(store) if left.what in ("unfinished", "removed")]
    n_gone = sum(_discarded(left.path) for left in found)
    console.print(
        f"{len(entries)} stages checked, {n_broken} damaged, {len(checkpoints)} damaged checkpoints, "
        f"{n_gone} unfinished ones of dead runs removed"
    )
    return 1 if n_broken or checkpoints else 0


def _discarded(path: Path) -> bool:
    """Whether it is gone; another user's may stay."""
    try:
        discard(path)
    except OSError:
        return False
    return True


def _find(store: Store, prefix: str) -> Entry:
    found = [entry for entry in store.entries() if entry.key.startswith(prefix.lower())]
    if not found:
        raise ConfigError(f"no stored stage has a key that starts with {prefix!r}: recpoison-store ls lists them")
    if len(found) > 1:
        some = ", ".join(entry.key[: max(12, len(prefix) + 4)] for entry in found[:4])
        raise ConfigError(
            f"{len(found)} stored stages have a key that starts with {prefix!r} ({some}): give more of it"
        )
    return found[0]


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", text.strip().lower())
    if not match:
        raise ConfigError(f"--older-than {text}: give a number with s, m, h, d or w, such as 30d")
    return float(match[1]) * _SECONDS[match[2]]


def _bytes(text: str | None) -> float | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?", text.strip().upper())
    if not match or (match[3] and not match[2]):
        raise ConfigError(f"--keep-size {text}: give a number with KB, MB, GB or TB, such as 20GB")
    return float(match[1]) * (1024 ** "KMGT".index(match[2]) * 1024 if match[3] else _BYTES[match[2]])


def _readable(bytes_: float) -> str:
    unit = next(unit for unit in ("T", "G", "M", "K", "") if bytes_ >= _BYTES[unit] or not unit)
    return f"{bytes_ / _BYTES[unit]:.3g} {unit}B"


def _age(seconds: float) -> str:
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds >= 2 * _SECONDS[unit] or unit == "s")
    return f"{seconds / _SECONDS[unit]:.{1 if unit == 's' else 0}f} {'min' if unit == 'm' else unit}"


def _counted(found: Sequence[Leftover]) -> str:
    kinds = [left.what for left in found]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))


if __name__ == "__main__":
    sys.exit(main())
