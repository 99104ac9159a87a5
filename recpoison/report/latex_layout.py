"""How a LaTeX table is laid out to fit a column or a page: blocks of columns, keys lifted or wrapped, rows on pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from recpoison.report.latex_cells import Cell, head_cell, text_cell, wrapped_column
from recpoison.report.tables import Table
from recpoison.report.typeset import FOOTNOTE, SMALL, Size, em_width, lines_of, longest_piece

COLUMN, PAGE = 221.0, 345.0  # points: a column of article on A4, the narrowest in use, and its page in one column
GAP = 3.0  # points on each side of a column
_HEIGHT = 480.0  # points of a page of article that a table and its note may take, the caption taken off
_WRAPS = (None, 120.0, 90.0, 60.0, 40.0)  # points that a key's column is held to


@dataclass(frozen=True)
class Layout:
    """One way to set a table.

    Args:
        room: Points from left to right.
        size: Of the type.
        blocks: Places of the columns that stand beside each other; blocks stand below each other.
        lifted: Leading keys that stand in a line of their own above the rows that share them.
        wrap: Points that a key's column is held to, heads being broken too; None: each is one line.
    """

    room: float
    size: Size
    blocks: tuple[tuple[int, ...], ...]
    lifted: int = 0
    wrap: float | None = None


def layouts(table: Table) -> Iterator[Layout]:
    """The layouts to try, the best to read first: in a column, across the page, then in ever smaller blocks."""
    columns = range(len(table.columns))
    groups = [tuple(same) for _, same in groupby(columns, lambda c: table.columns[c][0])]
    liftable = [n for n in range(len(table.keys)) if n == 0 or 2 * _runs(table, n) <= len(table.rows)]
    for room, wraps in ((COLUMN, _WRAPS[:1]), (PAGE, _WRAPS)):
        for wrap in wraps:
            for blocks in dict.fromkeys(((tuple(columns),), tuple(groups))):
                for lifted in liftable:
                    for size in (SMALL, FOOTNOTE):
                        yield Layout(room, size, blocks, lifted, wrap)
    for most in range(len(columns) - 1, 0, -1):
        cut = tuple(group[at : at + most] for group in groups for at in range(0, len(group), most))
        for wrap in _WRAPS:
            for lifted in liftable:
                yield Layout(PAGE, FOOTNOTE, cut, lifted, wrap)


def _runs(table: Table, lifted: int) -> int:
    return sum(1 for _ in groupby(names[:lifted] for names in table.rows))


class Sheet:
    """A table in one layout, its cells measured.

    Args:
        table: What is set.
        layout: How.
        entries: Cells of each column.

    Attributes:
        keys: Cells of each key that is not lifted.
        key_heads: Their heads.
        heads: Those of the columns.
        n: The number of seeds where all rows have the same, else None: then a column says it.
    """

    def __init__(self, table: Table, layout: Layout, entries: list[list[Cell]]) -> None:
        self.table, self.layout, self.entries = table, layout, entries
        first = [names[: max(1, layout.lifted)] for names in table.rows]
        repeats = len(set(first)) < len(first)
        self._starts = {row for row in range(1, len(first)) if repeats and first[row] != first[row - 1]}
        counts = {table.seeds(row) for row in range(len(table.rows))}
        self.n = counts.pop() if len(counts) == 1 else None
        self.keys = [self._key(place) for place in range(layout.lifted, len(table.keys))]
        self.key_heads = [
            self._head(name, cells, "l") for name, cells in zip(table.keys[layout.lifted :], self.keys, strict=True)
        ]
        self.heads = [
            self._head(name, cells, "r") for (_, name), cells in zip(table.columns, self.entries, strict=True)
        ]

    def fits(self) -> bool:
        """Whether it is no wider than its room, and where it stands in a column, on one page with its note."""
        in_column = self.layout.room == COLUMN
        return self.width() <= self.layout.room and (not in_column or (len(self.parts()) == 1 and self.note_fits()))

    def n_columns(self) -> int:
        """Columns from left to right."""
        return len(self.keys) + max(map(len, self.layout.blocks)) + (self.n is None)

    def width(self) -> float:
        """Points from left to right."""
        keys = [
            max(cell.width for cell in (head, *cells)) for head, cells in zip(self.key_heads, self.keys, strict=True)
        ]
        blocks = [self._block_widths(block) for block in self.layout.blocks]
        widest = max(map(len, blocks))
        entries = [max(widths[at] for widths in blocks if at < len(widths)) for at in range(widest)]
        n = [] if self.n else [max(em_width(self.table.seeds(row)) for row in range(len(self.table.rows)))]
        columns = [*keys, *entries, *n]
        lines = [em_width(line) for row in range(len(self.table.rows)) if (line := self.lifted(row))]
        em = self.layout.size.em
        return max(sum(columns) * em + 2 * GAP * (len(columns) - 1), max(lines, default=0.0) * em)

    def lifted(self, row: int) -> str:
        """The line above a row and those that share its lifted keys; empty where no key is lifted."""
        return ", ".join(name for name in self.table.rows[row][: self.layout.lifted])

    def starts_group(self, row: int) -> bool:
        """Whether a rule or a line stands above the row: where keys that repeat change."""
        return row in self._starts

    def parts(self) -> list[list[int]]:
        """Rows of each page; all blocks stand on it."""
        parts: list[list[int]] = [[]]
        for row in range(len(self.table.rows)):
            if parts[-1] and self._height([*parts[-1], row]) > _HEIGHT:
                parts.append([])
            parts[-1].append(row)
        return parts

    def note_fits(self) -> bool:
        """Whether the note has room on the page of the last rows."""
        lines = lines_of(" ".join(self.table.notes), self.layout.room / FOOTNOTE.em)
        return self._height(self.parts()[-1]) + FOOTNOTE.line * (len(lines) + 1) <= _HEIGHT

    def _height(self, rows: list[int]) -> float:
        """Points from the first rule to the last."""
        lines = [max((cells[row].lines for cells in self.keys), default=1) for row in rows]
        groups = 1 + sum(map(self.starts_group, rows[1:]))
        block = 2 + sum(lines) + groups * (1.4 if self.layout.lifted else 0.4)
        return self.layout.size.line * (3 + len(self.layout.blocks) * block)

    def _key(self, place: int) -> list[Cell]:
        texts = [names[place] for names in self.table.rows]
        if self.layout.wrap is None:
            return [text_cell(text) for text in texts]
        return wrapped_column(texts, self.layout.wrap, self.layout.size)

    def _head(self, name: str, cells: list[Cell], side: str) -> Cell:
        """As wide as the column's cells where the layout breaks heads, or as the longest word of the head."""
        if self.layout.wrap is None:
            return text_cell(name)
        return head_cell(name, max(longest_piece(name), *(cell.width for cell in cells)), side)

    def _block_widths(self, block: tuple[int, ...]) -> list[float]:
        """Of its columns, the last of a group as wide as the group's name needs."""
        widths = [max(self.heads[c].width, *(cell.width for cell in self.entries[c])) for c in block]
        names = [self.table.columns[c][0] for c in block]
        for name in dict.fromkeys(names):
            places = [at for at, other in enumerate(names) if other == name]
            between = 2 * GAP * (len(places) - 1) / self.layout.size.em
            widths[places[-1]] += max(0.0, em_width(name) - sum(widths[at] for at in places) - between)
        return widths
