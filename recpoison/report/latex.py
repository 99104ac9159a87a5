"""A table in LaTeX that fits a column or the page, with the package ``booktabs`` alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from recpoison.report.latex_cells import breakable, entry_column, escaped
from recpoison.report.latex_layout import COLUMN, GAP, Sheet, layouts
from recpoison.report.tables import Table


def to_latex(table: Table) -> str:
    """The table in the first layout that fits: in a column, across the page, with parts below each other, wrapped.

    Text is escaped; what was found stands in comments above, the notes as one below. A table that is longer than a
    page goes on in further ones.
    """
    sheet = _chosen(table)
    parts, note = sheet.parts(), _note(sheet)
    is_below = sheet.note_fits()
    lines = [*(f"% {sentence}" for sentence in table.told), r"% needs \usepackage{booktabs}"]
    for place, rows in enumerate(parts, 1):
        lines += _float(sheet, rows, place, len(parts), note if is_below and place == len(parts) else "")
    if note and not is_below:
        lines.append(rf"\par{{\footnotesize\raggedright\noindent {note}\par}}")
    return "\n".join(lines) + "\n"


def _chosen(table: Table) -> Sheet:
    """The first that fits a column; else of those that fit the page, the first of those with the fewest parts."""
    entries = [entry_column(table, column) for column in range(len(table.columns))]
    sheets = [Sheet(table, layout, entries) for layout in layouts(table)]
    fitting = [sheet for sheet in sheets if sheet.fits()]
    if not fitting:
        return min(sheets, key=Sheet.width)
    return fitting[0] if fitting[0].layout.room == COLUMN else min(fitting, key=lambda sheet: len(sheet.parts()))


def _float(sheet: Sheet, rows: Sequence[int], place: int, of: int, note: str) -> Iterator[str]:
    """One ``table``, or ``table*`` across the page, of these rows: part ``place`` of ``of``."""
    kind = "table*" if sheet.layout.room > COLUMN else "table"
    title = sheet.table.title + (f" (part {place} of {of})" if of > 1 else "")
    label = re.sub(r"[^a-z0-9]+", "-", sheet.table.title.lower()).strip("-") + (f"-{place}" if of > 1 else "")
    n_keys, n_columns = len(sheet.keys), sheet.n_columns()
    yield rf"\begin{{{kind}}}"
    yield rf"\centering\{sheet.layout.size.command}"
    yield rf"\setlength{{\tabcolsep}}{{{GAP:g}pt}}"
    yield rf"\caption{{{breakable(title)}}}"
    yield rf"\label{{tab:{label}}}"
    yield rf"\begin{{tabular}}{{@{{}}{'l' * n_keys}{'r' * (n_columns - n_keys)}@{{}}}}"
    yield r"\toprule"
    for at in range(len(sheet.layout.blocks)):
        yield from _block(sheet, at, rows)
    yield r"\bottomrule"
    yield r"\end{tabular}"
    if note:
        yield ""
        yield r"\smallskip"
        yield rf"\parbox{{\linewidth}}{{\footnotesize\raggedright {note}}}"
    yield rf"\end{{{kind}}}"


def _block(sheet: Sheet, at: int, rows: Sequence[int]) -> Iterator[str]:
    """The heads and rows of block ``at``, with a rule or the lifted keys where a group of rows begins."""
    block, n_columns = sheet.layout.blocks[at], sheet.n_columns()
    yield from _heads(sheet, at)
    for row in rows:
        is_first = row == rows[0]
        if sheet.starts_group(row) and not is_first:
            yield rf"\cmidrule{{1-{n_columns}}}"
        if sheet.layout.lifted and (sheet.starts_group(row) or is_first):
            yield _across(sheet, "emph", sheet.lifted(row))
        entries = [sheet.entries[column][row].source for column in block]
        yield _row(sheet, [cells[row].source for cells in sheet.keys], entries, sheet.table.seeds(row))


def _heads(sheet: Sheet, at: int) -> Iterator[str]:
    """What stands over a block: names of groups and columns; the group's alone where blocks share their columns."""
    blocks, columns = sheet.layout.blocks, sheet.table.columns
    groups = [(name, len(list(same))) for name, same in groupby(columns[c][0] for c in blocks[at])]
    shared = len(blocks) > 1 and len({tuple(columns[c][1] for c in block) for block in blocks}) == 1
    if at:
        yield r"\midrule"
    if not shared and any(name for name, _ in groups):
        yield from _group_heads(groups, len(sheet.keys))
    if not shared or at == 0:
        keys = [cell.source for cell in sheet.key_heads]
        yield _row(sheet, keys, [sheet.heads[c].source for c in blocks[at]], "n")
        yield r"\midrule"
    if shared:
        yield _across(sheet, "textbf", groups[0][0])


def _group_heads(groups: Sequence[tuple[str, int]], n_keys: int) -> Iterator[str]:
    spans = [rf"\multicolumn{{{count}}}{{c}}{{{escaped(name)}}}" for name, count in groups]
    yield f"{'& ' * n_keys}{' & '.join(spans)} \\\\"
    start = n_keys + 1
    for name, count in groups:
        if name:
            yield rf"\cmidrule(lr){{{start}-{start + count - 1}}}"
        start += count


def _across(sheet: Sheet, style: str, text: str) -> str:
    return rf"\multicolumn{{{sheet.n_columns()}}}{{@{{}}l@{{}}}}{{\{style}{{{escaped(text)}}}}} \\"


def _row(sheet: Sheet, keys: Sequence[str], entries: Sequence[str], n: str) -> str:
    """Cells of one line; a block with fewer columns than others leaves the last ones free."""
    cells = [*keys, *entries, *[""] * (max(map(len, sheet.layout.blocks)) - len(entries))]
    return f"{' & '.join([*cells, escaped(n)] if sheet.n is None else cells)} \\\\"


def _note(sheet: Sheet) -> str:
    """The notes and, where no column says it, the number of seeds, as sentences of one paragraph."""
    notes = [note for note in sheet.table.notes if note]
    if sheet.n not in (None, "0"):
        notes.append(f"n = {sheet.n} in all rows")
    return " ".join(breakable(_sentence(note)) for note in notes)


def _sentence(note: str) -> str:
    first = note.partition(" ")[0].rstrip(":,")
    note = note[0].upper() + note[1:] if len(first) > 1 and first.isalpha() else note
    return note if note.endswith((".", "?", "!")) else f"{note}."
