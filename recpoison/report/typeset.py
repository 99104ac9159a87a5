"""How wide text is when TeX sets it in Computer Modern, and where its lines break: what choosing a layout needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Advance widths of cmr10 in thousandths of an em; a plus, a minus and relations come from the symbols' font.
_WIDTHS = {
    278: "il.,:;!'[]|`",
    306: "fj",
    333: " -",
    389: "t()",
    392: "r",
    394: "s",
    444: "cez",
    500: '0123456789agoy/*?–"',
    528: "kqvx",
    556: "bdhnpuS",
    361: "I_",
    514: "J",
    611: "Z",
    625: "L",
    653: "F",
    681: "EP",
    708: "B",
    722: "wCT",
    736: "R",
    750: "AHNUVXY",
    764: "D",
    778: "KOQ@&+−±<>=×≤≥",
    785: "G",
    833: "m%#$",
    917: "M",
    1000: "—…",
    1028: "W",
}
_EM = {sign: thousandths / 1000 for thousandths, signs in _WIDTHS.items() for sign in signs}
_WIDEST = 1.03  # of a letter that is not listed
BOLD = 1.15
STAR = 0.5
PLUS_MINUS = 1.223  # with the spaces that mathematics puts around it
_PIECES = re.compile(r"[^ _./,-]*[ _./,-]|[^ _./,-]+")


@dataclass(frozen=True)
class Size:
    """A size of type: the command that sets it, points of one em of its letters, and points from line to line."""

    command: str
    em: float
    line: float


SMALL = Size("small", 9.25, 11.0)  # letters of 9 points are somewhat wider than those of 10, made smaller
FOOTNOTE = Size("footnotesize", 8.5, 9.5)


def em_width(text: str) -> float:
    """Width of one line of text, in em."""
    return sum(_EM.get(sign, _WIDEST) for sign in text)


def pieces(text: str) -> list[str]:
    """``text`` cut where a line may break: after a space and after the signs that join the words of a setting."""
    return _PIECES.findall(text)


def lines_of(text: str, width: float) -> list[str]:
    """``text`` in lines of at most ``width`` em, as full as they can be; a longer piece has a line of its own."""
    lines = [""]
    for piece in pieces(text):
        if lines[-1] and em_width(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def longest_piece(text: str) -> float:
    """Width in em of the longest part of a text that no line break divides."""
    return max((em_width(piece.rstrip()) for piece in pieces(text)), default=0.0)
