"""Filter, then fit: drop the users a detector suspects most, and fit the model on the rest."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from recpoison.changes import least_share
from recpoison.data.interactions import Interactions
from recpoison.defenses.base import Defense
from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.pca_select_users import PCASelectUsers
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import Fitted, Model, Monitor
from recpoison.progress import Progress
from recpoison.seeds import Seeds


@dataclass(frozen=True)
class FilterThenFit(Defense):
    """Nothing is learned from the rows of suspected users; everyone is still served.

    Suspected users keep their ids and, when they are recommended to, their own history: a real user dropped by mistake
    still has it in a real system. So a model that scores from a user's rows (item_knn) serves them from what the others
    taught it. A model with a vector for each user (bprmf, wrmf) leaves theirs untrained: that loss of accuracy is the
    price of a false alarm and shows in the
    ``test`` numbers.

    Args:
        detector: Says how suspicious each user is.
        suspected: Share of all users, real or fake, to drop, in [0, 1), rounded down; 0 is the plain fit. By
            default five times an attack's budget: a defender who drops as many as were added knows too much.

    Raises:
        ConfigError: If ``suspected`` is out of range.

    Example:
        >>> users, items = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], [0, 1, 0, 1, 0, 1, 0, 1, 1, 3]  # user 4 is unlike the others
        >>> data = Interactions(users, items, [1] * 10, n_users=5, n_items=4)
        >>> defense = FilterThenFit(PCASelectUsers(components=1), suspected=0.2)
        >>> defense.suspects(data).tolist()
        [4]
        >>> fitted = defense.fit(Popularity(), data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.scores(torch.tensor([0])).tolist()  # how many have each item, without user 4
        [[4.0, 4.0, 0.0, 0.0]]
    """

    detector: Detector = field(default_factory=PCASelectUsers)
    suspected: float = 0.05

    def __post_init__(self) -> None:
        if not 0 <= self.suspected < 1:
            raise ConfigError(
                f"defense.suspected is {self.suspected:g}, but it is a share of the users: give 0 or more, below 1"
            )

    @property
    def reads_values(self) -> bool:
        """Where its detector does."""
        return self.suspected > 0 and self.detector.reads_values

    def idle(self, parts: Together) -> dict[str, str]:
        """The detector, where nobody is dropped."""
        return super().idle(parts) | ({} if self.suspected else {"detector": "suspected is 0, so nobody is dropped"})

    def remarks(self, parts: Together) -> list[str]:
        """That the defender knows the budget, where they drop just as many as were added."""
        if getattr(parts.attack, "n_fake_users", None) is not None or self.suspected == 0:
            return []
        if getattr(parts.attack, "budget", None) != self.suspected:
            return []
        return [
            f"defense.suspected is the attack's budget ({self.suspected:g}): an oracle, for no defender knows how many "
            "users are fake"
        ]

    def suspects(self, data: Interactions) -> np.ndarray:
        """The share of users to drop, most suspicious first, then by id.

        Raises:
            ConfigError: If the share is above 0 but comes to less than one user.
        """
        if self.suspected == 0:
            return np.zeros(0, dtype=np.int64)
        count = int(self.suspected * data.n_users + 1e-9)
        if count < 1:
            raise ConfigError(
                f"defense.suspected={self.suspected:g} of {data.n_users} users is less than one user: "
                f"raise it to {least_share(data.n_users):g}"
            )
        return np.argsort(-self.detector.scores(data), kind="stable")[:count]

    def fit(
        self,
        model: Model,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        monitor: Monitor | None = None,
    ) -> Fitted:
        """Fit ``model`` on the rows of the users who are not suspected."""
        suspects = self.suspects(data)
        kept = data.take(~np.isin(data.users, suspects))
        progress.note(f"filter: {len(suspects)} of {data.n_users} users and their {len(data) - len(kept)} rows dropped")
        return replace(model.fitted(kept, seeds, device, progress, monitor), data=data, removed=suspects)
