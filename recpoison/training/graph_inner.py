"""Training of ``GraphBPR`` as a function of fake users' values, in the graph and in the loss."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.joined_graph import JoinedGraph
from recpoison.algebra.observed import Observed
from recpoison.algebra.recomputed import recomputed
from recpoison.algebra.unroll import Tensors
from recpoison.data.interactions import Interactions
from recpoison.seeds import Seeds
from recpoison.training.graph_objective import GraphBPR
from recpoison.training.inner_problem import InnerProblem
from recpoison.training.objectives import bpr_slopes
from recpoison.training.row_batches import functional_optimizer
from recpoison.training.sampling import DevicePairs, Pairs
from recpoison.training.trainer import Trainer


class _Batch(NamedTuple):
    """A step's triples: rows of real ones in the joint table ``(3, n)``, and numbers of fake users' cells ``(m,)``.

    With each cell goes its negative item ``(m,)``.
    """

    real: Tensor
    cells: Tensor
    negatives: Tensor


class GraphInner(InnerProblem):
    """Steps down the mean of ``GraphBPR`` over batches in which fake users' pairs count by their values.

    Real pairs come as in a fit on them alone. Besides, every cell (f, j) of the fake users comes once an epoch, spread
    evenly over its batches, with an item l drawn uniformly, and the triple weighs x_fj (1 - x_fl) n_items / (n_items -
    d_f), d_f the sum of f's values: with zeros and ones it is left out where f has l, and what is left weighs as much,
    on average, as if l had been drawn among the items that f lacks. The loss is the mean by weight. With ``sampler:
    users`` the pairs of a fake user weigh together what a real user's do on average.

    Gradients are by hand: a propagation forth and one back, of which the way back keeps what goes in alone.

    Args:
        data: Real users.
        first: Initial tables of ``user``, real and fake, and ``item``, on the device.
        n_fakes: Fake users.
        loss: The loss.
        sampler: As in ``GraphObjective``.
        trainer: How it is minimised, by ``sgd`` or ``adam``; ``batch_size`` counts real pairs.
        seeds: Streams ``epoch/0``, ... of real pairs and ``fakes/0``, ... of cells.
    """

    def __init__(
        self, data: Interactions, first: Tensors, n_fakes: int, loss: GraphBPR, sampler: str, trainer: Trainer,
        seeds: Seeds,
    ) -> None:  # fmt: skip
        device = first[0].device
        self.first, self.loss, self.sampler, self.trainer, self.seeds = first, loss, sampler, trainer, seeds
        self.optimizer, self.seen = functional_optimizer(trainer, 0.0), Observed.of(data.seen, device)
        self.graph = JoinedGraph.of(data.seen, n_fakes, loss.layers, device)
        self.n_real, self.n_items, self.n_fakes = data.n_users, data.n_items, n_fakes
        self.pairs = DevicePairs.of(Pairs.of(data), device)
        self.n_rows = trainer.n_rows(len(self.pairs.users))
        self.per_epoch = -(-self.n_rows // trainer.batch_size)
        self.per_user = len(self.pairs.users) / max(1, int((data.user_counts > 0).sum()))
        self._epoch = lru_cache(maxsize=1)(self._draw)

    @property
    def kept_numbers(self) -> int:
        """Tables before and after the first propagation and before the second, and the triples, of 8 bytes a number."""
        triples = min(self.trainer.batch_size, self.n_rows) + self.n_fakes * self.n_items // self.per_epoch
        return 3 * sum(table.numel() for table in self.first) + 6 * triples

    def gradient(self, number: int, tables: Tensors, fakes: Tensor) -> Tensors:
        """That of the final tables, propagated once more."""
        table, batch = torch.cat(tables), self._batch(number)
        rows = self._rows(batch)
        on_first, on_final = self.loss.weights

        def of_final(final: Tensor, fakes: Tensor) -> Tensor:
            values = final.index_select(0, rows).view(3, len(rows) // 3, -1)
            slopes = bpr_slopes(values, on_final, self._weights(batch, fakes))[1]
            return torch.zeros_like(final).index_add(0, rows, slopes)

        def of_first(table: Tensor, fakes: Tensor) -> Tensor:
            weights = on_first * self._weights(batch, fakes).repeat(3)
            return table * weights.new_zeros(len(table)).index_add(0, rows, weights).unsqueeze(1)

        final = self.graph.mean(table, fakes)
        gradient = self.graph.mean(recomputed(of_final, final, fakes), fakes)
        if on_first:
            gradient = gradient + recomputed(of_first, table, fakes)
        return gradient.split([len(part) for part in tables])

    def factors(self, tables: Tensors, fakes: Tensor) -> tuple[Tensor, Tensor]:
        """Final rows of real users and items."""
        final = self.graph.mean(torch.cat(tables), fakes)
        return final[: self.n_real], final[self.n_real + self.n_fakes :]

    def _batch(self, number: int) -> _Batch:
        epoch, place = divmod(number, self.per_epoch)
        return self._epoch(epoch)[place]

    def _draw(self, epoch: int) -> list[_Batch]:
        draw = self.pairs.epoch if self.sampler == "pairs" else self.pairs.epoch_by_users
        users, *items = draw(self.seeds, epoch)
        nodes = torch.stack([users, *(column + self.n_real + self.n_fakes for column in items)])[:, : self.n_rows]
        generator, n_cells = self.seeds.numpy("fakes", epoch), self.n_fakes * self.n_items
        drawn = np.stack([generator.permutation(n_cells), generator.integers(self.n_items, size=n_cells)])
        cells = torch.from_numpy(drawn).to(nodes.device, non_blocking=True)
        ends = [place * n_cells // self.per_epoch for place in range(self.per_epoch + 1)]
        parts = [cells[:, start:stop] for start, stop in pairwise(ends)]
        return [_Batch(r, *c) for r, c in zip(nodes.split(self.trainer.batch_size, dim=1), parts, strict=True)]

    def _rows(self, batch: _Batch) -> Tensor:
        """``(3 * (n + m),)`` rows of all triples in the joint table: users, positives, negatives."""
        users, items = self.n_real + batch.cells // self.n_items, self.n_real + self.n_fakes
        fakes = torch.stack([users, items + batch.cells % self.n_items, items + batch.negatives])
        return torch.cat([batch.real, fakes], dim=1).flatten()

    def _weights(self, batch: _Batch, fakes: Tensor) -> Tensor:
        """``(n + m,)`` shares of the loss that the triples have; their sum is 1."""
        of_user = batch.cells // self.n_items
        values, clicked = fakes.flatten(), fakes.sum(1)
        own = self.n_items / (self.n_items - clicked).clamp_min(1)
        if self.sampler == "users":
            own = own * self.per_user / clicked.clamp_min(1)
        others = of_user * self.n_items + batch.negatives
        weights = values.index_select(0, batch.cells) * (1 - values.index_select(0, others))
        weights = weights * own.index_select(0, of_user)
        weights = torch.cat([weights.new_ones(batch.real.shape[1]), weights])
        return weights / weights.sum()
