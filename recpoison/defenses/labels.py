"""Where a defense that learns has its labels from: attacks that it simulates, some known fake users, or the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.profiles.bandwagon import BandwagonAttack
from recpoison.attacks.profiles.base import FillerAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Part, Together
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds

SOURCES = ("simulated", "known", "truth")
_SELECTED = 3  # popular items of a simulated bandwagon profile
_STREAMS = Seeds(0).child("labels")  # a child, so that no fake user of a run is drawn from the same stream


@dataclass(frozen=True)
class Labels(Part):
    """Says of some users that they are fake and of others that they are genuine.

    - ``simulated``: the defender adds profiles of their own to the rows, half by ``average`` and half by ``bandwagon``,
      of mean length and with a random target for each half; all who were there are called genuine, and true fake users
      among them wrongly so. No oracle.
    - ``known``: a share of the true fake users is known to be fake, and nobody else is: an oracle in part.
    - ``truth``: everybody is known: an oracle, as in the published code.

    Args:
        source: One of the three.
        simulated: Simulated profiles as a share of the users, rounded down, two at least.
        known: Share of the fake users who are known, rounded up.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], [1] * 5, n_users=3, n_items=5)
        >>> labelled, fake, genuine = Labels("truth").of(data, n_real=2)
        >>> fake.tolist(), genuine.tolist()
        ([False, False, True], [True, True, False])
        >>> Labels("simulated").of(data)[1].tolist()
        [False, False, False, True, True]
    """

    source: str = ranged("simulated", words=SOURCES)
    simulated: float = ranged(0.05, low=0.0, high=1, open_low=True)
    known: float = ranged(0.1, low=0.0, high=1, open_low=True)

    def __post_init__(self) -> None:
        check_ranges(self, "labels")

    @property
    def told(self) -> bool:
        """Whether the truth has a say."""
        return self.source != "simulated"

    def idle(self, parts: Together) -> dict[str, str]:
        """The shares of other sources."""
        found = {name: f"source is {self.source}" for name in ("simulated", "known") if name != self.source}
        if self.told and not parts.attack.poisons:
            found["known"] = "no user is fake"
        return super().idle(parts) | found

    def said_of(self, setting: str, parts: Together) -> list[str]:
        """The sentence under a table about ``setting``."""
        if not parts.attack.poisons:
            return []
        said = {
            "simulated": "learns from attacks that the defender simulates, and calls all others genuine",
            "known": f"tells who {self.known:.0%} of the fake users are: an oracle in part, for no defender knows",
            "truth": "tells who is fake: an oracle, for no defender knows",
        }
        return [f"{setting}.source={self.source} {said[self.source]}"]

    def of(self, data: Interactions, n_real: int | None = None) -> tuple[Interactions, np.ndarray, np.ndarray]:
        """Rows, perhaps with simulated users after all others, and masks of who is called fake and who genuine.

        Users without rows are called neither.

        Args:
            data: Whom to label.
            n_real: How many users, the first, are genuine, which an oracle is told.

        Raises:
            ConfigError: If an oracle is not told.
        """
        if not self.told:
            labelled = _with_simulated(data, max(1, int(self.simulated * data.n_users + 1e-9) // 2))
            fake = np.arange(labelled.n_users) >= data.n_users
        elif n_real is None:
            raise ConfigError(
                f"labels.source is {self.source}, but nobody has said what was before the attack: give fit these rows, "
                "or set it to simulated"
            )
        else:
            labelled, fake = data, np.arange(data.n_users) >= n_real
            if self.source == "known":
                fake = _some(fake, self.known)
        has_rows = labelled.user_counts > 0
        return labelled, fake & has_rows, ~fake & has_rows


def _some(fake: np.ndarray, share: float) -> np.ndarray:
    """A mask of a ``share`` of the ``fake`` users, drawn."""
    users = np.flatnonzero(fake)
    drawn = _STREAMS.numpy("known").choice(users, int(np.ceil(share * len(users) - 1e-9)), replace=False)
    return np.isin(np.arange(len(fake)), drawn)


def _with_simulated(data: Interactions, of_each: int) -> Interactions:
    """``data`` with ``of_each`` profiles of either attack after the others."""
    device, progress = torch.device("cpu"), Progress()
    targets = Targets("random", count=1)
    selected = min(_SELECTED, data.n_items - 1)
    kinds: list[FillerAttack] = [AverageAttack(targets=targets, n_fake_users=of_each)]
    if selected:
        kinds.append(BandwagonAttack(targets=targets, n_fake_users=of_each, n_selected=selected))
    rows = data
    for attack in kinds:
        seeds = _STREAMS.child(type(attack).__name__)
        rows = attack.poison(data, attack.choose_targets(data, seeds), seeds, device, progress).apply(rows)
    return rows
