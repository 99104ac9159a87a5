"""How far adversarial training shifts the triples of each user: VAT's and PamaCF's magnitudes (2024)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.ranges import check_ranges, ranged

RULES = ("loss", "mean_loss", "square", "length")
SMALL = 1e-9  # in both codes' divisions


@dataclass(frozen=True)
class Magnitude:
    """A factor of the shift for each user of a batch, between ``ceiling`` times 0.27 and ``ceiling``.

    It is ``ceiling`` times sigmoid(ratio - 1). By ``loss`` (VAT) the ratio is the mean over the batch's users of their
    losses to the user's own, each the sum over the user's triples in the batch: who is drawn twice looks less
    vulnerable; ``mean_loss`` takes each user's mean. By ``square`` (PamaCF's code) it is the squared length of the
    user's vector to the mean over the batch's rows; by ``length`` the plain length. Users who are alike have
    ``ceiling`` / 2.

    Args:
        rule: ``loss``, ``mean_loss``, ``square`` or ``length``.
        ceiling: The largest factor; lambda in both papers.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> values = torch.tensor([[[1.0], [1.0], [3.0]], [[1.0]] * 3, [[0.0]] * 3])  # the last user is fitted best
        >>> Magnitude("loss", 2.0).factors(torch.tensor([0, 1, 2]), values, 3).round(decimals=2).tolist()
        [0.85, 0.85, 1.98]
    """

    rule: str = ranged(words=RULES)
    ceiling: float = ranged(2.0, low=0.0, open_low=True)

    def __post_init__(self) -> None:
        check_ranges(self, "magnitude")

    def factors(self, users: Tensor, values: Tensor, n_users: int) -> Tensor:
        """The factor of each triple, ``(n,)``; the host does not wait.

        Args:
            users: ``(n,)`` int64.
            values: ``(3, n, embedding_size)``: users', positives' and negatives' rows.
            n_users: Users of the data.
        """
        p, q, r = values
        if self.rule in ("square", "length"):
            own = p.square().sum(1) if self.rule == "square" else p.norm(dim=1)
            return self.ceiling * torch.sigmoid(own / (own.mean() + SMALL) - 1)
        losses = F.softplus(-(p * (q - r)).sum(1))
        table = torch.zeros((2, n_users), dtype=losses.dtype, device=losses.device)
        occurrences, sums = table.index_add_(1, users, torch.stack([torch.ones_like(losses), losses]))[:, users]
        own = sums if self.rule == "loss" else sums / occurrences
        mean = (own / occurrences).sum() / occurrences.reciprocal().sum()  # over the batch's distinct users
        return self.ceiling * torch.sigmoid(mean / (own + SMALL) - 1)
