"""Which line of a broken table is at fault, found by reading it again slowly."""

from __future__ import annotations

import math
from datetime import datetime

from recpoison.data.columns import UnusableRows
from recpoison.data.ids import LONGEST
from recpoison.data.layout import Layout
from recpoison.data.lines import Text
from recpoison.errors import DataError, shown


def bad_line(text: Text, positions: dict[str, int], layout: Layout, cause: ValueError) -> DataError:
    """The error to raise for the first line that cannot be read; ``cause`` is said where no line is found at fault."""
    rows = 0
    for number, fields in text.split():
        rows += 1
        if layout.header and rows == 1:
            continue
        if problem := _problem(fields, positions, layout):
            return DataError(f"{text.path}, line {number}: {problem}{_remedy(layout, cause)}")
    if rows <= int(layout.header):
        return DataError(f"{text.path} holds no row below its header: fetch it again, or give a file with rows")
    return DataError(
        f"{text.path} cannot be read ({str(cause).splitlines()[0]}): check dataset.separator and the columns"
    )


def _remedy(layout: Layout, cause: ValueError) -> str:
    if not isinstance(cause, UnusableRows):
        return ": mend or delete the line"
    remedy = f" ({cause.in_words}): mend or delete such lines"
    if layout.drop_invalid is None or cause.everywhere:
        return remedy
    if cause.marks:
        marks = ", ".join(f"{mark:g}" for mark in cause.marks)
        means = "means" if len(cause.marks) == 1 else "mean"
        remedy += f", set dataset.missing=[{marks}] if {marks} {means} 'not rated'"
    return remedy + ", or set dataset.drop_invalid=true to leave them out"


def _problem(fields: list[str], positions: dict[str, int], layout: Layout) -> str | None:
    found = {role: fields[place].strip() if place < len(fields) else "" for role, place in positions.items()}
    if is_number(found.get("rating", "")) and float(found["rating"]) in layout.missing:
        return None
    for role, text in found.items():
        if not text:
            return f"the {role} is missing"
        if role in ("user", "item") and len(text) > LONGEST:
            return f"the {role} has {len(text):,} characters, but an id has at most {LONGEST:,}"
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
