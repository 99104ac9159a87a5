"""A paper's own claim for one column of its table: better than the best of some others in the same row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Contest:
    """Whose cells are held against which others, and what the paper's stars are of.

    The stars are of a paired t-test over repeats of the champion against the best of its rivals, without a correction
    for the number of tests; they stand where the champion is better.

    Args:
        column: The csv column whose values meet in a row, such as ``defense``.
        champion: The value that the paper claims to be the best.
        rivals: The values that it is held against.
        better: ``lower`` or ``higher``, of a number; of a fall of it the other way round.
        each: The csv column that the count is given for, besides the whole table.
        only: Columns of the table and the value of each that a row needs to count; all rows where empty.
    """

    column: str
    champion: str
    rivals: Sequence[str]
    better: str
    each: str
    only: Mapping[str, str] = field(default_factory=dict)

    def of(self, *, falls: bool) -> Contest:
        """The contest for numbers, or for falls of them."""
        return replace(self, better="higher" if self.better == "lower" else "lower") if falls else self

    def best(self, values: Mapping[str, float]) -> str:
        """The best of the rivals, the first of equal ones."""
        return min(self.rivals, key=lambda name: -self.sign * values[name])

    def won(self, values: Mapping[str, float]) -> bool:
        """Whether the champion is better than all of its rivals."""
        return self.sign * values[self.champion] > self.sign * values[self.best(values)]

    @property
    def sign(self) -> int:
        """1 where more is better, -1 where less is."""
        return 1 if self.better == "higher" else -1

    @property
    def against(self) -> str:
        """The rivals in words."""
        return self.rivals[0] if len(self.rivals) == 1 else f"the best of {', '.join(self.rivals)}"
