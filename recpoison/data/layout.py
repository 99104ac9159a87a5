"""Where the columns of a table lie."""

from __future__ import annotations

from dataclasses import dataclass

Column = int | str


@dataclass(frozen=True)
class Layout:
    r"""How the lines of a delimited file are to be read.

    Args:
        separator: One character, or one repeated (``"::"``); ``"\s+"`` is any white
            space; None guesses from the first line.
        header: Whether the first line names the columns.
        user: Column of users, by number from 0 or by its name in the header.
        item: Column of items.
        rating: Column of ratings or counts; None where a row only says that something happened.
        time: Column of timestamps, in seconds or as ISO dates; None where there is none.
        scale: Lowest rating, highest rating and step; None means implicit feedback, and the column (if any) counts.
        encoding: What the text was written in, where no byte order mark says so.
        missing: Ratings that mean "not rated": their rows are dropped, and counted.
        drop_invalid: Whether to drop rows that cannot be used, and count them, instead of refusing the file; None where
            nobody can choose, so that messages do not propose it.
    """

    separator: str | None = None
    header: bool = False
    user: Column = 0
    item: Column = 1
    rating: Column | None = 2
    time: Column | None = None
    scale: tuple[float, float, float] | None = None
    encoding: str = "utf-8"
    missing: tuple[float, ...] = ()
    drop_invalid: bool | None = None

    @property
    def columns(self) -> dict[str, Column]:
        """The columns to read, by what they mean."""
        roles = {"user": self.user, "item": self.item, "rating": self.rating, "time": self.time}
        return {role: column for role, column in roles.items() if column is not None}
