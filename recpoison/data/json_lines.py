"""JSON lines, one object a line, as the lines of a comma separated table."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from recpoison.data.layout import Layout
from recpoison.errors import DataError, shown, some_of

BATCH = 10_000  # lines turned at a time


def as_csv(path: Path, lines: Iterable[bytes], layout: Layout) -> tuple[Iterator[bytes], Layout]:
    """The columns that ``layout`` wants; a key that an object lacks, or null, is an empty field.

    Line numbers stay: each object becomes one line in its place, and there is no header.

    Args:
        path: What messages name.
        lines: The file's lines in UTF-8.
        layout: Columns by key, or by number among the first object's keys.

    Returns:
        The table's text piece by piece, and the layout of it.

    Raises:
        DataError: If a line is no JSON object, no object has a wanted key, or its value is a list or an object.
    """
    rows = _objects(path, lines)
    blanks: list[None] = []
    first = None
    for row in rows:
        if row is not None:
            first = row
            break
        blanks.append(None)
    keys = _keys(path, first or {}, layout)
    places = {role: place for place, role in enumerate(keys)}
    found = replace(
        layout,
        separator=",",
        header=False,
        **{role: places.get(role) for role in ("user", "item", "rating", "time")},  # type: ignore[arg-type]
    )
    return _text(path, chain(blanks, [first], rows), keys, layout), found


def _objects(path: Path, lines: Iterable[bytes]) -> Iterator[dict[str, Any] | None]:
    """The object of each line; None for a blank line."""
    for number, line in enumerate(lines, 1):
        if not line or line.isspace():
            yield None
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise DataError(
                f"{path}, line {number}: {shown(line.decode())} is no whole JSON object: give one object a line "
                f"(`jq -c . {path.name}` writes them so), or mend the line"
            )
        yield row


def _keys(path: Path, first: dict[str, Any], layout: Layout) -> dict[str, str]:
    """The key of each role."""
    names = list(first)
    keys = {}
    for role, column in layout.columns.items():
        if isinstance(column, int) and column >= len(names):
            raise DataError(f"{path} has {len(names)} keys in its first object: set dataset.{role} to a key's name")
        keys[role] = names[column] if isinstance(column, int) else column
    return keys


def _text(path: Path, rows: Iterable[dict[str, Any] | None], keys: dict[str, str], layout: Layout) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    names: dict[str, None] = {}  # in the order of their first appearance
    for number, row in enumerate(rows, 1):
        if row is None:
            text.write("\n")
            continue
        names.update(dict.fromkeys(row))
        writer.writerow([_cell(path, number, key, row.get(key)) for key in keys.values()])
        if number % BATCH == 0:
            yield _taken(text)
    for role, key in keys.items():
        if key not in names:
            raise DataError(f"{path} has no column {shown(key)}: set dataset.{role} to one of {some_of(names)}")
    yield _taken(text)


def _taken(text: io.StringIO) -> bytes:
    content = text.getvalue().encode("utf-8", "backslashreplace")
    text.seek(0)
    text.truncate()
    return content


def _cell(path: Path, number: int, key: str, value: Any) -> str:
    if isinstance(value, dict | list):
        raise DataError(
            f"{path}, line {number}: {shown(key)} is a {'list' if isinstance(value, list) else 'nested object'}, "
            "but one value is needed: name another key"
        )
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    text = str(value)
    if "\0" in text:
        raise DataError(f"{path}, line {number}: {shown(key)} holds a zero byte, which no id has: mend the line")
    return text


def other_json(path: Path, form: str) -> str:
    """What to say of JSON, or its look-alike, that is not in lines; ``form`` as ``recognising.json_form`` has it."""
    if form == "array":
        return f"{path} is a JSON array: make JSON lines of it with `jq -c '.[]' {path.name}`, or save it as csv"
    return (
        f"{path} holds Python dictionaries in single quotes, no JSON: write each line again as JSON, such as "
        "`json.dumps(ast.literal_eval(line))`"
    )
