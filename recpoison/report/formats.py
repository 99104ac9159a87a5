"""A table as text: console, csv and markdown; ``latex.py`` has LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from recpoison.evaluation.significance import stars
from recpoison.report.tables import Entry, Table
from recpoison.ruled import ruled


def number(entry: Entry, decimals: int) -> tuple[str, str, str]:
    """Mean, spread, and stars with the remark of an entry as text; the spread is empty with a single seed."""
    if not math.isfinite(entry.mean):
        return "n/a" if entry.undefined else "–", "", entry.remark
    scale, decimals = (100, 2) if entry.percent else (1, decimals)
    rounded = round(scale * entry.mean, 12)  # as the sentences have it, whatever the order of the sum
    mean = f"{rounded:+.{decimals}f}" if entry.signed else f"{rounded:.{decimals}f}"
    sd = f"{scale * entry.sd:.{decimals}f}" if math.isfinite(entry.sd) else ""
    return mean, sd, (stars(entry.p) if math.isfinite(entry.p) else "") + entry.remark


def decimals_of(table: Table, row: int, column: int) -> int:
    """Four decimals for shares, fewer for ranks: by the largest mean of the column's group, or of the row's."""
    group = table.columns[column][0]
    same = [c for c, (name, _) in enumerate(table.columns) if name == group]
    rows = [table.entries[row]] if table.mixed else table.entries
    means = [abs(entries[c].mean) for entries in rows for c in same if entries[c] and math.isfinite(entries[c].mean)]  # type: ignore[union-attr]
    largest = max(means, default=0.0)
    return 4 if largest < 10 else 2 if largest < 100 else 1


def to_console(table: Table, console: Console) -> None:
    """Print the table in the first layout that fits: whole, with spreads under their means, or in parts in either way.

    A table that fits in none is printed beyond the edge: numbers are never cut.
    """
    groups = list(dict.fromkeys(group for group, _ in table.columns))
    layouts = [
        [_view(table, shown, between) for shown in parts]
        for parts in ([groups], [[g] for g in groups])
        for between in (" ", "\n")
    ]
    free = console.options.update(width=10_000)
    widths = [[Measurement.get(console, free, view).maximum for view in layout] for layout in layouts]
    chosen = next((n for n, width in enumerate(widths) if max(width) <= console.width), len(layouts) - 1)
    for sentence in table.told:
        console.print(Text(sentence))
        console.print()
    console.print(Text(table.title, style="bold"))
    for view, width in zip(layouts[chosen], widths[chosen], strict=True):
        view.width = width
        console.print(view, crop=False)
        console.print()
    for note in table.notes:
        console.print(Text(note, style="dim"))


def _view(table: Table, groups: list[str], between: str) -> RichTable:
    view = ruled()
    view.collapse_padding = True
    for key in table.keys:
        view.add_column("\n" * ("." not in key) + key.replace(".", ".\n", 1), no_wrap=True)
    columns: list[list[Text]] = []
    shown = [c for c, (group, _) in enumerate(table.columns) if group in groups]
    for before, c in zip([None, *shown], shown, strict=False):
        group, name = table.columns[c]
        is_first = before is None or table.columns[before][0] != group
        head, *cells = _right([Text(f"{group if is_first else ''}\n{name}"), *_rich_column(table, c, between)])
        view.add_column(head, no_wrap=True)
        columns.append(cells)
    view.add_column("\nn", justify="right", style="dim", no_wrap=True)
    first = [names[0] for names in table.rows]
    in_sections = len(set(first)) < len(first)
    for row, names in enumerate(table.rows):
        ends = in_sections and row + 1 < len(first) and first[row + 1] != first[row]
        cells = [column[row] for column in columns]
        view.add_row(*(Text(name) for name in names), *cells, table.seeds(row), end_section=ends)
    return view


def _right(texts: list[Text]) -> list[Text]:
    """Every line padded to one width; rich's own alignment drops the spaces that stand for absent stars."""
    lines = [text.split("\n", allow_blank=True) for text in texts]
    width = max(line.cell_len for text in lines for line in text)
    for line in (line for text in lines for line in text):
        line.pad_left(width - line.cell_len)
    return [Text("\n").join(text) for text in lines]


def _rich_column(table: Table, column: int, between: str) -> list[Text]:
    """One column's entries; stars are padded, so that digits stand under digits."""
    entries = [(row[column], decimals_of(table, place, column)) for place, row in enumerate(table.entries)]
    starred = max((len(number(entry, decimals)[2]) for entry, decimals in entries if entry), default=0)
    return [_rich_entry(entry, decimals, between, starred) for entry, decimals in entries]


def _rich_entry(entry: Entry | None, decimals: int, between: str, starred: int) -> Text:
    if entry is None:
        return Text("–" + " " * starred, style="dim")
    mean, sd, mark = number(entry, decimals)
    mark = mark.ljust(starred)
    text = Text(mean, style="bold" if entry.best else "")
    if sd and between == "\n":
        return text.append(mark).append(f"\n± {sd}{' ' * starred}", style="not bold dim")
    return (text.append(f"{between}± {sd}", style="not bold dim") if sd else text).append(mark)


def to_csv(table: Table) -> str:
    """One line an entry: title, the row's keys, the column, then mean, sd, n, corrected p and interval in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["table", *table.keys, "group", "column", "mean", "sd", "n", "p", "low", "high", "best"])
    for names, entries in zip(table.rows, table.entries, strict=True):
        for (group, column), entry in zip(table.columns, entries, strict=True):
            if entry is not None:
                numbers = [repr(float(x)) if math.isfinite(x) else "" for x in (entry.mean, entry.sd)]
                numbers[0] = "n/a" if entry.undefined else numbers[0]
                tested = [repr(float(x)) if math.isfinite(x) else "" for x in (entry.p, entry.low, entry.high)]
                writer.writerow([table.title, *names, group, column, *numbers, entry.n, *tested, int(entry.best)])
    return out.getvalue()


def to_markdown(table: Table) -> str:
    """A GitHub table under its title; stars are escaped, the best is bold."""
    heads = [*table.keys, *(f"{group} {name}" for group, name in table.columns), "n"]
    lines = [line for sentence in table.told for line in (_markdown(sentence), "")]
    lines += [f"**{_markdown(table.title)}**", "", f"| {' | '.join(map(_markdown, heads))} |"]
    lines.append("|" + "---|" * len(table.keys) + "--:|" * (len(table.columns) + 1))
    for row, names in enumerate(table.rows):
        cells = [*map(_markdown, names), *_texts(table, row, _markdown_entry), table.seeds(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + "".join(f"- {_markdown(note)}\n" for note in table.notes)


def _markdown_entry(entry: Entry | None, decimals: int) -> str:
    if entry is None:
        return "–"
    mean, sd, mark = number(entry, decimals)
    text = f"{mean} ± {sd}" if sd else mean
    return (f"**{text}**" if entry.best else text) + mark.replace("*", r"\*")


def _markdown(text: str) -> str:
    for sign in "\\|*_<":
        text = text.replace(sign, f"\\{sign}")
    return text


def _texts(table: Table, row: int, render: Callable[[Entry | None, int], str]) -> list[str]:
    return [render(entry, decimals_of(table, row, column)) for column, entry in enumerate(table.entries[row])]
