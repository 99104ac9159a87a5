"""The shell commands that run cells of a published table."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from recpoison.paths import CONF_DIR
from recpoison.published.plain import read_plain
from recpoison.published.tables import GROUPS, PublishedCell, PublishedTable


def commands(table: PublishedTable, cells: Sequence[PublishedCell]) -> list[str]:
    """What to type to run ``cells``; with the table's presets if it has any, narrowed to them.

    Sweeps are products, so that they may run more cells than were asked for; a store keeps what is already there.
    Without a preset, cells that fix the same settings share a command.
    """
    if not table.presets:
        alike: dict[tuple[str, ...], list[PublishedCell]] = {}
        for cell in cells:
            alike.setdefault(tuple(cell.settings), []).append(cell)
        return [_by_options(table, group) for group in alike.values()]
    shared: dict[str, list[PublishedCell]] = {preset: [] for preset in table.presets}
    for cell in cells:
        own = (preset for preset in table.presets if _model_of(preset) == cell.options["model"])
        shared[next(own, table.presets[0])].append(cell)
    return [_by_preset(preset, some) for preset, some in shared.items() if some]


def _by_preset(preset: str, cells: Sequence[PublishedCell]) -> str:
    grid, chosen = grid_of(preset), _chosen("experiment", preset) | {"model": _model_of(preset)}
    words = [f"experiment={preset}"]
    for key, values in grid.items():
        if key == "victim":  # each chooses a model
            wanted = [value for value in values if _chosen("victim", value).get("model") in _values(cells, "model")]
        else:
            wanted = [value for value in values if value in _values(cells, key)]
        if key == "defense" and _values(cells, key) == ["none"]:
            wanted = ["none"]
        if wanted and wanted != values:
            words.append(f"{key}={','.join(wanted)}")
    for group in ("model", "defense"):
        wanted = _values(cells, group)
        swept = group in grid or (group == "model" and "victim" in grid)
        if not swept and set(wanted) - {chosen.get(group, "none")}:
            words.append(f"{group}={','.join(wanted)}")
    return _typed("recpoison", *words)


@cache
def _model_of(preset: str) -> str:
    """The model that a preset chooses, itself or by its victim; empty where it leaves that to its grid."""
    chosen = _chosen("experiment", preset)
    victim = chosen.get("victim")
    return chosen.get("model") or (_chosen("victim", victim).get("model", "") if victim else "")


def _by_options(table: PublishedTable, cells: Sequence[PublishedCell]) -> str:
    keys = [group for group in GROUPS if any(group in cell.options for cell in cells)]
    keys += dict.fromkeys(key for cell in cells for key in cell.settings)
    values = {key: found for key in keys if (found := _values(cells, key)) not in ([], ["none"])}
    if values.get("attack") is None:  # a clean run has no setting of an attack
        values = {key: found for key, found in values.items() if not key.startswith("attack.")}
    sweep = ["-m"] if any(len(found) > 1 for found in values.values()) else []
    words = [f"{key}={','.join(found)}" for key, found in values.items()]
    if all(cell.subject in ("test", "target") for cell in cells):
        metrics = dict.fromkeys(cell.metric for cell in cells)
        cutoffs = dict.fromkeys(str(cell.k) for cell in cells if cell.k is not None)
        words += [f"evaluation.{key}=[{','.join(v)}]" for key, v in (("metrics", metrics), ("cutoffs", cutoffs)) if v]
    repeats = [f"repeats={table.repeats}"] if table.repeats > 1 else []
    return _typed("recpoison", *sweep, *words, *repeats)


def _typed(*words: str) -> str:
    """A command line; brackets of lists are quoted, as some shells would look for files."""
    return " ".join(shlex.quote(word) for word in words)


def _values(cells: Sequence[PublishedCell], key: str) -> list[str]:
    """The values of ``key`` in ``cells``; ``none`` only alone, for a run measures what it defends and attacks too."""
    found = [cell.options.get(key, cell.settings.get(key, ...)) for cell in cells]
    distinct = list(dict.fromkeys("null" if value is None else str(value) for value in found if value is not ...))
    return [value for value in distinct if value != "none"] or distinct


def grid_of(preset: str) -> dict[str, list[str]]:
    """What a preset sweeps: the values of each key; the presets it builds on count where it says nothing."""
    content: Mapping[str, Any] = read_plain(CONF_DIR / "experiment" / f"{preset}.yaml")
    grid: dict[str, list[str]] = {}
    for entry in content.get("defaults", []):
        if isinstance(entry, str) and entry != "_self_":
            grid |= grid_of(entry)
    params = content.get("hydra", {}).get("sweeper", {}).get("params", {})
    return grid | {key: str(values).split(",") for key, values in params.items()}


@cache
def _chosen(group: str, name: str) -> dict[str, str]:
    """The options that a file of ``group`` chooses for other groups, itself or through those that it builds on."""
    chosen: dict[str, str] = {}
    for entry in read_plain(CONF_DIR / group / f"{name}.yaml").get("defaults", []):
        if isinstance(entry, str):
            chosen |= {} if entry == "_self_" else _chosen(group, entry)
        else:
            chosen |= {key.removeprefix("override /"): value for key, value in entry.items()}
    return chosen
