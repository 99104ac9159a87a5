"""Read a run's files and check them: whoever gets their content may rely on its types.

Every way in which a file can be wrong ends in a ``DataError``, a sentence that names the file. Text that could steer a
terminal is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml  # type: ignore[import-untyped]

from recpoison.errors import DataError, printable, shown
from recpoison.intact import altered

_AGAIN = "run that job again"
_WHOLE = {"seed": r"-?\d{1,18}", "n": r"\d{1,18}", "k": r"[1-9]\d{0,8}|"}  # k is empty for metrics without a cutoff
_NUMBERS = ("value", "seconds", "peak_mb", "at", "row_l2", "linf")
_ALWAYS = ("at",)
_NAMELESS = ("cell",)  # empty for a stage that all cells share, such as the split
_LARGEST = 1e100  # whose square is still a number
_CELL = re.compile(r"seed=[^/=]+/attack=[^/=]+/defense=[^/=]+")
_LEAST = {"users": 1, "items": 1, "train_rows": 1, "fake_users": 0, "rows": 0}


class BrokenArrays(DataError):
    """Arrays of a run cannot be read or do not fit: known only when a figure asks for them.

    Args:
        file: The file.
        said: What is wrong with it.
    """

    def __init__(self, file: Path, said: str) -> None:
        super().__init__(f"{file} {said}: {_AGAIN}")
        self.folder = file.parent


def read_table(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The ``columns`` of a table that a run left: whole numbers, numbers and words by the column's name.

    Numbers may be missing, words may not, but for the cell of what all cells share. Where there is no
    file there are no rows.

    Raises:
        DataError: If it is not as a run writes it; the message names the line.
    """
    if not file.is_file():
        return pd.DataFrame(columns=list(columns))
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, na_filter=False)
    except (ValueError, OSError, OverflowError) as error:
        raise _unreadable(file, "table", error) from error
    absent = [column for column in columns if column not in table.columns]
    if absent:
        raise DataError(f"{file} has no column {absent[0]}: its columns should be {','.join(columns)}")
    if not isinstance(table.index, pd.RangeIndex):  # pandas takes surplus first fields for the rows' names
        raise DataError(f"{file}, line 2 has more fields than the header names columns: {_AGAIN}")
    return pd.DataFrame({column: _column(file, column, table[column]) for column in columns})


def _column(file: Path, name: str, texts: pd.Series) -> pd.Series:
    if name in _WHOLE:
        plain = texts.str.removesuffix(".0")
        _refuse_first(file, texts, plain.str.fullmatch(_WHOLE[name]), "a whole number")
        return pd.to_numeric(plain).astype("Int64") if name == "k" else plain.astype("int64")
    if name in _NUMBERS:
        numbers = pd.to_numeric(texts, errors="coerce").astype("float64")
        missing = texts.isin(["", "nan"]) & (name not in _ALWAYS)
        _refuse_first(file, texts, (numbers.abs() <= _LARGEST) | missing, "a number")
        return numbers
    if name not in _NAMELESS:
        _refuse_first(file, texts, texts != "", "a name")
    return texts.map({text: printable(text) for text in texts.unique()})


def _refuse_first(file: Path, texts: pd.Series, right: pd.Series, what: str) -> None:
    """Name the line of the first text that is not right."""
    wrong = ~right.to_numpy(dtype=bool)
    if wrong.any():
        line = int(wrong.argmax())
        found = shown(texts.iloc[line])
        raise DataError(f"{file}, line {line + 2}: {texts.name} is {found} where {what} belongs; {_AGAIN}")


def read_json(file: Path) -> dict[str, Any]:
    """The mapping in a JSON file, empty where there is no file.

    Raises:
        DataError: If it holds no mapping.
    """
    if not file.is_file():
        return {}
    try:
        content = _printable(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, OSError, RecursionError) as error:
        raise _unreadable(file, "JSON", error) from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no JSON object: {_AGAIN}")
    return content


def read_about(file: Path) -> dict[str, Any]:
    """A run's ``run.json``, in which whatever a report counts on has the right type; any of it may be missing.

    Raises:
        DataError: If something has another type; the message says where.
    """
    about = read_json(file)
    for key, kind, what in (
        ("protocol", dict, "an object"),
        ("notes", list, "a list"),
        ("data", dict, "an object"),
        ("changes", dict, "an object"),
    ):
        if not isinstance(about.get(key, kind()), kind):
            raise _wrong(file, key, about[key], what)
    for number, note in enumerate(about.get("notes", [])):
        if not isinstance(note, str):
            raise _wrong(file, f"notes[{number}]", note, "a sentence")
    for key in ("data", "changes"):
        for name, facts in about.get(key, {}).items():
            _check_facts(file, f"{key}.{name}", facts)
    for cell, facts in about.get("changes", {}).items():
        if not _CELL.fullmatch(cell):
            raise _wrong(file, "changes", cell, "seed=SEED/attack=NAME/defense=NAME")
        if "fake_users" in facts and "rows" not in facts:
            raise DataError(f"{file}: changes.{cell} has fake_users without rows; {_AGAIN}")
    return about


def _check_facts(file: Path, where: str, facts: Any) -> None:
    """Sizes are finite numbers, not below the least that a run can have."""
    if not isinstance(facts, dict):
        raise _wrong(file, where, facts, "an object")
    for name, least in _LEAST.items():
        size = facts.get(name, least)
        if isinstance(size, bool) or not isinstance(size, int | float) or not least <= size <= 2**53:
            raise _wrong(file, f"{where}.{name}", size, f"a number from {least} on")


def _wrong(file: Path, where: str, found: Any, what: str) -> DataError:
    return DataError(f"{file}: {where} is {shown(json.dumps(found))} where {what} belongs; {_AGAIN}")


def read_settings(file: Path) -> dict[str, Any]:
    """A resolved configuration by dotted key, empty where there is no file.

    Raises:
        DataError: If it is no YAML, or no mapping.
    """
    content = _yaml(file)
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no mapping of settings: {_AGAIN}")
    return dict(dotted(content))


def read_overrides(folder: Path) -> tuple[str, ...]:
    """What the user typed for the run in ``folder``; nothing where it is not known.

    Raises:
        DataError: If the file that says it is broken.
    """
    content = _yaml(folder / "overrides.yaml") or read_json(folder / "status.json").get("overrides")
    return tuple(str(override) for override in content) if isinstance(content, list) else ()


def not_as_left(folder: Path, files: Any) -> tuple[str, ...]:
    """The files in ``folder`` that do not have the sha256 that the run's status keeps under ``files``.

    Arrays are left out: they are large, and npz keeps a checksum of each, which is compared when it is read.
    """
    kept = files if isinstance(files, dict) else {}
    return tuple(sorted(altered(folder, {name: sha256 for name, sha256 in kept.items() if not name.endswith(".npz")})))


def read_arrays(file: Path, prefix: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of an npz file under ``prefix``.

    Raises:
        BrokenArrays: If one of ``names`` is not there or cannot be read.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[f"{prefix}/{name}"] for name in names}
    except Exception as error:  # numpy and zipfile raise what they like on damaged bytes
        raise BrokenArrays(file, f"holds no readable arrays of {prefix} ({_reason(error)})") from error


def _yaml(file: Path) -> Any:
    """Plain values; read by OmegaConf, whose YAML takes 1e-4 for a number."""
    if not file.is_file():
        return {}
    from omegaconf import OmegaConf

    try:
        text = file.read_text(encoding="utf-8")
        if "*" in text and any(
            isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)
        ):  # they may grow for ever
            raise ValueError("it holds aliases, which no run writes")
        return _printable(OmegaConf.to_container(OmegaConf.load(StringIO(text)), resolve=False))
    except Exception as error:  # a YAML error has no common class with OmegaConf's own
        raise _unreadable(file, "YAML", error) from error


def _unreadable(file: Path, what: str, error: Exception) -> DataError:
    return DataError(f"{file} is no readable {what} ({_reason(error)}): {_AGAIN}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _printable(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {printable(key) if isinstance(key, str) else key: _printable(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_printable(value) for value in node]
    return printable(node) if isinstance(node, str) else node


def dotted(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested mappings by its dotted key."""
    if not isinstance(node, dict):
        yield prefix, json.dumps(node, default=str) if isinstance(node, list) else node
        return
    for key, value in node.items():
        yield from dotted(value, f"{prefix}.{key}" if prefix else str(key))
