"""What adversarial poisoning training has in common, whatever items its fake users rate."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from recpoison.changes import users_of_share
from recpoison.data.interactions import Interactions
from recpoison.defenses.base import Defense
from recpoison.defenses.erm_users import PoisonedRatings, Renewal, cut, of_real_users, start_with
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.idle import Together
from recpoison.models.base import Fitted, Model, Monitor
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.ranges import ANY, check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer, result

STATISTICS = ("data", "before")


@dataclass(frozen=True, kw_only=True)
class AdversarialPoisoning(Defense):
    """Trains on the data and on fake users of its own ("ERM users", APT, definition 3.1), renewed every few epochs.

    Up to ``pre_training`` epochs it is the model's plain fit, bit for bit. Then, every ``interval`` epochs, the rows of
    all ERM users are replaced; their embeddings and what the optimiser remembers of them stay, as in the authors' code.
    Items are rated from N(mean + ``shift``, standard deviation) of their ratings, snapped to the scale. The result
    holds the users of the data alone.

    The authors' code takes those statistics from the data before the attack, which no defender has, and the printed
    numbers hang on it: an item that has two ratings of 2 and 28 fake ones of 5 gets 3 from ERM users who know, and 5
    from those who do not.

    Args:
        erm_users: ERM users, as a share of the users of the data (the paper), rounded down.
        n_erm_users: ERM users, as a number (50 for all data in the authors' code); it wins over ``erm_users``.
        fillers: Items of an ERM user; ``mean``: as many as users of the data have on average. The authors give them
            about four times as many.
        shift: Added to ratings, in units of the scale.
        statistics: Whose mean and standard deviation: ``data``, attacked or not, or ``before`` the attack (an oracle).
        pre_training: Epochs before the first ERM users; None: three fifths of the model's (15 of 25 in the paper).
        interval: Epochs of a generation.

    Raises:
        ConfigError: If a value is out of range.
    """

    erm_users: float = ranged(0.05, low=0.0, high=1, open_low=True, note=" of the users, or defense=none")
    n_erm_users: int | None = ranged(None, low=1, null="the share erm_users")
    fillers: int | str = ranged("mean", low=1, words=("mean",))
    shift: float = ranged(1.0, low=ANY)
    statistics: str = ranged("data", words=STATISTICS)
    pre_training: int | None = ranged(None, low=0, null="three fifths")
    interval: int = ranged(2, low=1)

    def __post_init__(self) -> None:
        check_ranges(self, "defense")

    def idle(self, parts: Together) -> dict[str, str]:
        """The share, where the number is given; whose statistics, where there is one."""
        found = super().idle(parts)
        if self.n_erm_users is not None:
            found["erm_users"] = f"n_erm_users is {self.n_erm_users}, which wins over it"
        if not parts.attack.poisons:
            found["statistics"] = "the attack adds no ratings"
        return found

    def remarks(self, parts: Together) -> list[str]:
        """That the defender knows the data before the attack."""
        if not self.oracle or not parts.attack.poisons:
            return []
        return [
            "defense.statistics=before rates items as they were rated before the attack: an oracle, for no defender "
            "knows which ratings are fake"
        ]

    @property
    def needs_ratings(self) -> bool:
        """Items are rated."""
        return True

    @property
    def oracle(self) -> bool:
        """Where statistics are those before the attack."""
        return self.statistics == "before"

    @final
    def check_model(self, model: Model) -> None:
        """See whether ``model`` is fitted to ratings, and for long enough.

        Raises:
            IncompatibleParts: If it is not fitted by the rating loss.
            ConfigError: If no ERM user would ever come.
        """
        if not isinstance(model, MF):
            raise IncompatibleParts(
                f"adversarial poisoning training adds ratings to those that a model=mf is fitted to, and "
                f"{type(model).__name__} is fitted otherwise: choose model=mf, or another defense"
            )
        begin = self.begin(model.trainer)
        if begin >= model.trainer.epochs:
            raise ConfigError(
                f"defense.pre_training is {begin}, but model.trainer.epochs is {model.trainer.epochs}, so no ERM user "
                "would ever come: lower the one or raise the other"
            )

    @final
    def check_data(self, data: Interactions) -> None:
        """See whether there are users enough for one ERM user, and items enough for each.

        Raises:
            ConfigError: If there are not.
        """
        self._shape(data)

    @abstractmethod
    def choose(self, renewal: Renewal) -> np.ndarray:
        """Items of each ERM user, ``renewal.shape``, distinct in a row; ``NOBODY`` where there are too few."""

    @final
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
        """Fit ``model`` on ``data`` and on ERM users, whose draws come from the stream ``erm``.

        An oracle rates items as they were rated ``before`` the attack.

        Raises:
            IncompatibleParts: If the model or the data cannot take them.
            ConfigError: If the data are too small for what was asked for, or the rows before the attack are not known.
            Diverged: If a loss is no longer finite.
        """
        rated = before if self.oracle else data
        if rated is None:
            raise ConfigError(
                "defense.statistics is before, but nobody has said what the data were before the attack: give fit "
                "these rows, or set it to data"
            )
        self.check_model(model)
        assert isinstance(model, MF), "check_model has seen to that"
        self.check_ratings(not data.implicit)
        start = start_with(self._shape(data), model, data, seeds, device)
        objective = PoisonedRatings(self, model, data, rated, seeds, device, progress)
        state = model.trainer.run(objective, start, progress, of_real_users(monitor, data.n_users))
        return Fitted(model, cut(result(state), data.n_users), data)

    def begin(self, trainer: Trainer) -> int:
        """Epochs without ERM users."""
        return trainer.epochs * 3 // 5 if self.pre_training is None else self.pre_training

    def _shape(self, data: Interactions) -> tuple[int, int]:
        """ERM users, and the items of each."""
        return self.count(data.n_users), self._length(data)

    def count(self, n_users: int) -> int:
        """ERM users beside ``n_users`` of the data.

        Raises:
            ConfigError: If the share comes to less than one.
        """
        if self.n_erm_users is not None:
            return self.n_erm_users
        return users_of_share(self.erm_users, n_users, "defense.erm_users", "ERM user")

    def _length(self, data: Interactions) -> int:
        """Fillers of an ERM user."""
        if isinstance(self.fillers, str):
            return max(1, data.mean_profile)
        if self.fillers > data.n_items:
            raise ConfigError(
                f"defense.fillers is {self.fillers}, but the catalogue has {data.n_items} items: give "
                f"{data.n_items} or less"
            )
        return self.fillers
