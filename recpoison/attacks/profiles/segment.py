"""Segment attack (Mobasher, Burke, Bhaumik and Williams 2005; the form of the AUSH paper's baselines)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recpoison.attacks.profiles.base import FillerAttack, check_selected
from recpoison.attacks.profiles.fillers import most_popular
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.ranges import ranged

_POOL = 20  # AUSH looks for its selected items among the 20 most popular
_RULES = ("co_rated", "similar", "popular", "list")


@dataclass(frozen=True, kw_only=True)
class SegmentAttack(FillerAttack):
    """Ties the targets to a group of users: what that group likes is rated highest, fillers lowest.

    Implicit data know no low rating: there a filler is one more 1.

    Args:
        n_selected: Items that stand for the group, for every rule but ``list``.
        select: How they are chosen.
            ``co_rated``: among the 20 most popular items, those that most users who lack the targets like together.
            AUSH's code draws from the combinations with at least 30 such users; this adds one item at a time, each
            keeping the most users, which needs no such number. A user likes an item rated at least as high as the mean
            rating; on implicit data, any item they have.
            ``similar``: the highest cosine similarity to the targets, by who has them (the segment of the original
            paper), and the more popular first among equals.
            ``popular``: the most popular items. ``list``: ``selected_items``.
        selected_items: Item ids for rule ``list``.

    Raises:
        ConfigError: If a value is out of range or ``select`` and ``selected_items`` contradict each other.

    Example:
        >>> data = Interactions([0, 1, 2, 2], [0, 0, 1, 2], [1] * 4, n_users=3, n_items=4)
        >>> targets = Targets("list", [2])
        >>> attack = SegmentAttack(targets=targets, n_fake_users=1, fillers=0, n_selected=1, select="similar")
        >>> attack.poison(data, np.array([2]), Seeds(0), torch.device("cpu"), Progress()).items.tolist()
        [2, 1]
    """

    n_selected: int = ranged(3, low=1)
    select: str = ranged("co_rated", words=_RULES)
    selected_items: Sequence[int] = ranged((), low=0, many=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.select == "list") != bool(self.selected_items):
            raise ConfigError(
                f"attack.selected_items is {list(self.selected_items)} and attack.select is {self.select}: "
                "list needs items, and other rules take none"
            )

    def idle(self, parts: Together) -> dict[str, str]:
        """How many items are chosen, where they are listed."""
        found = {"round_ratings": "fillers have the scale's lowest rating"} | super().idle(parts)
        return found | ({"n_selected": "select is list"} if self.select == "list" else {})

    @property
    def _alike(self) -> str:
        return "segment, and bandwagon where the most popular items are selected"

    def _selected(self, data: Interactions, targets: np.ndarray) -> np.ndarray:
        if self.select == "list":
            return self._listed(data, targets)
        check_selected(self.n_selected, data, targets)
        if self.select == "popular":
            return most_popular(data, targets, self.n_selected)
        rule = liked_together if self.select == "co_rated" else most_similar
        return rule(data, targets, self.n_selected)

    def _listed(self, data: Interactions, targets: np.ndarray) -> np.ndarray:
        items = np.array(self.selected_items, dtype=np.int64)
        if len(np.unique(items)) < len(items) or np.isin(items, targets).any():
            raise ConfigError(
                f"attack.selected_items is {items.tolist()}: list each item once, "
                f"and none of the targets {targets.tolist()}"
            )
        if items.min() < 0 or items.max() >= data.n_items:
            raise ConfigError(
                f"attack.selected_items is {items.tolist()}, but the catalogue's {data.n_items} items "
                f"are numbered 0 to {data.n_items - 1}"
            )
        return items

    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.full(items.shape, -np.inf)  # the scale cuts it to its lowest rating


def liked_together(data: Interactions, targets: np.ndarray, count: int) -> np.ndarray:
    """The ``co_rated`` rule, ``(count,)``."""
    pool = most_popular(data, targets, max(_POOL, count))
    likes = data.take(data.values >= data.values.mean()).seen if data.scale is not None else data.seen
    liked = likes[:, pool].toarray() > 0
    crowd = data.seen[:, targets].getnnz(axis=1) == 0
    chosen: list[int] = []
    for _ in range(count):
        fans = liked[crowd].sum(axis=0)
        fans[chosen] = -1
        chosen.append(int(fans.argmax()))
        crowd = crowd & liked[:, chosen[-1]]
    return pool[chosen]


def most_similar(data: Interactions, targets: np.ndarray, count: int) -> np.ndarray:
    """The ``similar`` rule, ``(count,)``: cosines to the targets are added up."""
    lengths = np.sqrt(np.maximum(data.item_counts, 1))
    common = (data.seen.T @ data.seen[:, targets]).toarray()
    similarity = (common / lengths[targets]).sum(axis=1) / lengths
    order = np.lexsort((-data.item_counts, -similarity))
    return order[~np.isin(order, targets)][:count]
