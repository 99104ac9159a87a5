"""What a user can get wrong. Every message is one sentence that names the setting, file or line and the remedy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

_SHOWN = 60  # letters of a file's own text in a message
_NAMED = 12  # names in a list


class UserError(Exception):
    """A mistake the user can mend: the command prints the message alone and exits with code 2."""

    exit_code = 2

    def __init__(self, text: object = "") -> None:
        super().__init__(printable(str(text)))


class ConfigError(UserError):
    """A setting is misspelt, missing, of the wrong type or out of range."""


class BudgetExceeded(UserError):
    """An attack asked for more than its budget."""


class IncompatibleParts(UserError):
    """Dataset, model, attack, defense and evaluation do not fit together.

    Attributes:
        parts: Which of them, such as ``("defense", "model")``, where it is known.
    """

    parts: tuple[str, ...] = ()


class DataError(UserError):
    """A data file is missing, broken or not what its name promises."""


class OutputError(UserError):
    """Results cannot be written where they were asked for."""


def behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those on whose way out it was raised, the last one first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def printable(text: str) -> str:
    r"""``text`` with everything escaped that could steer a terminal; line ends stay.

    >>> printable("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def shown(text: str) -> str:
    """``text`` in quotes, as much of it as a sentence bears."""
    return repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}..."


def some_of(names: Collection[str]) -> str:
    """The names in a row, not more of them and no longer than a sentence bears."""
    some = [name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..." for name in islice(names, _NAMED)]
    more = len(names) - len(some)
    return ", ".join(some) + (f" and {more:,} more" if more else "")
