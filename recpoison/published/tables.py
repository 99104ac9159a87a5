"""What papers printed, and which cell of which run each printed number belongs to.

A table is a small YAML beside its csv:

    title, paper    what it shows and where it stands
    csv, value      the file, and its column of numbers (``value`` where absent)
    where           columns and values (one or several) that pick the table's rows of the csv; all rows where absent
    rows            csv columns that name a cell, in the order of the report
    within          csv columns that stay fixed when two cells are compared with each other
    repeats         how many repetitions a printed mean is over; 1 where the paper does not say
    tolerance       a difference that still counts as agreement, in the csv's unit
    relative        the same as a share of the printed number; where both are given, both must hold
    preset          the experiment that runs it, if there is one; a list where a column needs one of its own
    contest         who is held against whom in a row, and what the stars are of (see contest.py)
    notes           what a reader must know of our runs, as sentences
    like            another table whose entries hold where this one says nothing
    cells           what a cell is: ``all`` for each cell, then for each csv column what its values mean; null where
                    they mean nothing, though those of the table it is like do

A meaning is a mapping. ``dataset model attack defense evaluation victim setting`` are options (of conf/), ``subject
metric k`` say what is measured, ``scale`` is the csv's number for 1, ``drop: true`` marks a fall from the clean cell,
``stand_in`` says which other data take the place of the paper's (its cells then get no verdict), ``tolerance`` and
``relative`` stand in place of the table's, and dotted keys are settings of the run. ``{column}`` in a value stands for
the row's value in that column, in lower case, and ``{word}`` for what the meaning says under a word of the table's own.
``*`` means every other value of its column. Later columns win; another model drops the settings of the one before. What
conf/victim/NAME.yaml and conf/setting/NAME.yaml fix belongs to the cell.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from recpoison.errors import ConfigError
from recpoison.nearest import did_you_mean, nearest
from recpoison.paths import CONF_DIR
from recpoison.published.contest import Contest
from recpoison.published.plain import dotted, read_plain

FOLDER = Path(__file__).parent
LABELS = ("dataset", "model", "attack", "defense")
GROUPS = (*LABELS, "evaluation", "victim", "setting")
_DEFAULTS = {
    "value": "value",
    "where": {},
    "within": [],
    "repeats": 1,
    "tolerance": None,
    "relative": None,
    "preset": [],
    "contest": None,
    "notes": [],
}


@dataclass(frozen=True)
class PublishedCell:
    """One printed number and the cell of a run that should repeat it.

    Args:
        names: The csv row's values in the table's ``rows``.
        rivals: Its values in ``within``: cells that agree in them and measure the same compare with each other.
        value: As printed.
        note: What looks wrong with it, such as a misprint.
        options: Option of each group that it needs.
        settings: Settings of its run by dotted key.
        subject: Whose metric.
        metric: Label of the metric.
        k: Cutoff; None for metrics without one.
        scale: What the csv prints for 1.
        drop: Whether it is the clean number minus the attacked one.
        stand_in: Which other data take the place of the paper's, and why; empty where the data are the paper's.
        tolerance: A difference that still counts as agreement, in the csv's unit; None: no such bound.
        relative: The same as a share of the printed number.
        stars: How many stars are printed beside it.
    """

    names: tuple[str, ...]
    rivals: tuple[str, ...]
    value: float
    note: str
    options: dict[str, str]
    settings: dict[str, Any]
    subject: str
    metric: str
    k: int | None
    scale: float = 1.0
    drop: bool = False
    stand_in: str = ""
    tolerance: float | None = None
    relative: float | None = None
    stars: int = 0

    @property
    def label(self) -> str:
        """What is measured, such as ``target HR@50``."""
        fall = "fall of " if self.drop else ""
        return f"{fall}{self.subject} {self.metric}" + ("" if self.k is None else f"@{self.k}")

    @property
    def what(self) -> tuple[str, ...]:
        """Subject, metric and cutoff, a mean over an attack's steps (``path``) being a number of held-out items."""
        return (self.subject.replace("path", "test"), self.metric, str(self.k))

    @property
    def needs(self) -> tuple[str, ...]:
        """Options that recpoison does not have yet, such as ``attack=pga``: those without a YAML in conf/."""
        wanted = ((group, name) for group, name in self.options.items())
        return tuple(f"{group}={name}" for group, name in wanted if not (CONF_DIR / group / f"{name}.yaml").is_file())

    @property
    def identity(self) -> tuple[Any, ...]:
        """Equal for two rows that print the same cell, as tables repeat the clean model beside each attack."""
        options = [(group, name) for group, name in self.options.items() if group in LABELS]
        clean = self.options.get("attack") == "none" and self.subject != "target"  # settings of an attack say nothing
        settings = {key: value for key, value in self.settings.items() if not (clean and key.startswith("attack."))}
        return (str(options), str(settings), self.label, self.rivals, self.value)


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper; see the module for the file behind it.

    Args:
        name: Stem of its YAML, such as ``apt_table_2``.
        title: What it shows.
        paper: Where it stands.
        keys: Names of a cell's ``names``.
        cells: Its numbers in the csv's order.
        repeats: Repetitions behind a printed mean.
        presets: The experiments that run it.
        unit: One in the last decimal that is printed; half of it is the least difference that print can show.
        contest: The paper's claim for one of its columns.
        notes: What a reader must know of our runs.
    """

    name: str
    title: str
    paper: str
    keys: tuple[str, ...]
    cells: tuple[PublishedCell, ...] = field(repr=False)
    repeats: int
    presets: tuple[str, ...] = ()
    unit: float = 0.0
    contest: Contest | None = None
    notes: tuple[str, ...] = ()

    @property
    def distinct(self) -> tuple[PublishedCell, ...]:
        """Its cells, one that is printed several times once.

        A name in which the repetitions differ is all of theirs (``Average/Random``), or ``all`` where they have every
        one that the table has.
        """
        alike: dict[tuple[Any, ...], list[PublishedCell]] = {}
        for cell in self.cells:
            alike.setdefault(cell.identity, []).append(cell)
        known = [set(column) for column in zip(*(cell.names for cell in self.cells), strict=True)]
        return tuple(_merged(cells, known) for cells in alike.values())


def _merged(cells: Sequence[PublishedCell], known: Sequence[set[str]]) -> PublishedCell:
    columns = [list(dict.fromkeys(column)) for column in zip(*(cell.names for cell in cells), strict=True)]
    merged = (
        "all" if 1 < len(column) == len(every) else "/".join(column)
        for column, every in zip(columns, known, strict=True)
    )
    return replace(cells[0], names=tuple(merged), note=next((cell.note for cell in cells if cell.note), ""))


def names() -> list[str]:
    """Every published table."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


@cache
def load(name: str) -> PublishedTable:
    """The table ``name``; its files come with the package, and are read once.

    Raises:
        ConfigError: If there is no such table.
    """
    if name not in names():
        raise ConfigError(
            f"there is no published table {name}{did_you_mean(nearest(name, names()))} (there are {', '.join(names())})"
        )
    about: dict[str, Any] = {**_DEFAULTS, **_described(name)}
    rows = list(_rows(about))
    fixed = cache(_fixed)  # each file is read once a table
    cells = tuple(_cell(about, row, fixed) for row in rows)
    decimals = max(len(row[about["value"]].partition(".")[2]) for row in rows)
    own: dict[str, Any] = {key: about[key] for key in ("title", "paper", "repeats")}
    own |= {
        "presets": tuple([about["preset"]] if isinstance(about["preset"], str) else about["preset"]),
        "contest": Contest(**about["contest"]) if about["contest"] else None,
        "notes": tuple(about["notes"]),
    }
    return PublishedTable(name, keys=tuple(about["rows"]), cells=cells, unit=10.0**-decimals, **own)


def _described(name: str) -> dict[str, Any]:
    about = read_plain(FOLDER / f"{name}.yaml")
    if "like" not in about:
        return about
    base = _described(about.pop("like"))
    cells = base["cells"] | about.get("cells", {})
    return base | about | {"cells": {column: values for column, values in cells.items() if values is not None}}


def _rows(about: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The rows of its csv that have a number."""
    with (FOLDER / about["csv"]).open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row[about["value"]] and all(_is(row[column], value) for column, value in about["where"].items()):
                yield row


def _is(printed: str, wanted: Any) -> bool:
    """Whether a csv's value is the one that is wanted, or one of several."""
    return printed in [str(value) for value in (wanted if isinstance(wanted, list) else [wanted])]


def _meaning(cells: Mapping[str, Any], row: Mapping[str, str]) -> dict[str, Any]:
    """What the row's values mean together."""
    meaning: dict[str, Any] = {}
    for column, values in cells.items():
        new = values if column == "all" else values[row[column] if row[column] in values else "*"]
        if new.get("model", meaning.get("model")) != meaning.get("model"):
            meaning = {key: value for key, value in meaning.items() if not key.startswith("model.")}
        meaning |= new
    words = meaning | {column: value.lower() for column, value in row.items()}
    return {key: _filled(value, words) for key, value in meaning.items()}


def _filled(value: Any, words: Mapping[str, Any]) -> Any:
    """A value with the row's words in it; what is a whole number then becomes one."""
    if not isinstance(value, str) or "{" not in value:
        return value
    text = value.format(**words)
    return int(text) if text.isdecimal() else text


def _fixed(group: str, option: str | None) -> dict[str, Any]:
    """Dotted keys that the file of an option and those it builds on fix; lists as text, as runs are read."""
    file = CONF_DIR / group / f"{option}.yaml"
    if option is None or not file.is_file():
        return {}
    content = read_plain(file)
    fixed: dict[str, Any] = {}
    for base in content.pop("defaults", []):
        fixed |= _fixed(group, base) if isinstance(base, str) else {}
    return fixed | dict(dotted(content))


def _cell(
    about: Mapping[str, Any], row: Mapping[str, str], fixed: Callable[[str, str | None], dict[str, Any]]
) -> PublishedCell:
    meaning = _meaning(about["cells"], row)
    k = meaning.get("k")
    what = (str(meaning["subject"]), str(meaning["metric"]), int(k) if k not in (None, "") else None)
    shared = [column for column in about["rows"] if column in about["within"]]
    return PublishedCell(
        tuple(row[column] for column in about["rows"]),
        tuple(row[column] for column in shared),
        float(row[about["value"]]),
        row.get("note", ""),
        {group: meaning[group] for group in GROUPS if group in meaning},
        fixed("victim", meaning.get("victim"))
        | fixed("setting", meaning.get("setting"))
        | {key: value for key, value in meaning.items() if "." in key},
        *what,
        scale=float(meaning.get("scale", 1)),
        drop=bool(meaning.get("drop", False)),
        stand_in=str(meaning.get("stand_in", "")),
        tolerance=meaning.get("tolerance", about["tolerance"]),
        relative=meaning.get("relative", about["relative"]),
        stars=int(row.get("stars") or 0),
    )
