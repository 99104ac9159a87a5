"""Filter, then fit: drop the users a detector suspects most, and fit the model on the rest."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch

from recpoison.changes import users_of_share
from recpoison.data.interactions import Interactions
from recpoison.defenses.base import Defense
from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.detectors.pca_select_users import PCASelectUsers
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import Fitted, Model, Monitor
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
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
            default five times an attack's budget: a defender who drops as many as were added knows too much. None: as
            many as the detector's own rule calls fake, where it has one.
        n_suspected: Their number; it wins over ``suspected``.
        oracle: Drop as many users as the attack added, and nobody where nothing is attacked: what no defender knows,
            and what much published code takes for granted. Who is fake is not told.

    Raises:
        ConfigError: If a value is out of range.

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
    suspected: float | None = ranged(0.05, low=0.0, high=1, open_high=True, null="the detector's own cut")
    n_suspected: int | None = ranged(None, low=0, null="the share suspected")
    oracle: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, "defense")
        if self._cuts and not self.oracle and not self.detector.has_cut:
            raise ConfigError(
                f"defense.suspected and n_suspected are null, but {type(self.detector).__name__} ranks users and does "
                "not say how many are fake: give a share"
            )

    @property
    def _cuts(self) -> bool:
        """Whether the detector's own rule says how many to drop."""
        return self.suspected is None and self.n_suspected is None

    @property
    def told(self) -> bool:
        """Where the number of fake users is told, or the detector learns from some of them."""
        return self.oracle or self.detector.told

    @property
    def needs_ratings(self) -> bool:
        """Where its detector would see nothing else."""
        return self.detector.needs_ratings

    @property
    def reads_values(self) -> bool:
        """Where its detector does."""
        return (self.oracle or self._drops) and self.detector.reads_values

    @property
    def _drops(self) -> bool:
        """Whether anybody is dropped, by the settings alone."""
        return self._cuts or bool(self.suspected if self.n_suspected is None else self.n_suspected)

    def idle(self, parts: Together) -> dict[str, str]:
        """What a setting that wins leaves nothing to; the detector, where nobody is dropped."""
        found = super().idle(parts)
        if self.detector.told and not parts.attack.poisons:
            return found | self._nobody_known()
        if self.oracle or not self._cuts:
            found |= {f"detector.{name}": "it says how many are fake, which is given" for name in self.detector.for_cut}
        if self.oracle:
            found |= dict.fromkeys(("suspected", "n_suspected"), "oracle is true, which knows the number")
        elif self.n_suspected is not None:
            found["suspected"] = f"n_suspected is {self.n_suspected}, which wins over it"
        if self.oracle and not parts.attack.poisons:
            found["detector"] = "oracle is true and no user is fake, so nobody is dropped"
        elif not (self.oracle or self._drops):
            zero = "suspected" if self.n_suspected is None else "n_suspected"
            found["detector"] = f"{zero} is 0, so nobody is dropped"
        return found

    def _nobody_known(self) -> dict[str, str]:
        """All but where labels come from, which say that no user is fake."""
        own = (f"detector.{field.name}" for field in fields(self.detector) if field.name != "labels")
        why = "the detector is told who is fake, and no user is, so nobody is dropped"
        return dict.fromkeys(("suspected", "n_suspected", "oracle", *own), why)

    def remarks(self, parts: Together) -> list[str]:
        """That the defender knows the budget, where they drop just as many as were added; who told the detector."""
        return self._known_number(parts) + ([] if "detector" in self.idle(parts) else self.detector.remarks(parts))

    def _known_number(self, parts: Together) -> list[str]:
        if self.oracle and parts.attack.poisons:
            return ["defense.oracle=true drops as many users as the attack added, and no defender knows that number"]
        if self.oracle:
            return ["defense.oracle=true drops nobody, because the attack adds no users"]
        number, budget = (getattr(parts.attack, name, None) for name in ("n_fake_users", "budget"))
        if self.n_suspected is not None and self.n_suspected == number:
            known = f"defense.n_suspected is the attack's number of fake users ({number})"
        elif self.n_suspected is None and self.suspected and number is None and budget == self.suspected:
            known = f"defense.suspected is the attack's budget ({self.suspected:g})"
        else:
            return []
        return [f"{known}: an oracle, for no defender knows how many users are fake"]

    def check_data(self, data: Interactions) -> None:
        """See whether as many users as the settings drop are one at least, and not all.

        Raises:
            ConfigError: If they are.
        """
        if not (self.oracle or self._cuts):
            self._checked(self._count(data.n_users), data.n_users)

    def suspects(self, data: Interactions, n_fakes: int | None = None) -> np.ndarray:
        """The users to drop, most suspicious first, then by id.

        Args:
            data: Whom to suspect.
            n_fakes: How many users are fake, the last ones, which an oracle is told.

        Raises:
            ConfigError: If a share above 0 comes to less than one user, or a number to all users.
        """
        return self._suspects(data, n_fakes)[0]

    def _suspects(self, data: Interactions, n_fakes: int | None) -> tuple[np.ndarray, np.ndarray | None]:
        """The users to drop, and how suspicious each user is; None where nobody is dropped."""
        count = n_fakes if self.oracle and n_fakes is not None else None
        if count is None and not self._cuts:
            count = self._count(data.n_users)
        if count == 0 or (self.detector.told and n_fakes == 0):
            return np.zeros(0, dtype=np.int64), None
        detector: Any = self.detector  # one that is told takes a second argument
        told = () if n_fakes is None or not detector.told else (data.n_users - n_fakes,)
        suspicion = detector.scores(data, *told)
        count = self._checked(detector.cut(data, suspicion) if count is None else count, data.n_users)
        return np.argsort(-suspicion, kind="stable")[:count], suspicion

    @staticmethod
    def _checked(count: int, n_users: int) -> int:
        if count >= n_users:
            raise ConfigError(f"defense.n_suspected is {count}, but there are {n_users} users: leave some to fit on")
        return count

    def _count(self, n_users: int) -> int:
        """How many users the settings drop."""
        if self.n_suspected is not None:
            return self.n_suspected
        return users_of_share(self.suspected, n_users, "defense.suspected", "user") if self.suspected else 0

    def fit(
        self,
        model: Model,
        data: Interactions,
        seeds: Seeds,
        device: torch.device,
        progress: Progress,
        monitor: Monitor | None = None,
        before: Interactions | None = None,
    ) -> Fitted:
        """Fit ``model`` on the rows of the users who are not suspected.

        An oracle drops as many users as ``data`` has more than ``before``, the rows before the attack.

        Raises:
            ConfigError: As ``suspects``; of an oracle that is not told what was before.
            IncompatibleParts: If the detector needs ratings, and the data have none.
        """
        self.check_ratings(not data.implicit)
        if self.oracle and before is None:
            raise ConfigError(
                "defense.oracle is true, but nobody has said what was before the attack: give fit these rows, or "
                "set it to false"
            )
        n_fakes = data.n_users - before.n_users if self.told and before is not None else None
        suspects, suspicion = self._suspects(data, n_fakes)
        kept = data.take(~np.isin(data.users, suspects))
        progress.note(f"filter: {len(suspects)} of {data.n_users} users and their {len(data) - len(kept)} rows dropped")
        fitted = model.fitted(kept, seeds, device, progress, monitor)
        return replace(fitted, data=data, removed=suspects, suspicion=suspicion)
