"""Attacks made for implicit data: which items fake users have is all they say."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields

import numpy as np

from recpoison.attacks.base import Crafting
from recpoison.attacks.profiles.base import SizedAttack, refuse_too_large
from recpoison.changes import FakeProfiles
from recpoison.idle import Together


@dataclass(frozen=True, kw_only=True)
class ClickAttack(SizedAttack):
    """Every fake user has all targets and a number of fillers. An attack writes ``_chosen``.

    Values are 1 on implicit data. Explicit data are read as implicit, and fake users give the highest rating.
    """

    def idle(self, parts: Together) -> dict[str, str]:
        """Everything but the number of fake users, where they have no fillers."""
        found = super().idle(parts)
        if self.fillers != 0:
            return found
        inherited = {field.name for field in fields(SizedAttack)}
        own = (field.name for field in fields(self) if field.name not in inherited)
        return found | dict.fromkeys(own, "fillers is 0, so none is chosen")

    @abstractmethod
    def _chosen(self, crafting: Crafting, count: int) -> np.ndarray:
        """``(n_fakes, count)`` fillers, distinct in each row and no targets; ``count`` is 1 or more."""

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets, n_fakes = crafting.data, crafting.targets, crafting.n_fakes
        count = self._filler_count(data, len(targets))
        refuse_too_large(n_fakes, len(targets) + count)
        fillers = self._chosen(crafting, count) if count else np.zeros((n_fakes, 0), dtype=np.int64)
        profile, items = clicked(targets, fillers)
        return FakeProfiles(profile, items, np.full(len(items), data.highest), n_fakes, targets)


def clicked(targets: np.ndarray, fillers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the fake user, from 0, and item of each row: targets, then one row of ``fillers``."""
    items = np.hstack([np.tile(targets, (len(fillers), 1)), fillers])
    return np.repeat(np.arange(len(fillers)), items.shape[1]), items.ravel()
