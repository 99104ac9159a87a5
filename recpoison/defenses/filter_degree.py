"""Filter, then fit, by features of profiles."""

from dataclasses import dataclass, field

from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.degree_features import DegreeFeatures
from recpoison.defenses.filter import FilterThenFit


@dataclass(frozen=True)
class FilterByDegree(FilterThenFit):
    """``FilterThenFit`` with deviation from the items' means, length and similarity as its detector.

    Example:
        >>> users, items = [0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 0, 1, 0, 1, 0, 2]  # user 3 alone has item 2
        >>> data = Interactions(users, items, [4, 2, 4, 2, 4, 2, 1, 5], n_users=4, n_items=3, scale=Scale(1, 5))
        >>> FilterByDegree(DegreeFeatures("rdma"), suspected=0.25).suspects(data).tolist()
        [3]
    """

    detector: Detector = field(default_factory=DegreeFeatures)
