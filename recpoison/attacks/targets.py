"""Which items an attack promotes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Part, Together
from recpoison.ranges import ANY, check_ranges, ranged

_BUCKETS: dict[str, tuple[int | None, int | None]] = {  # percentiles of popularity, both strict
    "head": (95, None),
    "upper_torso": (75, 95),
    "lower_torso": (50, 75),
    "tail": (None, 50),
}
_NEVER_EMPTY: dict[str, tuple[int, int]] = {  # percentiles of popularity among items that somebody has, both inclusive
    "rare": (0, 50),
    "medium": (75, 95),
    "popular": (95, 100),
}
_RULES = ("list", "random", "unpopular", *_NEVER_EMPTY, *_BUCKETS)


@dataclass(frozen=True)
class Targets(Part):
    """How target items are chosen from the training data.

    The popularity of an item is the number of distinct users who have it. The buckets are those of the injection paper
    ("Revisiting Adversarially Learned Injection Attacks", section 4.2): ``head`` above the 95th percentile of
    popularity, ``upper_torso`` between the 75th and the 95th, ``lower_torso`` between the 50th and the 75th, ``tail``
    below the 50th. The bounds are strict, as in the authors' code, so an item exactly at a bound is in no bucket.
    ``unpopular`` is the APT paper's "number of rates less than 5". ``rare``, ``medium`` and ``popular`` are at most the
    median, from the 75th to the 95th and from the 95th percentile of the items that somebody has: their bounds are
    popularities that occur, and items at a bound belong to them, so that they are never empty, whatever the data. All
    rules but ``list`` draw uniformly, without replacement; all but these three may draw an item that nobody has.

    Args:
        rule: ``list``, ``random``, ``unpopular``, ``rare``, ``medium``, ``popular``, ``head``, ``upper_torso``,
            ``lower_torso`` or ``tail``.
        items: The targets, for rule ``list``.
        count: How many targets to draw, for the other rules.
        below: An unpopular item has fewer users than this.
        labels: Whether ``items`` are ids of the source file instead of the numbers from 0 that recpoison gives.

    Raises:
        ConfigError: If the rule is unknown, ``items`` and ``rule`` contradict each other, an item is listed twice or a
            number is below 1.

    Example:
        >>> data = Interactions([0, 1, 2], [0, 0, 1], [1] * 3, n_users=3, n_items=3)  # 2, 1 and 0 users
        >>> Targets("unpopular", count=2, below=2).choose(data, np.random.default_rng(0)).tolist()
        [1, 2]
    """

    rule: str = ranged("tail", words=_RULES)
    items: Sequence[int | str] = ranged((), low=ANY, whole=True, text="an id", many=True)
    count: int = ranged(1, low=1)
    below: int = ranged(5, low=1)
    labels: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, "attack.targets")
        if (self.rule == "list") != bool(self.items):
            raise ConfigError(
                f"attack.targets.items is {list(self.items)} and attack.targets.rule is {self.rule}: "
                "rule list needs items, and other rules take none"
            )
        if len(set(self.items)) < len(self.items):
            raise ConfigError(f"attack.targets.items is {list(self.items)}: list each item once")

    def idle(self, parts: Together) -> dict[str, str]:
        """What the rule does not look at."""
        why = f"rule is {self.rule}"
        found = {} if self.rule == "unpopular" else {"below": why}
        return found | ({"count": why} if self.rule == "list" else {"labels": why})

    @property
    def at_most(self) -> int:
        """How many there are, as far as the settings say."""
        return len(self.items) if self.rule == "list" else self.count

    def choose(self, data: Interactions, rng: np.random.Generator) -> np.ndarray:
        """The targets, ``(n_targets,)``: in the order given for rule ``list``, else ascending.

        Raises:
            ConfigError: If an item is unknown, or the rule leaves fewer items than ``count``.
        """
        if self.rule == "list":
            return self._listed(data)
        candidates = self._candidates(data.item_counts)
        if self.count > len(candidates):
            rule = f"{self.rule} (below {self.below})" if self.rule == "unpopular" else self.rule
            raise ConfigError(
                f"attack.targets.count is {self.count}, but only {len(candidates)} of the {data.n_items} items are "
                f"{rule}: lower it or choose another attack.targets.rule"
            )
        return np.sort(rng.choice(candidates, self.count, replace=False))

    def _candidates(self, popularity: np.ndarray) -> np.ndarray:
        if self.rule == "random":
            return np.arange(len(popularity))
        if self.rule == "unpopular":
            return np.flatnonzero(popularity < self.below)
        if self.rule in _NEVER_EMPTY:
            had = popularity[popularity > 0]
            least, most = np.percentile(had, _NEVER_EMPTY[self.rule], method="lower") if len(had) else (1, 0)
            return np.flatnonzero((popularity >= least) & (popularity <= most))
        low, high = _BUCKETS[self.rule]
        inside = np.ones(len(popularity), dtype=bool)
        if low is not None:
            inside &= popularity > np.percentile(popularity, low)
        if high is not None:
            inside &= popularity < np.percentile(popularity, high)
        return np.flatnonzero(inside)

    def _listed(self, data: Interactions) -> np.ndarray:
        if self.labels and data.item_labels is None:
            raise ConfigError(
                "attack.targets.labels is true, but this dataset keeps no item ids of its source: give numbers from 0"
            )
        names = data.item_labels if self.labels and data.item_labels is not None else range(data.n_items)
        numbers = {str(name): number for number, name in enumerate(names)}
        for item in self.items:
            if str(item) not in numbers:
                known = "known by their ids in the source" if self.labels else f"numbered 0 to {data.n_items - 1}"
                raise ConfigError(
                    f"attack.targets.items holds {item}, but the catalogue's {data.n_items} items are {known}: "
                    f"correct it, or set attack.targets.labels={str(not self.labels).lower()}"
                )
        return np.array([numbers[str(item)] for item in self.items], dtype=np.int64)
