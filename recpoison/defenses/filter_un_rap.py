"""Filter, then fit, by ratings that do not go with the items' means."""

from dataclasses import dataclass, field

from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.un_rap import UnRAP
from recpoison.defenses.filter import FilterThenFit


@dataclass(frozen=True)
class FilterByUnRAP(FilterThenFit):
    """``FilterThenFit`` with the residues of ratings as its detector, on ratings alone.

    Example:
        >>> users, items = [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 0, 1, 0, 2]
        >>> data = Interactions(users, items, [5, 1, 5, 1, 5, 1, 1, 5], n_users=4, n_items=3, scale=Scale(1, 5))
        >>> FilterByUnRAP(suspected=0.25).suspects(data).tolist()  # user 3 alone dislikes item 0
        [3]
    """

    detector: Detector = field(default_factory=UnRAP)
