"""Filter, then fit, by self-training on features of profiles."""

from dataclasses import dataclass, field

from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.semi_sad import SemiSAD
from recpoison.defenses.filter import FilterThenFit


@dataclass(frozen=True)
class FilterBySemiSAD(FilterThenFit):
    """``FilterThenFit`` with self-training on features of profiles as its detector.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> seen = np.vstack([rng.random((40, 30)) < np.linspace(0.9, 0.02, 30), np.arange(30) >= 20])  # 40: rare
        >>> users, items = seen.nonzero()
        >>> data = Interactions(users, items, np.ones(len(users)), n_users=41, n_items=30)
        >>> FilterBySemiSAD(SemiSAD(Labels("truth"), neighbours=3), suspected=0.025).suspects(data, n_fakes=1).tolist()
        [40]
    """

    detector: Detector = field(default_factory=SemiSAD)
