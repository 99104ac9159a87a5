"""Filter, then fit, by suspicion that spreads from known fake users."""

from dataclasses import dataclass, field

from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.fap import FAP
from recpoison.defenses.filter import FilterThenFit


@dataclass(frozen=True)
class FilterByFAP(FilterThenFit):
    """``FilterThenFit`` with label propagation as its detector.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 1, 2, 2], [1] * 5, n_users=3, n_items=3)
        >>> FilterByFAP(FAP(Labels("truth"), rounds=1), suspected=0.7).suspects(data, n_fakes=1).tolist()
        [2, 1]
    """

    detector: Detector = field(default_factory=FAP)
