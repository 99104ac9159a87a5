"""The range of a setting, declared once on its field: constructors check it, and ``recpoison --help`` prints it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from recpoison.errors import ConfigError


@dataclass(frozen=True)
class Range:
    """What a setting may be.

    Args:
        low: The least number; whole (``1``) where only whole numbers may be; None where it is no number.
        high: The largest; infinity is none.
        open_low: Whether ``low`` itself is out.
        open_high: Whether ``high`` itself is out.
        words: Words that are allowed, beside numbers where there is a ``low``.
        null: What null stands for, such as ``all``; empty where null is out.
    """

    low: float | None = None
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    words: Sequence[str] = ()
    null: str = ""

    def holds(self, value: object) -> bool:
        """Whether ``value`` may be."""
        if value is None:
            return bool(self.null)
        if isinstance(value, str):
            return value in self.words
        if self.low is None or not isinstance(value, int if isinstance(self.low, int) else int | float):
            return False
        above = value > self.low or (value == self.low and not self.open_low)
        return above and (value < self.high or (value == self.high < math.inf and not self.open_high))

    def __str__(self) -> str:
        """What may be given, as a sentence has it after "give"."""
        told = [self._number] if self.low is not None else []
        if self.words:
            told.append(("one of " if self.low is None and len(self.words) > 1 else "") + ", ".join(self.words))
        return " or ".join(told) + (f", or null for {self.null}" if self.null else "")

    @property
    def _number(self) -> str:
        if self.high == math.inf:
            kind = "a finite number " if isinstance(self.low, float) else ""
            end = f"above {self.low:g}" if self.open_low else f"from {self.low:g}" if kind else f"{self.low:g} or more"
            return kind + end
        if not self.open_low and not self.open_high:
            return f"{self.low:g} to {self.high:g}"
        start = f"more than {self.low:g}" if self.open_low else f"{self.low:g} or more"
        return f"{start} and {'less than' if self.open_high else 'at most'} {self.high:g}"


def ranged(default: Any = MISSING, allowed: Range | None = None, **limits: Any) -> Any:
    """A dataclass field with a range.

    Args:
        default: The field's.
        allowed: Its range, where several fields share one.
        limits: Those of ``Range``, in place of ``allowed``.
    """
    return field(default=default, metadata={"range": allowed or Range(**limits)})


def check_ranges(part: Any, path: str) -> None:
    """Refuse a part whose settings leave the ranges that its fields declare; fields without one are passed over.

    Args:
        part: A dataclass.
        path: Where it stands, such as ``attack``.

    Raises:
        ConfigError: Naming the first such setting and what may be given.
    """
    for item in fields(part):
        allowed, value = item.metadata.get("range"), getattr(part, item.name)
        if allowed is None or allowed.holds(value):
            continue
        verb = "choose" if allowed.low is None else "give"
        shown = f"{value:g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else value
        raise ConfigError(f"{path}.{item.name} is {shown}: {verb} {allowed}")
