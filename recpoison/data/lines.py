"""Lines and fields of a delimited text, and the one rule for quotes: header, rows and diagnosis all follow it here."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recpoison.errors import DataError

BLANKS = r"\s+"
_BLOCK = 1 << 20  # bytes looked at together
_NEWLINE, _RETURN, _QUOTE, _PLUS, _MINUS, _ZERO, _NINE = b'\n\r"+-09'


class Shape(NamedTuple):
    """What a look at all lines says.

    Args:
        overlong: Number of the first line with more fields than line 1, and how many it has; None where there is none.
        even: Whether every line that is not blank has as many fields as line 1.
        plain: Whether no field starts as the plain decimal of a number cannot: ``007``, ``+7``, ``-0``, a blank.
    """

    overlong: tuple[int, int] | None
    even: bool
    plain: bool


@dataclass(frozen=True, eq=False)
class Text:
    r"""A delimited text.

    Quotes around a field enclose it, whatever the separator. They are letters where the text proves it: a quote opens a
    field and is not closed at the field's end, line 1 has no enclosed field, and each line as it stands has as many
    fields as line 1.

    Args:
        path: Its file, for messages.
        content: UTF-8, beginning with a line that is not blank.
        separator: One character, or one repeated; ``"\s+"`` is any white space.
        before: Blank lines of the file before ``content``.
    """

    path: Path
    content: bytes
    separator: str
    before: int = 0

    @cached_property
    def enclosed(self) -> bool:
        """Whether quotes enclose fields; without any quote, False.

        Raises:
            DataError: If a quote is never closed, and lines as they stand differ in their number of fields.
        """
        if _QUOTE not in self.content:
            return False
        if self._regular or self._matches(across=False, loose=False):
            return True
        if self._look(quoted=False).even and not any(_is_enclosed(field) for field in self._plainly(self.first)):
            return False
        if self._matches(across=True, loose=False) or self._matches(across=False, loose=True):
            return True
        raise DataError(
            f"{self.path}, line {self._unclosed()}: a quote opens a field and is not closed: mend or delete the line"
        )

    @cached_property
    def shape(self) -> Shape:
        """What a look at all lines says, under the rule for quotes."""
        return self._look_slowly() if self.enclosed and not self._regular else self._look(self.enclosed)

    @property
    def first(self) -> str:
        """Line 1."""
        return self._start(0).decode("utf-8", "replace").rstrip("\r")

    def split(self, most: int | None = None) -> Iterator[tuple[int, list[str]]]:
        """Line numbers from 1 and fields, blank lines skipped; of the first ``most`` bytes' lines where given."""
        part = self.content if most is None else self._start(most)
        text = part.decode("utf-8", "replace")
        if self.enclosed and self.separator != BLANKS:
            csv.field_size_limit(sys.maxsize)
            reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=self.separator[0])
            try:
                yield from ((self.before + reader.line_num, row[:: len(self.separator)]) for row in reader if row)
            except csv.Error as error:
                place = self.before + reader.line_num
                raise DataError(f"{self.path}, line {place}: it cannot be read ({error}): mend or delete it") from None
            return
        for number, line in enumerate(text.split("\n"), self.before + 1):
            if line.strip():
                yield number, self._enclosed_words(line) if self.enclosed else self._plainly(line.rstrip("\r"))

    def _start(self, most: int) -> bytes:
        """About ``most`` bytes, to the end of a line."""
        end = self.content.find(b"\n", most)
        return self.content if end < 0 else self.content[:end]

    def _plainly(self, line: str) -> list[str]:
        if self.separator == BLANKS:
            return line.split()
        return line.split(self.separator[0])[:: len(self.separator)]

    def _enclosed_words(self, line: str) -> list[str]:
        words = re.findall(r'"(?:[^"]|"")*"|\S+', line)
        return [word[1:-1].replace('""', '"') if _is_enclosed(word) else word for word in words]

    @cached_property
    def _regular(self) -> bool:
        """Whether every quote opens a field, closes one on the same line, or is one of two that stand for a letter."""
        text = np.frombuffer(self.content, np.uint8)
        quotes = np.flatnonzero(text == _QUOTE)
        if len(quotes) % 2:
            return False
        opening, closing = quotes[::2], quotes[1::2]
        before = np.where(opening > 0, text[opening - 1], _NEWLINE)
        after = np.where(closing + 1 < len(text), text[np.minimum(closing + 1, len(text) - 1)], _NEWLINE)
        if not (self._is_border(before).all() and self._is_border(after).all()):
            return False
        lines = np.flatnonzero(text == _NEWLINE)
        return bool((np.searchsorted(lines, opening) == np.searchsorted(lines, closing)).all())

    def _is_border(self, letters: np.ndarray) -> np.ndarray:
        return self._is_break(letters) | (letters == _QUOTE) | (letters == _RETURN)

    def _is_break(self, letters: np.ndarray) -> np.ndarray:
        if self.separator == BLANKS:
            return (letters == 32) | (letters == 9) | (letters == _NEWLINE) | (letters == _RETURN)
        return (letters == ord(self.separator[0])) | (letters == _NEWLINE)

    def _pattern(self, across: bool, loose: bool) -> re.Pattern[bytes]:
        """Well quoted fields: ``across`` lines or not; letters may follow the closing quote if ``loose``."""
        stop = rb" \t" if self.separator == BLANKS else re.escape(self.separator[0].encode())
        inside = rb'[^"]' if across else rb'[^"\n]'
        rest = rb"[^" + stop + rb"\r\n]*+"
        field = (
            rb'(?:"(?:' + inside + rb'|"")*+"' + (rest if loose else b"") + rb'|[^"' + stop + rb"\r\n]" + rest + b"|)"
        )
        return re.compile(rb"(?:" + field + rb"(?:[" + stop + rb"]|\r*\n|\r*\Z))*+")

    def _matches(self, across: bool, loose: bool) -> bool:
        return self._end(self._pattern(across, loose)) == len(self.content)

    def _end(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.match(self.content)
        return found.end() if found else 0

    def _unclosed(self) -> int:
        return self.before + self.content.count(b"\n", 0, self._end(self._pattern(across=False, loose=True))) + 1

    def _blocks(self) -> Iterator[np.ndarray]:
        """The text in pieces of whole lines, the last line ended."""
        start = 0
        while start < len(self.content):
            stop = self.content.rfind(b"\n", start, start + _BLOCK) + 1
            stop = stop or self.content.find(b"\n", start) + 1 or len(self.content)
            block = np.frombuffer(self.content, np.uint8, stop - start, start)
            yield block if block[-1] == _NEWLINE else np.append(block, np.uint8(_NEWLINE))
            start = stop

    def _look(self, quoted: bool) -> Shape:
        first, overlong, even, plain, line = 0, None, True, True, self.before
        for block in self._blocks():
            breaks = np.flatnonzero(self._is_break(block))
            if quoted:
                breaks = breaks[np.searchsorted(np.flatnonzero(block == _QUOTE), breaks) % 2 == 0]
            counts = self._counts(block, breaks)
            first = first or int(counts[0])
            uneven = np.flatnonzero(counts != first)
            if len(uneven) and overlong is None and (counts[uneven] > first).any():
                at = int(uneven[(counts[uneven] > first).argmax()])
                overlong = line + at + 1, int(counts[at])
            even = even and self._are_blank(block, breaks, uneven)
            plain = plain and _starts_plainly(block, breaks, quoted)
            line += len(counts)
        return Shape(overlong, even, plain)

    def _counts(self, block: np.ndarray, breaks: np.ndarray) -> np.ndarray:
        """Fields of each line."""
        ends = np.flatnonzero(block[breaks] == _NEWLINE)
        if self.separator != BLANKS:
            return (np.diff(ends, prepend=-1) - 1) // len(self.separator) + 1
        closing = breaks[(breaks > 0) & ~self._is_break(block[breaks - 1])]
        return np.diff(np.searchsorted(closing, breaks[ends], side="right"), prepend=0)

    def _are_blank(self, block: np.ndarray, breaks: np.ndarray, lines: np.ndarray) -> bool:
        """Whether all these lines of the block are blank."""
        if not len(lines):
            return True
        ends = breaks[block[breaks] == _NEWLINE]
        starts = np.append(0, ends[:-1] + 1)[lines]
        return bool(((block[starts] == _NEWLINE) | (block[starts] == _RETURN)).all())

    def _look_slowly(self) -> Shape:
        first, even, overlong = 0, True, None
        for number, fields in self.split():
            first = first or len(fields)
            even = even and len(fields) == first
            if overlong is None and len(fields) > first:
                overlong = number, len(fields)
        return Shape(overlong, even, plain=False)


def _is_enclosed(field: str) -> bool:
    return len(field) > 1 and field[0] == field[-1] == '"'


def _starts_plainly(block: np.ndarray, breaks: np.ndarray, quoted: bool) -> bool:
    starts = np.append(0, breaks[:-1] + 1)
    if quoted:
        starts = starts + (block[starts] == _QUOTE)
    starts = starts[block[starts] <= _ZERO]  # blanks, signs and zeros are the first of the alphabet
    letters, following = block[starts], block[np.minimum(starts + 1, len(block) - 1)]
    digit = (following >= _ZERO) & (following <= _NINE)
    zero = ((letters == _ZERO) & digit) | ((letters == _MINUS) & (following == _ZERO))
    return not (zero | (letters == _PLUS) | (letters == 32)).any()
