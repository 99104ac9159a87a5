"""Ranges: what they hold at their ends, how they are told, and that constructors and help use the same one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest

from recpoison.errors import ConfigError
from recpoison.ranges import ANY, Range, check_range, check_ranges, ranged, ranges_of

WHOLE, SHARE = Range(low=1, null="all"), Range(low=0.0, high=1, open_high=True)
SIZES, COLUMN = Range(low=1, many=True), Range(low=0, text="the name of a column")
LENGTH, MIXED, CHOICE = Range(low=0.0, open_low=True), Range(low=0, words=("mean",)), Range(words=("sign", "value"))


@pytest.mark.parametrize(
    ("allowed", "inside", "outside"),
    [
        (WHOLE, [1, 10**9, 10**400, np.int64(3), None], [0, -1, -(10**400), 1.5, math.nan, "1", True]),
        (Range(low=ANY), [-(10.0**9), 0, 7], [math.nan, math.inf, -math.inf, "1", None, False]),
        (Range(low=ANY, whole=True), [-(10**400), 0], [0.5, math.nan]),
        (SIZES, [(), [1, 2], (np.int64(3),)], [0, 1, None, "12", b"12", [0], [1.5], [True], ["1"], [None], [[1]]]),
        (COLUMN, [0, "stars", ""], [-1, 1.0, None, True]),
        (SHARE, [0, 0.0, 0.999], [1, -1e-9, None]),
        (LENGTH, [1e-12, 3, np.float32(2), np.int64(3)], [0, 0.0, math.inf, math.nan, 10**400]),
        (MIXED, [0, 7, "mean"], [-1, "median", None]),
        (CHOICE, ["sign"], ["signs", 0, None]),
    ],
)
def test_what_a_range_holds(allowed, inside, outside):
    assert [value for value in inside if not allowed.holds(value)] == []
    assert [value for value in outside if allowed.holds(value)] == []


@pytest.mark.parametrize(
    ("allowed", "told"),
    [
        (WHOLE, "1 or more, or null for all"),
        (SHARE, "0 or more and less than 1"),
        (LENGTH, "a finite number above 0"),
        (MIXED, "0 or more or mean"),
        (CHOICE, "one of sign, value"),
        (Range(low=0.0), "a finite number, 0 or more"),
        (Range(low=0.0, high=1), "0 to 1"),
        (Range(low=0, high=10**7, note=" (0: none)"), "0 to 10000000 (0: none)"),
        (Range(low=0.0, high=1, open_low=True), "more than 0 and at most 1"),
        (Range(low=ANY, null="no cut"), "a finite number, or null for no cut"),
        (SIZES, "a list of whole numbers, each 1 or more"),
        (Range(low=0.0, many=True), "a list, each a finite number, 0 or more"),
        (Range(low=ANY, whole=True, text="an id", many=True), "a list, each a whole number or an id"),
        (COLUMN, "0 or more or the name of a column"),
    ],
)
def test_how_a_range_is_told(allowed, told):
    assert str(allowed) == told


@dataclass(frozen=True)
class Part:
    steps: int = ranged(3, WHOLE)
    rule: str = ranged("sign", words=("sign", "value"))
    free: float = -1.0

    def __post_init__(self) -> None:
        check_ranges(self, "attack")


def test_a_constructor_names_the_setting_its_value_and_what_may_be():
    assert Part(steps=None, free=-9.0).steps is None
    with pytest.raises(ConfigError, match=r"^attack\.steps is 0: give 1 or more, or null for all$"):
        Part(steps=0)
    with pytest.raises(ConfigError, match=r"^attack\.steps is 3\.0: give a whole number, 1 or more, or null for all$"):
        Part(steps=3.0)
    with pytest.raises(ConfigError, match=r"^attack\.steps is 'x': give a whole number, 1 or more, or null for all$"):
        Part(steps="x")
    with pytest.raises(ConfigError, match=r"^attack\.rule is 'x': choose one of sign, value$"):
        Part(rule="x")


@pytest.mark.parametrize(
    ("allowed", "value", "said"),
    [
        (SIZES, (0, 2.0), r"[0, 2]: give a list of whole numbers, each 1 or more"),
        (SHARE, "a", "'a': give a number, 0 or more and less than 1"),
        (LENGTH, None, "None: give a finite number above 0"),
        (MIXED, "median", "'median': give 0 or more or mean"),
        (MIXED, 0.5, "0.5: give a whole number, 0 or more or mean"),
        (COLUMN, 0.5, "0.5: give a whole number, 0 or more or the name of a column"),
    ],
)
def test_what_is_of_another_kind_is_told_so(allowed, value, said):
    with pytest.raises(ConfigError, match=f"^model.hidden is {re.escape(said)}$"):
        check_range("model.hidden", value, allowed)


@dataclass(frozen=True)
class Longer(Part):
    steps: int = 30


def test_another_default_keeps_the_range():
    assert ranges_of(Longer) == ranges_of(Part) == {"steps": WHOLE, "rule": CHOICE}
    with pytest.raises(ConfigError, match=r"^attack\.steps is 0: "):
        Longer(steps=0)


@dataclass(frozen=True)
class Cut:
    """``size`` goes with ``by="count"`` alone, which needs it; ``least`` must be below 5."""

    by: str = ranged("value", words=("value", "count"))
    size: int | str | None = ranged(None, low=1, words=("mean",), null="none")
    least: int = ranged(0, low=0, words=("half",))

    def __post_init__(self) -> None:
        check_ranges(self, "attack.outer")
        if (self.by == "count") == (self.size is None):
            raise ConfigError(f"attack.outer.size is {self.size}, but attack.outer.by is {self.by}: change one")
        if self.least == "half" or self.least >= 5:
            raise ConfigError(f"attack.outer.least is {self.least}: give less than 5")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"by": "count", "size": 0}, "attack.outer.size is 0: give 1 or more or mean"),
        ({"size": 0}, "attack.outer.size is 0: give null for none"),
        ({"size": "most"}, "attack.outer.size is 'most': give null for none"),
        ({"by": "count", "size": 0, "least": 9}, "attack.outer.size is 0: give 1 or more or mean"),
        ({"by": "weight"}, "attack.outer.by is 'weight': choose one of value, count"),  # count asks for another setting
        ({"least": -1}, "attack.outer.least is -1: give 0 or more"),  # some numbers are taken, so the range is told
        ({"least": "most"}, "attack.outer.least is 'most': give a whole number, 0 or more"),
    ],
)
def test_what_would_be_refused_next_is_not_told(settings, said):
    with pytest.raises(ConfigError) as refused:
        Cut(**settings)
    assert str(refused.value) == said
