"""WRMF by alternating least squares (Hu, Koren and Volinsky 2008)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import scipy.sparse as sp
import torch
from torch import Tensor

from recpoison.algebra.conjugate_rows import ConjugateRows
from recpoison.algebra.normal_equations import group_rows, solve_rows
from recpoison.data.interactions import Interactions
from recpoison.models.base import Model, Monitor, Params
from recpoison.progress import Progress
from recpoison.ranges import check_ranges, ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import normal
from recpoison.training.trainer import Diverged

SOLVERS = ("cholesky", "cg")


@dataclass(frozen=True)
class WRMFALS(Model):
    """Minimises the weighted squared error over all users and items by half sweeps, users first.

    Observed pairs count ``weight`` and should score 1, all others count 1 and should score 0; pairs count once, ratings
    are not looked at. ``weight`` is the confidence 1 + alpha: the injection paper's 20 is alpha 19 in its authors'
    code. The ridge is not scaled by the number of a row's entries. Params: ``user`` and ``item``, ``(rows,
    embedding_size)``.

    Args:
        embedding_size: Length of an embedding.
        weight: Weight of an observed pair.
        regularization: Ridge.
        sweeps: Times that users and then items are solved for.
        initial_std: Standard deviation of the items' initial values.
        solver: ``cholesky`` solves each equation exactly; ``cg`` takes three steps of conjugate gradients from where
            the last sweep left the row (users begin at 0): a fraction of the time, for a loss that falls a bit later.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = WRMFALS(embedding_size=1, regularization=0.1)
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    reads_values: ClassVar[bool] = False
    has_epochs: ClassVar[bool] = False

    embedding_size: int = ranged(32, low=1)
    weight: float = ranged(5.0, low=1.0, note=" (unobserved pairs weigh 1)")
    regularization: float = ranged(5.0, low=0.0, open_low=True)
    sweeps: int = ranged(10, low=1)
    initial_std: float = ranged(0.1, low=0.0, open_low=True)
    solver: str = ranged("cholesky", words=SOLVERS)

    def __post_init__(self) -> None:
        check_ranges(self, "model")

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Sweep; nothing but the items' initial values is random. A sweep is no epoch: the monitor is not asked.

        Raises:
            Diverged: If the ridge is too small for the weight, so that rounding leaves an equation without a solution.
        """
        return self.sweep(data.seen, self.initial_items(data.n_items, seeds).to(device), progress)

    def initial_items(self, n_items: int, seeds: Seeds) -> Tensor:
        """``(n_items, embedding_size)`` on the CPU, from the stream ``init``."""
        return normal(seeds.child("init").numpy("item"), n_items, self.embedding_size, self.initial_std)

    def sweep(self, seen: sp.csr_matrix, item: Tensor, progress: Progress, setting: str = "model") -> Params:
        """All sweeps over ``seen`` ``(n_users, n_items)`` from the items ``item``, in their type and where they are.

        Raises:
            Diverged: As ``fit``; ``setting`` is how the user names this model.
        """
        users, items = self._half(seen, item.device), self._half(seen.T.tocsr(), item.device)
        user = item.new_zeros(seen.shape[0], self.embedding_size)
        for sweep in range(self.sweeps):
            try:
                user = users(user, item)
                item = items(item, user)
                if self.solver == "cg" and not bool(torch.isfinite(item).all()):  # users that are no numbers show here
                    raise torch.linalg.LinAlgError
            except torch.linalg.LinAlgError as error:
                raise Diverged(
                    f"sweep {sweep + 1} of {self.sweeps} met an equation without a solution: raise "
                    f"{setting}.regularization (now {self.regularization:g}) or lower {setting}.weight "
                    f"(now {self.weight:g})"
                ) from error
            progress.step(sweep + 1, self.sweeps)
        return {"user": user, "item": item}

    def _half(self, matrix: sp.csr_matrix, device: torch.device) -> Callable[[Tensor, Tensor], Tensor]:
        """A half sweep: from the rows before and the factors of the columns to the rows after."""
        if self.solver == "cg":
            rows = ConjugateRows(matrix, device)
            return lambda before, factors: rows.improved(before, factors, self.weight, self.regularization)
        groups = group_rows(matrix, device)
        return lambda before, factors: solve_rows(factors, groups, len(before), self.weight, self.regularization)

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Dot products ``(len(users), n_items)``."""
        return params["user"].index_select(0, users) @ params["item"].T
