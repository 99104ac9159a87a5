"""What stands in one place of a LaTeX table: escaped source, and how wide it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from recpoison.report.formats import decimals_of, number
from recpoison.report.tables import Entry, Table
from recpoison.report.typeset import BOLD, PLUS_MINUS, STAR, Size, em_width, lines_of, longest_piece

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "<": "$<$",
    ">": "$>$",
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
}


@dataclass(frozen=True)
class Cell:
    """What stands in one place.

    Args:
        source: Its LaTeX.
        width: In em of the table's type.
        lines: How many it takes.
    """

    source: str
    width: float
    lines: int = 1


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_ESCAPES.get(sign, sign) for sign in text)


def breakable(text: str) -> str:
    """Escaped, and free to break inside a path or the name of a setting."""
    return re.sub(r"(/|\\_|=|\.(?=[a-z]))(?=[^\s$)])", r"\1\\allowbreak{}", escaped(text))


def text_cell(text: str) -> Cell:
    """Text in one line."""
    return Cell(escaped(text), em_width(text))


def wrapped_column(texts: Sequence[str], width: float, size: Size) -> list[Cell]:
    """Texts in lines of ``width`` points, or of what the longest word needs; as they are where all are shorter."""
    if max(map(em_width, texts), default=0.0) * size.em <= width:
        return [text_cell(text) for text in texts]
    limit = max(width / size.em, *map(longest_piece, texts))
    points = int(limit * size.em) + 1
    cells = []
    for text in texts:
        lines = lines_of(text, limit)
        source = r"\newline ".join(map(escaped, lines))
        cells.append(
            Cell(rf"\parbox[t]{{{points}pt}}{{\raggedright\strut {source}\strut}}", points / size.em, len(lines))
        )
    return cells


def head_cell(name: str, width: float | None = None, side: str = "r") -> Cell:
    """The head of a column, in lines of ``width`` em where one is given; its lines stand to the ``side``."""
    lines = [name] if width is None else lines_of(name, width)
    if len(lines) == 1:
        return text_cell(name)
    source = r"\\".join(map(escaped, lines))
    return Cell(rf"\shortstack[{side}]{{{source}}}", max(map(em_width, lines)), len(lines))


def entry_column(table: Table, column: int) -> list[Cell]:
    """One column's entries; stars are padded, so that digits stand under digits."""
    entries = [row[column] for row in table.entries]
    shown = [
        number(entry, decimals_of(table, row, column)) if entry else ("–", "", "") for row, entry in enumerate(entries)
    ]
    starred = max((len(mark) for _, _, mark in shown), default=0)
    return [_entry(entry, *texts, starred) for entry, texts in zip(entries, shown, strict=True)]


def _entry(entry: Entry | None, mean: str, sd: str, mark: str, starred: int) -> Cell:
    missing = "*" * (starred - len(mark))
    after = (f"^{{{mark}}}" if mark else "") + (rf"\phantom{{^{{{missing}}}}}" if missing else "")
    if entry is None or mean in ("–", "n/a"):
        text, width = (mean, em_width(mean)) if mean == "n/a" else ("--", 0.5)
        return Cell(f"{text}${after}$" if after else text, width + STAR * starred)
    width = em_width(mean) * (BOLD if entry.best else 1.0) + STAR * starred
    source = rf"\mathbf{{{mean}}}" if entry.best else mean
    if sd:
        source, width = rf"{source} \pm {sd}", width + PLUS_MINUS + em_width(sd)
    return Cell(f"${source}{after}$".replace("−", "-"), width)
