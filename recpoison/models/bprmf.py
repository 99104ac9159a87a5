"""BPR-MF (Rendle, Freudenthaler, Gantner and Schmidt-Thieme 2009): matrix factorisation trained on pairs of items."""

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
from recpoison.training.objectives import BPRObjective, bpr_of_tables
from recpoison.training.trainer import Trainer
from recpoison.training.whole_data import BPRDataLoss

INITIALS = ("truncated_normal", "xavier")


@dataclass(frozen=True)
class BPRMF(TrainedModel):
    """A user's score of an item is p_u·q_i, without biases, as in the code of the APR paper (He et al. 2018).

    Every row of the data is a positive, whatever its rating. Params: ``user`` ``(n_users, embedding_size)`` and
    ``item`` ``(n_items, embedding_size)``.

    Args:
        embedding_size: Length of an embedding.
        regularization: Weight of half the squared length of the three rows of a triple.
        initial: ``truncated_normal`` (cut at two standard deviations) or ``xavier``.
        initial_std: Standard deviation of the normal before the cut; ``xavier`` has its own.
        trainer: How the loss, a sum over the batch, is minimised.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = BPRMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    tables: ClassVar[tuple[str, ...]] = ("user", "item")
    reads_values: ClassVar[bool] = False

    embedding_size: int = ranged(64, low=1)
    regularization: float = ranged(0.0, low=0.0)
    initial: str = ranged("truncated_normal", words=INITIALS)
    initial_std: float = ranged(0.01, low=0.0, open_low=True)
    trainer: Trainer = field(default_factory=Trainer)

    def __post_init__(self) -> None:
        check_ranges(self, "model")

    def idle(self, parts: Together) -> dict[str, str]:
        """The spread of initial values that have their own."""
        if self.initial == "truncated_normal":
            return super().idle(parts)
        return super().idle(parts) | {"initial_std": f"initial is {self.initial}, which has its own"}

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Both tables, each from its own stream of ``init``."""
        return factor_tables(self.initial, data, self.embedding_size, self.initial_std, seeds)

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Sum over the batch (users, positives, negatives) of -ln sigmoid(s_ui - s_uj), with the regulariser."""
        # eq. 10 of the APR report; its regulariser only on the rows of the batch, each time they occur
        return bpr_of_tables(params, batch, self.regularization)

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The loss of every training pair with one negative each."""
        return BPRDataLoss(data, seeds, device, self.loss, self.regularization)

    def objective(self, data: Interactions, seeds: Seeds, device: torch.device) -> BPRObjective:
        """What ``fit`` minimises on ``data``, with draws from the stream ``train``."""
        return BPRObjective(data, seeds.child("train"), self.regularization)

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Dot products ``(len(users), n_items)``."""
        return params["user"].index_select(0, users) @ params["item"].T
