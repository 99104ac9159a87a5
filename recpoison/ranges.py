"""The range of a setting, declared once on its field: constructors check it, and ``recpoison --help`` prints it."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, TypeGuard

from recpoison.errors import ConfigError

ANY = -math.inf  # the low end of a range that has none


@dataclass(frozen=True)
class Range:
    """What a setting may be.

    Args:
        low: The least number; whole (``1``) where only whole numbers may be; ``ANY``: there is none; None where it
            is no number.
        high: The largest; infinity is none.
        open_low: Whether ``low`` itself is out.
        open_high: Whether ``high`` itself is out.
        words: Words that are allowed, beside numbers where there is a ``low``.
        text: What any word stands for, such as ``a column's name``; empty where ``words`` are all.
        many: Whether it is a list of such.
        whole: Whether numbers must be whole; always where ``low`` is.
        null: What null stands for, such as ``all``; empty where null is out.
        note: What is told at the end, as it stands, such as `` (0: none)`` or ``, or attack=none``.
    """

    low: float | None = None
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    words: Sequence[str] = ()
    text: str = ""
    many: bool = False
    whole: bool = False
    null: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", self.whole or isinstance(self.low, int))

    def holds(self, value: object) -> bool:
        """Whether ``value`` may be; true and false are no numbers."""
        if value is None:
            return bool(self.null)
        if self.many:
            return _is_list(value) and all(map(self._holds, value))
        return self._holds(value)

    def _holds(self, value: object) -> bool:
        if isinstance(value, str):
            return bool(self.text) or value in self.words
        if self.low is None or not self._is_number(value):
            return False
        number = int(value) if isinstance(value, Integral) else float(value)
        if not self.whole and abs(number) > sys.float_info.max:
            return False  # infinite, or a whole number too long for a float
        above = number > self.low or (number == self.low and not self.open_low)
        return above and (number < self.high or (number == self.high < math.inf and not self.open_high))

    def _is_number(self, value: object) -> TypeGuard[Real]:
        return not isinstance(value, bool) and isinstance(value, Integral if self.whole else Real)

    @property
    def some_numbers(self) -> list[float]:
        """Numbers that are held: small, middle and large ones."""
        if self.low is None:
            return []
        low = 0 if self.low == ANY else self.low
        high = low + 100 if self.high == math.inf else self.high
        numbers = [low, low + 1, (low + high) / 2, high]
        return [number for x in numbers if self._holds(number := int(x) if self.whole else x)]

    def __str__(self) -> str:
        """What may be given, as a sentence has it after "give"."""
        if not self.many:
            return self._told("")
        kind = "" if self._number.startswith("a ") else f" of {'whole numbers' if self.whole else 'numbers'}"
        return self._told(f"a list{kind}, each ")

    def told_of(self, value: object) -> str:
        """The same about a ``value`` that is not held, and the kind of number where it is not of that."""
        is_word = isinstance(value, str) and bool(self.words or self.text)
        if self.many or self.low is None or is_word or self._is_number(value) or self._number.startswith("a "):
            return str(self)
        return self._told("a whole number, " if self.whole else "a number, ")

    def _told(self, kind: str) -> str:
        told = [self._number] if self.low is not None else []
        if self.words:
            told.append(("one of " if self.low is None and len(self.words) > 1 else "") + ", ".join(self.words))
        if self.text:
            told.append(self.text)
        null = f"{', or ' if told else ''}null for {self.null}" if self.null else ""
        return kind + " or ".join(told) + null + self.note

    @property
    def _number(self) -> str:
        if self.low == ANY:
            return "a whole number" if self.whole else "a finite number"
        low = _shown(self.low)
        if self.high == math.inf:
            kind = "" if self.whole else "a finite number above " if self.open_low else "a finite number, "
            return f"{kind}{low}" if self.open_low else f"{kind}{low} or more"
        if not self.open_low and not self.open_high:
            return f"{low} to {_shown(self.high)}"
        start = f"more than {low}" if self.open_low else f"{low} or more"
        return f"{start} and {'less than' if self.open_high else 'at most'} {_shown(self.high)}"


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _shown(value: object) -> str:
    if _is_list(value):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:g}" if isinstance(value, float) else repr(value)


def ranged(
    default: Any = MISSING,
    allowed: Range | None = None,
    kw_only: Any = MISSING,
    metadata: Mapping[str, Any] = MappingProxyType({}),
    **limits: Any,
) -> Any:
    """A dataclass field with a range.

    Args:
        default: The field's.
        allowed: Its range, where several fields share one.
        kw_only: As ``dataclasses.field`` has it.
        metadata: Likewise, beside the range.
        limits: Those of ``Range``, in place of ``allowed``.
    """
    return field(default=default, kw_only=kw_only, metadata={**metadata, "range": allowed or Range(**limits)})


def ranges_of(part: type) -> dict[str, Range]:
    """The ranges that the fields of a dataclass declare, by name; one with another default keeps its parent's."""
    owners = [vars(owner).get("__dataclass_fields__", {}) for owner in reversed(part.__mro__)]
    return {name: item.metadata["range"] for own in owners for name, item in own.items() if "range" in item.metadata}


def check_ranges(part: Any, path: str) -> None:
    """Refuse a part whose settings leave the ranges that its fields declare; fields without one are passed over.

    What the part would refuse all the same, beside its other settings, is not told among what may be given.

    Args:
        part: A dataclass.
        path: Where it stands, such as ``attack``.

    Raises:
        ConfigError: Naming the first such setting and what may be given.
    """
    for name, allowed in ranges_of(type(part)).items():
        if not allowed.holds(getattr(part, name)):
            allowed = _taken(part, path, name, allowed)
        check_range(f"{path}.{name}", getattr(part, name), allowed)


def _taken(part: Any, path: str, name: str, allowed: Range) -> Range:
    """A range without those words, null and numbers that ``part`` refuses as ``name``; whole where nothing is left."""

    def takes(value: object) -> bool:
        try:
            replace(part, **{name: value})
        except Exception as error:  # of another setting: that one is told once this one is mended
            return not str(error).startswith(f"{path}.{name} ")
        return True

    if allowed.many:
        return allowed
    left = replace(
        allowed,
        low=allowed.low if any(map(takes, allowed.some_numbers)) else None,
        words=[word for word in allowed.words if takes(word)],
        null=allowed.null if allowed.null and takes(None) else "",
    )
    return left if left.low is not None or left.words or left.null or left.text else allowed


def check_range(setting: str, value: object, allowed: Range) -> None:
    """Refuse a value of a setting that is not ``allowed``.

    Raises:
        ConfigError: Naming it and what may be given.
    """
    if allowed.holds(value):
        return
    verb = "choose" if allowed.low is None and allowed.words and not allowed.text else "give"
    given = value if allowed.whole and isinstance(value, float) else _shown(value)  # 3.0, not 3
    raise ConfigError(f"{setting} is {given}: {verb} {allowed.told_of(value)}")
