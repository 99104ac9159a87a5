"""MF on observed ratings: the victim of APT (Wu et al., SIGIR 2021) and TrialAttack (Wu et al., KDD 2021)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from recpoison.data.interactions import Interactions
from recpoison.idle import Together
from recpoison.models.base import DataLoss, Params
from recpoison.models.trained import TrainedModel
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import factor_tables
from recpoison.training.ratings import RatingObjective
from recpoison.training.trainer import Trainer
from recpoison.training.whole_data import ChunkedLoss, rating_chunks

INITIALS = ("xavier", "xavier_own", "normal")


def _authors_trainer() -> Trainer:
    return Trainer(epochs=25, batch_size=4096, optimizer="adagrad", learning_rate=10.0, initial_accumulator=0.1)


@dataclass(frozen=True)
class MF(TrainedModel):
    """A user's score of an item is p_u·q_i, fitted to the ratings that exist (APT, section 2.1 and Daftstone/APT).

    Ratings are divided by the scale's maximum (5; 8 for FilmTrust, whose half stars are doubled), as in the authors'
    code; on implicit data they are ones. There are no negatives, no biases and no global mean: the authors' code
    computes a mean and leaves it unused. An item without ratings stays at its initial value.

    Departure: by default the Xavier bound of the user table is the item table's, so that real users start equal with
    and without fake ones (``recpoison.training.initial_values``). The authors' bound, each table's own, is
    ``xavier_own``: 28 fake users beside 943 make real ones start 1.4% nearer to 0. Training starts near a saddle, so
    the bound counts: with the item table's, attacked HR@50 of ml_100k's targets is up to 0.16 higher.

    Params: ``user`` ``(n_users, embedding_size)`` and ``item`` ``(n_items, embedding_size)``.

    Args:
        embedding_size: Length of an embedding.
        regularization: Weight of half the squared length of the two rows of a rating.
        initial: ``xavier`` (uniform, both tables within the item table's bound), ``xavier_own`` (each within its own)
            or ``normal``.
        initial_std: Standard deviation of ``normal``; ``xavier`` has its own.
        trainer: How the loss, a mean over the batch, is minimised. Because it is a mean, the learning rate is large.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1], [0, 1, 0], [4, 2, 2], n_users=2, n_items=2, scale=Scale(1, 5))
        >>> model = MF(embedding_size=1, trainer=Trainer(epochs=300, optimizer="adam", learning_rate=0.1))
        >>> params = model.fit(data, Seeds(1), torch.device("cpu"), Progress())
        >>> round(5 * model.scores(params, data, torch.tensor([1]))[0, 1].item(), 2)  # of rank 1: 2 * 2 / 4
        1.0
    """

    tables: ClassVar[tuple[str, ...]] = ("user", "item")
    samples: ClassVar[bool] = False

    embedding_size: int = ranged(64, low=1)
    regularization: float = ranged(1e-12, low=0.0)
    initial: str = ranged("xavier", words=INITIALS)
    initial_std: float = ranged(0.1, low=0.0, open_low=True)
    trainer: Trainer = field(default_factory=_authors_trainer)

    def __post_init__(self) -> None:
        check_ranges(self, "model")

    def idle(self, parts: Together) -> dict[str, str]:
        """The spread of initial values that have their own."""
        if self.initial == "normal":
            return super().idle(parts)
        return super().idle(parts) | {"initial_std": f"initial is {self.initial}, which has its own"}

    def remarks(self, parts: Together) -> list[str]:
        """That there is nothing to learn where every value is the same."""
        if parts.dataset.has_ratings:
            return []
        return [
            "MF fits observed values, which are all 1 without ratings: nothing tells it what a user would not take, so "
            "its ranking is often poor"
        ]

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Both tables, each from its own stream of ``init``."""
        return factor_tables(self.initial, data, self.embedding_size, self.initial_std, seeds)

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean over the batch of (p_u·q_i - r)² with the regulariser.

        Args:
            params: Both tables.
            batch: Users, items and ratings as shares of the scale's maximum, ``(batch_size,)`` each.
        """
        users, items, ratings = batch
        p, q = params["user"].index_select(0, users), params["item"].index_select(0, items)
        # APT, eq. 1, as a mean; its regulariser only on the rows of the batch, each time they occur
        squares = p.square().sum(1) + q.square().sum(1)
        return (((p * q).sum(1) - ratings).square() + self.regularization / 2 * squares).mean()

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The squared error and regulariser of every rating, summed; nothing is left to chance."""
        return ChunkedLoss(
            lambda params, batch: self.loss(params, batch) * len(batch[0]), lambda draw: rating_chunks(data, device)
        )

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> RatingObjective:
        """What ``fit`` minimises on ``data``, with draws from the stream ``train``."""
        return RatingObjective(data, seeds.child("train"), self.regularization)

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Dot products ``(len(users), n_items)``: ratings as shares of the scale's maximum."""
        return params["user"].index_select(0, users) @ params["item"].T
