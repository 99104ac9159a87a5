"""Filter, then fit, by an isolation forest."""

from dataclasses import dataclass, field

from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.isolation_forest import IsolationForest
from recpoison.defenses.filter import FilterThenFit


@dataclass(frozen=True)
class FilterByIsolation(FilterThenFit):
    """``FilterThenFit`` with an isolation forest on features of profiles as its detector.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> seen = np.vstack([rng.random((30, 12)) < 0.5, np.arange(12) < 11])  # the last user has nearly everything
        >>> users, items = seen.nonzero()
        >>> data = Interactions(users, items, np.ones(len(users)), n_users=31, n_items=12)
        >>> FilterByIsolation(IsolationForest(neighbours=3)).suspects(data).tolist()
        [30]
    """

    detector: Detector = field(default_factory=IsolationForest)
