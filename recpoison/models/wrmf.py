"""WRMF (Hu, Koren and Volinsky 2008), trained as in the injection paper: Adam on the weighted loss over all cells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.gram import whole_matrix_gradient, whole_matrix_loss
from recpoison.algebra.observed import Observed
from recpoison.algebra.unroll import Tensors
from recpoison.data.interactions import Interactions
from recpoison.models.base import DataLoss, Params
from recpoison.models.whole_matrix import WholeMatrixModel
from recpoison.ranges import ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import factor_tables
from recpoison.training.row_batches import Rows
from recpoison.training.trainer import Trainer


def _adam() -> Trainer:
    return Trainer(100, 2048, optimizer="adam", learning_rate=0.05, initial_accumulator=0.0, eps=1e-8)


@dataclass(frozen=True)
class WRMF(WholeMatrixModel):
    """A user's score of an item is p_u·q_i; every cell counts, a seen one ``weight`` times (injection paper, eq. 5).

    The loss of a batch of users is the sum over these users and all items of w (x - p.q)², with x and w 1 and
    ``weight`` where the user has the item, else 0 and 1; ratings are not looked at. The matrix is never built
    (``algebra/gram.py``), so a step costs what the interactions cost. Params: ``user`` ``(n_users, embedding_size)``
    and ``item`` ``(n_items, embedding_size)``.

    Size, epochs and rate were chosen on ml_100k's validation row; the authors' for Gowalla (13,149 users) are
    ``victim=gowalla_wrmf``. ``trainer.batch_size`` counts users; a batch that holds them
    all is taken in order, and every step is then on the whole data.

    Args:
        embedding_size: Length of an embedding.
        initial_std: Standard deviation of the normal initial values.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = WRMF(embedding_size=1, trainer=Trainer(epochs=100, optimizer="adam", learning_rate=0.05))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    tables: ClassVar[tuple[str, ...]] = ("user", "item")
    samples: ClassVar[bool] = False

    embedding_size: int = ranged(64, low=1)
    initial_std: float = ranged(0.1, low=0.0, open_low=True)
    regularization: float = field(default=1e-5, kw_only=True)
    trainer: Trainer = field(default_factory=_adam, kw_only=True)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The two tables."""
        return self.tables

    @property
    def latent_size(self) -> int:
        """Length of an embedding."""
        return self.embedding_size

    def by_row(self, seen: Observed) -> Observed:
        """Batches are of users."""
        return seen

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """Both tables, each from its own stream of ``init``."""
        return factor_tables("normal", data, self.embedding_size, self.initial_std, seeds)

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Sum over the batch's users and all items of w (x - p.q)², without ``regularization``.

        Args:
            params: The two tables.
            batch: Users ``(n,)``, and where in the third ``(n + 1,)`` each user's seen items begin.
        """
        users, indptr, items = batch
        observed = Observed(indptr, items, len(params["item"]))
        # eq. 5's squares; its lambda is half of ``regularization``, which the optimiser adds as weight decay
        return whole_matrix_loss(params["user"].index_select(0, users), params["item"], observed, self.weight)

    def gradient(
        self, tables: Tensors, seen: Observed, rows: Rows | None, dense: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Gradient of the loss of the users ``rows`` in both tables."""
        p, q = tables
        if rows is None:
            return whole_matrix_gradient(p, q, seen, self.weight, dense)
        users, n_real = rows.tensor, int(np.searchsorted(rows.on_host, seen.n_rows))
        real = seen.take(users[:n_real], rows.on_host[:n_real])
        values = None if dense is None else dense.index_select(0, users[n_real:] - seen.n_rows)
        g_rows, g_q = whole_matrix_gradient(p.index_select(0, users), q, real, self.weight, values)
        return torch.zeros_like(p).index_copy(0, users, g_rows), g_q

    def factors(self, tables: Tensors, seen: Observed, dense: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The tables, which depend on no data but by training."""
        return tables[0][: seen.n_rows], tables[1]

    def data_loss(self, data: Interactions, seeds: Seeds, device: torch.device) -> DataLoss:
        """The loss of all users, without ``regularization``; nothing is left to chance."""
        return _AllCells(self, Observed.of(data.seen, device))

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Dot products ``(len(users), n_items)``."""
        return params["user"].index_select(0, users) @ params["item"].T


class _AllCells(DataLoss):
    def __init__(self, model: WRMF, observed: Observed) -> None:
        self.model, self.observed = model, observed

    def gradient(self, params: Params, draw: int = 0) -> tuple[float, Params]:
        tables = params["user"].detach(), params["item"].detach()
        loss = whole_matrix_loss(*tables, self.observed, self.model.weight)
        g_user, g_item = self.model.gradient(tables, self.observed, None)
        return float(loss), {"user": g_user, "item": g_item}
