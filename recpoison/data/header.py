"""Whether the first line of a table is a header, where the settings and the lines below it disagree."""

from __future__ import annotations

from itertools import islice

from recpoison.data.diagnosis import is_date, is_number
from recpoison.data.layout import Layout
from recpoison.data.lines import Text
from recpoison.data.rows import Rows
from recpoison.errors import DataError

_LOOK = 1 << 16  # bytes of lines that the first line is compared with
_USERS = {"user", "users", "userid", "uid", "customer", "customerid"}
_ITEMS = {"item", "items", "itemid", "iid", "product", "productid", "movie", "movieid", "asin", "isbn"}


def refuse_wrong_header(text: Text, layout: Layout, names: list[str]) -> None:
    """Compare the first line, whose fields are ``names``, with what ``layout`` says of it.

    Columns that the user names and that are there make it a header. Else a number or a date in it makes it data; words
    above a column of numbers, or the usual names of users and items, make it a header.

    Raises:
        DataError: If the layout says otherwise.
    """
    if layout.header:
        if not any(isinstance(column, str) for column in layout.columns.values()) and _is_data(names):
            raise _not_a_header(text, "")
    elif not _is_data(names) and (_is_usual(names, layout) or _is_above_numbers(text, names)):
        raise DataError(
            f"{text.path}, line 1: {text.first!r} looks like a header, not like data: set dataset.header=true"
        )


def refuse_recurring_header(
    text: Text, layout: Layout, positions: dict[str, int], names: list[str], rows: Rows
) -> None:
    """Refuse a header whose word for the users or the items is one of the ids below it.

    Raises:
        DataError: If it is, and no column was given by its name.
    """
    if not layout.header or any(isinstance(column, str) for column in layout.columns.values()):
        return
    for role, ids in (("user", rows.users), ("item", rows.items)):
        word = names[positions[role]]
        if ids.labels.dtype == object and word in ids.labels:
            raise _not_a_header(text, f" ({word!r} is a {role} in the lines below)")


def _not_a_header(text: Text, why: str) -> DataError:
    return DataError(
        f"{text.path}, line 1: {text.first!r} looks like data, not like a header{why}: set dataset.header=false, or "
        "give the columns by their names in it"
    )


def _is_data(names: list[str]) -> bool:
    counted = (
        names == [str(number) for number in range(len(names))] and len(names) > 2
    )  # what pandas writes above a table
    return not counted and any(_is_value(name) for name in names)


def _is_value(field: str) -> bool:
    return is_number(field) or is_date(field.strip())


def _is_usual(names: list[str], layout: Layout) -> bool:
    found = []
    for column, words in ((layout.user, _USERS), (layout.item, _ITEMS)):
        name = names[column] if isinstance(column, int) and column < len(names) else ""
        found.append("".join(letter for letter in name.casefold() if letter.isalnum()) in words)
    return all(found)


def _is_above_numbers(text: Text, names: list[str]) -> bool:
    below = [fields for _, fields in islice(text.split(_LOOK), 1, None)]
    return any(
        below and all(place < len(fields) and _is_value(fields[place]) for fields in below)
        for place in range(len(names))
    )
