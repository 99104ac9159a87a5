"""Adversarial poisoning training (Wu, Lian, Ge, Zhu, Chen and Yuan, SIGIR 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from recpoison.defenses.adversarial_poisoning import AdversarialPoisoning
from recpoison.defenses.erm_users import NOBODY, Renewal
from recpoison.idle import Together
from recpoison.ranges import ranged
from recpoison.training.influence import RISKS, InverseCurvature, influence_of_ratings, risk_slopes, shortest_users

SCALINGS = ("minmax", "none")
_CELLS = 1 << 22  # random keys held at once: 32 MiB


@dataclass(frozen=True, kw_only=True)
class APT(AdversarialPoisoning):
    """ERM users rate items whose ratings lower the empirical risk, by an influence function (algorithm 1).

    The influence of item i is what a unit of its rating by a copy of the reference users does to the risk (equation
    5). Of the items whose influence I is negative each ERM user draws ``fillers`` without replacement, with probability
    proportional to exp(-``temperature`` I). Where fewer are negative than asked for, ERM users have all of them, and a
    note says so (the authors' code stops with an error).

    Where paper and code differ, a setting has both: ``erm_users`` and ``n_erm_users``, ``risk``, ``reference_users``,
    ``scaling``, and the ``inverse``, which in the code is lissa on diagonal blocks without damping.

    Args:
        temperature: How much likelier items of greater influence are; 0: all negative ones are alike.
        scaling: ``minmax`` (the code: negative influences are mapped to [-1, 0], so that a temperature means the same
            everywhere) or ``none`` (the paper's words).
        risk: ``sigmoid_sum`` (the paper) or ``sigmoid_mean`` (the code).
        reference_users: How many of the shortest rows of ratings are copied: 1 in equation 5, 10 in the code; what they
            have not rated counts as 0.
        inverse: How the inverse curvature is taken.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1], [0, 1, 0, 2], [4, 2, 4, 2], n_users=2, n_items=3, scale=Scale(1, 5))
        >>> model = MF(embedding_size=2, trainer=Trainer(epochs=5, batch_size=4))
        >>> fitted = APT(erm_users=0.5, fillers=1).fit(model, data, Seeds(0), torch.device("cpu"), Progress())
        >>> fitted.params["user"].shape, fitted.data.n_users  # the ERM user is gone
        (torch.Size([2, 2]), 2)
    """

    temperature: float = ranged(20.0, low=0.0)
    scaling: str = ranged("minmax", words=SCALINGS)
    risk: str = ranged("sigmoid_sum", words=RISKS)
    reference_users: int = ranged(10, low=1)
    inverse: InverseCurvature = field(default_factory=InverseCurvature)

    def idle(self, parts: Together) -> dict[str, str]:
        """How influence is scaled, where its size has no say."""
        return super().idle(parts) | ({} if self.temperature else {"scaling": "temperature is 0, so size has no say"})

    def influence(self, renewal: Renewal) -> np.ndarray:
        """``(n_items,)`` change of the risk for a unit of an item's rating (equation 5)."""
        device = renewal.params["user"].device
        rows = (torch.from_numpy(column).long() for column in (renewal.plain.users, renewal.plain.items))
        users, items = (column.to(device, non_blocking=True) for column in rows)
        ratings = torch.from_numpy(renewal.plain.ratings).to(device, non_blocking=True)
        here = self.inverse.at(users, items, ratings, renewal.params, renewal.plain.regularization)
        slopes = here.weighted(risk_slopes(here.errors, self.risk))
        x = self.inverse.solve(here, slopes, renewal.seeds, renewal.progress, "defense.inverse")
        references = shortest_users(renewal.data, self.reference_users, renewal.seeds.numpy("references"))
        found: Tensor = influence_of_ratings(here, x, torch.from_numpy(references).to(device, non_blocking=True))
        return found.double().cpu().numpy()

    def choose(self, renewal: Renewal) -> np.ndarray:
        """Items of negative influence, the more negative the likelier."""
        influence = self.influence(renewal)
        helpful = np.flatnonzero(influence < 0)
        n_erm, length = renewal.shape
        if len(helpful) < length:
            renewal.progress.note(
                f"apt: ratings of only {len(helpful)} items lower the risk, so each ERM user has these instead of "
                f"{length} (defense.fillers)"
            )
        items = np.full((n_erm, length), NOBODY)
        drawn = draw_weighted(
            -self.temperature * self.scaled(influence[helpful]), n_erm, length, renewal.seeds.numpy("items")
        )
        items[:, : drawn.shape[1]] = helpful[drawn]
        return items

    def scaled(self, influence: np.ndarray) -> np.ndarray:
        """Negative influences as they are, or mapped to [-1, 0]."""
        if self.scaling == "none" or len(influence) == 0:
            return influence
        span = np.ptp(influence)
        return (influence - influence.max()) / (span if span else 1.0)


def draw_weighted(log_weights: np.ndarray, n_rows: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """For each row ``count`` distinct places, or all, one after another with probability proportional to their weight.

    The largest of log weight plus Gumbel noise are such a draw (Efraimidis and Spirakis 2006), whatever the weights'
    range.

    Returns:
        ``(n_rows, min(count, len(log_weights)))``, ascending in each row.
    """
    count = min(count, len(log_weights))
    if count == len(log_weights):
        return np.tile(np.arange(count), (n_rows, 1))
    block = max(1, _CELLS // len(log_weights))
    drawn = np.empty((n_rows, count), dtype=np.int64)
    for start in range(0, n_rows, block):
        keys = log_weights + rng.gumbel(size=(min(block, n_rows - start), len(log_weights)))
        drawn[start : start + block] = np.sort(np.argpartition(-keys, count - 1, axis=1)[:, :count], axis=1)
    return drawn
