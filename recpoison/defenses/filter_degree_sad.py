"""Filter, then fit, by trees on the popularity of what users have."""

from dataclasses import dataclass, field

from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.degree_sad import DegreeSAD
from recpoison.defenses.filter import FilterThenFit


@dataclass(frozen=True)
class FilterByDegreeSAD(FilterThenFit):
    """``FilterThenFit`` with trees on popularity, which learn from labels, as its detector.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> seen = np.vstack([rng.random((40, 30)) < np.linspace(0.9, 0.02, 30), np.arange(30) >= 20])  # 40: rare
        >>> users, items = seen.nonzero()
        >>> data = Interactions(users, items, np.ones(len(users)), n_users=41, n_items=30)
        >>> FilterByDegreeSAD(suspected=0.025).suspects(data).tolist()
        [40]
    """

    detector: Detector = field(default_factory=DegreeSAD)
