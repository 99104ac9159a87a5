"""What profile attacks with fillers share, and the heuristic ones: targets and selected items rated highest."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recpoison.attacks.base import Crafting, ProfileAttack
from recpoison.attacks.profiles.fillers import draw_fillers
from recpoison.changes import FakeProfiles
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.memory import refuse_beyond_memory
from recpoison.ranges import ranged


@dataclass(frozen=True, kw_only=True)
class SizedAttack(ProfileAttack):
    """Every fake user rates the targets, perhaps selected items, and a number of fillers besides.

    Args:
        fillers: Items of a fake user besides targets and selected items; ``mean`` makes the whole profile as long as
            the mean profile of users who have one (the APT paper adds the targets on top: give that number instead).

    Raises:
        ConfigError: If ``fillers`` is neither a number from 0 nor ``mean``.
    """

    fillers: int | str = ranged("mean", low=0, words=("mean",))

    def _filler_count(self, data: Interactions, n_pushed: int) -> int:
        if isinstance(self.fillers, str):
            return max(0, data.mean_profile - n_pushed)
        free = data.n_items - n_pushed
        if self.fillers > free:
            raise ConfigError(
                f"attack.fillers is {self.fillers}, but the catalogue has {data.n_items} items, "
                f"{n_pushed} of them targets or selected: give {free} or less"
            )
        return self.fillers


@dataclass(frozen=True, kw_only=True)
class FilledAttack(SizedAttack):
    """One whose fillers have ratings of their own.

    Args:
        round_ratings: Whether filler ratings are snapped to the scale's grid. AUSH's code leaves them continuous, which
            no real rating form would accept. They never leave the scale either way.
    """

    round_ratings: bool = True

    def _on_scale(self, ratings: np.ndarray, scale: Scale) -> np.ndarray:
        return scale.snap(ratings) if self.round_ratings else ratings.clip(scale.low, scale.high)


@dataclass(frozen=True, kw_only=True)
class FillerAttack(FilledAttack):
    """Every fake user rates all targets and the selected items highest, and fillers of its own in some other way.

    An attack writes ``_filler_values``, ``_selected`` where it selects items, and ``_fillers`` where it chooses them.
    On implicit data every value is 1 and only the choice of items differs between attacks. Fillers not chosen are
    uniform over the other items without replacement. They depend on the seed, not on the attack, so that attacks of
    equal size share them and differ in nothing else (as in AUSH's comparison).
    """

    def idle(self, parts: Together) -> dict[str, str]:
        """How ratings are rounded, where there are none."""
        why = self._without_ratings(parts)
        return super().idle(parts) | ({"round_ratings": why} if why else {})

    def remarks(self, parts: Together) -> list[str]:
        """With which attacks it coincides, where nobody looks at ratings."""
        return super().remarks(parts) + self._coincides(parts)

    def _coincides(self, parts: Together) -> list[str]:
        model = type(parts.model).__name__
        coincide = f"attacks that choose the same items have the same numbers: {self._alike}"
        if not parts.dataset.has_ratings:
            return [f"these data have no ratings, so {coincide}; model=mf on data with ratings tells them apart"]
        if parts.model.reads_values or parts.defense.reads_values:
            return []
        return [f"{model} does not look at ratings, so {coincide}; model=mf tells them apart"]

    @property
    def _alike(self) -> str:
        """Which attacks choose the same items."""
        return "random, average and rand_filter"

    def _without_ratings(self, parts: Together) -> str:
        """Why fillers have no ratings; empty where they have."""
        return "fillers is 0" if self.fillers == 0 else "" if parts.dataset.has_ratings else "the data have no ratings"

    def _selected(self, data: Interactions, targets: np.ndarray) -> np.ndarray:
        """Items besides the targets that every fake user rates highest, ``(n_selected,)``; none here."""
        return np.zeros(0, dtype=np.int64)

    def _fillers(
        self, data: Interactions, pushed: np.ndarray, n_fakes: int, count: int, rng: np.random.Generator
    ) -> np.ndarray:
        """``(n_fakes, count)`` fillers, none of them ``pushed``."""
        return draw_fillers(data.n_items, pushed, n_fakes, count, rng)

    @abstractmethod
    def _filler_values(self, data: Interactions, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Ratings of the fillers ``items`` ``(n_fakes, fillers)`` before the scale cuts them; explicit data only."""

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        data, targets, n_fakes, seeds, _, _ = crafting
        pushed = np.concatenate([targets, self._selected(data, targets)])
        count = self._filler_count(data, len(pushed))
        refuse_too_large(n_fakes, len(pushed) + count)
        fillers = self._fillers(data, pushed, n_fakes, count, seeds.numpy("fillers"))
        items = np.hstack([np.tile(pushed, (n_fakes, 1)), fillers])
        values = np.ones(items.shape)
        if data.scale is not None:
            drawn = self._filler_values(data, fillers, seeds.numpy("values"))
            values[:, : len(pushed)] = data.scale.high
            values[:, len(pushed) :] = self._on_scale(drawn, data.scale)
        return of_rows(items, values, targets)


def of_rows(
    items: np.ndarray | Sequence[np.ndarray], values: np.ndarray | Sequence[np.ndarray], targets: np.ndarray
) -> FakeProfiles:
    """Fake users from the items and ratings of each: matrices ``(n_fakes, length)``, or arrays of any lengths."""
    profile = np.repeat(np.arange(len(items)), [len(row) for row in items])
    return FakeProfiles(profile, np.concatenate(items), np.concatenate(values), len(items), targets)


def refuse_too_large(n_fakes: int, length: int) -> None:
    """Refuse fake users whose rows do not fit: an item, a value, a number and their copies, 8 bytes each."""
    refuse_beyond_memory(
        48 * n_fakes * length,
        f"{n_fakes} fake users with {length} items each",
        "lower attack.n_fake_users, attack.budget or attack.fillers",
    )


def check_selected(n_selected: int, data: Interactions, targets: np.ndarray) -> None:
    """Refuse to select more items than there are besides the targets.

    Raises:
        ConfigError: If there are too few.
    """
    free = data.n_items - len(targets)
    if n_selected > free:
        raise ConfigError(
            f"attack.n_selected is {n_selected}, but the catalogue has {data.n_items} items, "
            f"{len(targets)} of them targets: give {free} or less"
        )
