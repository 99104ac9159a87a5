"""Which line of a broken table is at fault, found by reading it again slowly."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from recpoison.data.layout import Layout
from recpoison.errors import DataError, shown


def split_lines(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers from 1 and fields; blank lines are skipped."""
    if separator == r"\s+":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, line.split()
        return
    csv.field_size_limit(sys.maxsize)  # texts are longer than its default; lines have a bound where they are opened
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator[0])
    for fields in reader:
        if fields:
            yield reader.line_num, fields[:: len(separator)]


def overlong_line(path: Path, content: bytes, separator: str) -> DataError | None:
    """The error to raise if a line has more fields than line 1: its columns are not what they seem."""
    first = None
    for number, count in _field_counts(content, separator):
        first = count if first is None else first
        if count > first:
            return DataError(
                f"{path}, line {number}: there are {count} fields, but line 1 has {first}: mend or delete the line, or "
                "set dataset.separator"
            )
    return None


def _field_counts(content: bytes, separator: str) -> Iterator[tuple[int, int]]:
    """Line numbers from 1 and fields of each."""
    if separator == "," and b'"' in content:
        text = content.decode("utf-8", "replace")
        return ((number, len(fields)) for number, fields in split_lines(text, separator))
    lines = enumerate(io.BytesIO(content), 1)
    if separator == r"\s+":
        return ((number, len(line.split())) for number, line in lines)
    mark = separator[0].encode()
    return ((number, line.count(mark) // len(separator) + 1) for number, line in lines)


def bad_line(
    path: Path, content: bytes, separator: str, positions: dict[str, int], layout: Layout, cause: str
) -> DataError:
    """The error to raise for the first line that cannot be read; ``cause`` is said where no line is found at fault."""
    text = content.decode("utf-8", "replace")
    rows = 0
    for number, fields in split_lines(text, separator):
        if layout.header and number == 1:
            continue
        rows += 1
        if problem := _problem(fields, positions, layout):
            hint = "; if it is a header, set dataset.header=true" if number == 1 and not layout.header else ""
            return DataError(f"{path}, line {number}: {problem}: mend or delete the line{hint}")
    if not rows:
        return DataError(f"{path} holds no row below its header: fetch it again, or give a file with rows")
    return DataError(f"{path} cannot be read ({cause.splitlines()[0]}): check dataset.separator and the columns")


def _problem(fields: list[str], positions: dict[str, int], layout: Layout) -> str | None:
    for role, position in positions.items():
        if position >= len(fields) or not fields[position].strip():
            return f"the {role} is missing"
        text = fields[position].strip()
        if role == "time" and not (is_number(text) or is_date(text)):
            return f"the time is {shown(text)}, but seconds or an ISO date are needed"
        if role != "rating":
            continue
        if not is_number(text):
            return f"the rating is {shown(text)}, but a number is needed"
        if layout.scale is not None and not layout.scale[0] <= float(text) <= layout.scale[1]:
            return f"the rating is {text}, but the scale runs from {layout.scale[0]:g} to {layout.scale[1]:g}"
    return None


def is_number(text: str) -> bool:
    """Whether ``text`` is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def is_date(text: str) -> bool:
    """Whether ``text`` is an ISO date."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
