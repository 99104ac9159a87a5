"""REPRODUCTION.md: its tables come from ``published/ours``, its prose from people.

A line ``<!-- ours: TABLE -->`` opens a block and ``<!-- end: TABLE -->`` closes it; what stands between is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from recpoison.errors import DataError
from recpoison.published.comparison import NOT_RUN, Compared, with_kept
from recpoison.published.kept import Kept, Key, read_kept
from recpoison.published.tables import load
from recpoison.report.formats import to_markdown
from recpoison.report.published import cells_table, whole_tables

_BLOCK = re.compile(r"^<!-- ours: (\S+) -->\n(.*?)^<!-- end: (\S+) -->\n", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"^<!-- (?:ours|end): \S+ -->$", re.MULTILINE)


def blocks(text: str) -> dict[str, str]:
    """What stands between the marks of each table.

    Raises:
        DataError: If a mark has no partner, or a table has two blocks.
    """
    found = {opened: content for opened, content, closed in _BLOCK.findall(text) if opened == closed}
    if 2 * len(found) != len(_MARK.findall(text)):
        raise DataError("the marks <!-- ours: TABLE --> and <!-- end: TABLE --> do not pair up, one block a table")
    return found


def filled(text: str) -> str:
    """``text`` with every block written again."""
    known = {name: block(name) for name in blocks(text)}
    return _BLOCK.sub(lambda found: f"<!-- ours: {found[1]} -->\n{known[found[1]]}<!-- end: {found[1]} -->\n", text)


def block(name: str, kept: Mapping[Key, Kept] | None = None) -> str:
    """The kept cells of a table beside the paper's, and what is said of them together, as Markdown.

    Raises:
        DataError: If nothing is kept of the table.
    """
    table = load(name)
    kept = read_kept(table) if kept is None else kept
    if not kept:
        raise DataError(f"nothing is kept of {name}: run recpoison-report {name} --keep, or remove its marks")
    compared = with_kept(table, [Compared(cell, NOT_RUN) for cell in table.distinct], kept)
    shown = [one for one in compared if one.n]
    tables = cells_table(table, shown, compared), *whole_tables(table, compared)
    return "\n" + "\n".join(to_markdown(one) for one in tables) + "\n"
