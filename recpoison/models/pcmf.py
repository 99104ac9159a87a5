"""PCMF: one matrix instead of two (Bampis, Rusu, Hajj and Bovik, Asilomar 2017), a defense in APT's tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.idle import Together
from recpoison.models.base import Monitor, Params
from recpoison.models.trained import TrainedModel
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import normal
from recpoison.training.optimizers import State, slots, step
from recpoison.training.ratings import rating_matrix
from recpoison.training.trainer import BatchObjective, Trainer


def _adam() -> Trainer:
    return Trainer(100, optimizer="adam", learning_rate=0.01, initial_accumulator=0.0, eps=1e-8)


@dataclass(frozen=True)
class PCMF(TrainedModel):
    """Scores are U UᵀY, from one learned matrix U and the ratings Y themselves (APT, section 5.1.4).

    Y ``(n_users, n_items)`` holds the ratings as shares of the scale's maximum (ones on implicit data; the mean where a
    user rated an item twice) and 0 where there is none. The error is that of the ratings there are: with it on all
    cells, U would be Y's leading singular vectors. It is computed as U (UᵀY), so nothing of the size of UUᵀ or of all
    scores is built. A target needs raters who look like its audience: an item's score is a weighted sum of its own
    ratings. Fake users are rows of Y, in training and when it scores.

    A wide U could copy Y, every UUᵀ = I does so; its width and ``regularization`` are what makes it generalise. APT
    prints U as n x m and gives no more: the width, regulariser, initial values and trainer here are ours, chosen on
    ml_100k's held-out items. Every step is on all ratings, so ``trainer.batch_size`` plays no part.

    Params: ``user`` ``(n_users, embedding_size)``, U; a fit adds ``item`` ``(n_items, embedding_size)``, YᵀU, so that a
    score is a dot product.

    Args:
        embedding_size: Columns of U.
        regularization: Weight of half the squared length of U.
        initial_std: Standard deviation of U's initial values.
        trainer: How the loss, a mean over all ratings, is minimised; an epoch is one step.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = PCMF(embedding_size=1, trainer=Trainer(epochs=100, optimizer="adam", learning_rate=0.1))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    embedding_size: int = ranged(64, low=1)
    regularization: float = ranged(2e-3, low=0.0)
    initial_std: float = ranged(0.01, low=0.0, open_low=True, note=" (0 is no start)")
    trainer: Trainer = field(default_factory=_adam)

    def __post_init__(self) -> None:
        check_ranges(self, "model")
        if self.trainer.backend == "numba":
            raise ConfigError("model.trainer.backend=numba trains on pairs, and PCMF on a matrix: set auto")

    def idle(self, parts: Together) -> dict[str, str]:
        """What belongs to batches, of which there are none."""
        whole = "PCMF takes one step an epoch, on all ratings"
        return super().idle(parts) | {
            "trainer.batch_size": whole,
            "trainer.drop_last": whole,
            "trainer.backend": "PCMF has no other way to train",
        }

    def remarks(self, parts: Together) -> list[str]:
        """That there is little to learn where every value is the same."""
        if parts.dataset.has_ratings:
            return []
        return [
            "PCMF fits observed values, which are all 1 without ratings: nothing tells it what a user would not take"
        ]

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """U, from the stream ``init``."""
        return {"user": normal(seeds.child("init").numpy("user"), data.n_users, self.embedding_size, self.initial_std)}

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean over the ratings of (UUᵀY - Y)², and the regulariser.

        Args:
            params: U.
            batch: Users, items and ratings as shares of the scale's maximum of all of Y, each pair once.
        """
        users, items, ratings = batch
        p = params["user"].index_select(0, users)
        item = p.new_zeros(int(items.max()) + 1, p.shape[1]).index_add(0, items, ratings.unsqueeze(1) * p)
        error = (p * item.index_select(0, items)).sum(1) - ratings
        return error.square().mean() + self.regularization / 2 * params["user"].square().sum()

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> PCMFObjective:
        """What ``fit`` minimises on ``data``; nothing is left to chance."""
        return PCMFObjective(Ratings(data, device), self.regularization)

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Train from ``init``.

        Raises:
            Diverged: If a number is no longer finite.
        """
        params = super().fit(data, seeds, device, progress, monitor)
        return params | {"item": Ratings(data, device).by_item(params["user"])}

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Rows of U (UᵀY), ``(len(users), n_items)``: ratings as shares of the scale's maximum."""
        user = params["user"]
        item = params["item"] if "item" in params else Ratings(data, user.device).by_item(user)
        return user.index_select(0, users) @ item.T


class Ratings:
    """Y as a sparse matrix: which cells, and the share of the scale's maximum in each.

    Args:
        data: Ratings, or implicit feedback.
        device: Where the numbers go.
    """

    def __init__(self, data: Interactions, device: torch.device) -> None:
        matrix = rating_matrix(data)
        self.seen = Observed.of(matrix, device)
        self.values = torch.from_numpy(matrix.data.astype(np.float32)).to(device)
        self.columns, self.order = self.seen.transposed

    def by_item(self, user: Tensor) -> Tensor:
        """YᵀU, ``(n_items, embedding_size)``."""
        return self.columns.times(self.values[self.order], user)

    def gradient(self, user: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of squared errors, and its gradient in U.

        With E the errors, and 0 where there is no rating, d(UUᵀY) = dU UᵀY + U dUᵀ Y gives 2 [E YᵀU + Y EᵀU].
        """
        item = self.by_item(user)
        errors = self.seen.products(user, item) - self.values
        back = self.columns.times(errors[self.order], user)
        gradient = self.seen.times(errors, item) + self.seen.times(self.values, back)
        return errors.double().square().sum(), 2 * gradient


class PCMFObjective(BatchObjective):
    """The mean squared error of all ratings and the regulariser; an epoch is one step, and shows the mean before it."""

    def __init__(self, ratings: Ratings, regularization: float) -> None:
        self.ratings, self.regularization = ratings, regularization

    def inputs(self) -> object:
        """Ratings and regulariser."""
        seen = self.ratings.seen
        return seen.indptr, seen.indices, self.ratings.values, self.regularization

    def batches(self, trainer: Trainer, epoch: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Users, items and ratings of all pairs."""
        seen = self.ratings.seen
        yield seen.rows.to(device), seen.indices.to(device), self.ratings.values.to(device)

    def epoch(self, trainer: Trainer, state: State, epoch: int) -> float:
        """One step with the gradient by hand; returns the mean squared error before it."""
        user, n = slots(state, "param")["user"], max(1, len(self.ratings.values))
        squares, gradient = self.ratings.gradient(user)
        gradient = gradient.div_(n).add_(user, alpha=self.regularization)
        step(trainer.optimizer, state, {"user": gradient}, trainer.learning_rate, trainer.eps)
        return float(squares) / n
