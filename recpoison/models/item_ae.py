"""The item autoencoder of the injection paper (Tang, Wen and Wang 2020, section 3.3; Sedhain et al. 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.algebra.gram import whole_matrix_gradient, whole_matrix_loss
from recpoison.algebra.observed import Observed
from recpoison.algebra.unroll import Tensors
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.base import Monitor, Params, Watch
from recpoison.models.whole_matrix import WholeMatrixModel
from recpoison.progress import Progress
from recpoison.ranges import ranged
from recpoison.seeds import Seeds
from recpoison.training.initial_values import uniform
from recpoison.training.row_batches import Rows
from recpoison.training.trainer import Trainer

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "selu": F.selu}


def _adam() -> Trainer:
    return Trainer(100, 100_000, optimizer="adam", learning_rate=0.01, initial_accumulator=0.0, eps=1e-8)


@dataclass(frozen=True)
class ItemAE(WholeMatrixModel):
    """Reads an item's column (who has it, fake users too) and writes it again; users score by what is written.

    The encoder has the layers ``hidden``, the decoder mirrors it, an activation follows every layer but the last. The
    loss of a batch of items is the sum over these items and all users of w (x - r)², with x and w 1 and ``weight``
    where the user has the item, else 0 and 1; ratings are not looked at. The matrix is never built: the first layer
    adds up rows of its weights, and the last is a factorisation of the hidden values (``algebra/gram.py``).

    Params: ``input`` ``(n_users, hidden[0])`` and ``input_bias``; ``layer_1``, ... the layers between, each with its
    bias as the last row; ``output`` ``(n_users, hidden[0] + 1)``, a user's weights in the last layer and bias. A fit
    adds ``hidden`` ``(n_items, hidden[0])``, the items' values before the last layer, so that a score is a dot product;
    without it ``scores`` encodes all items anew, 0.1 s more a call at Gowalla's 430,000 clicks.

    Initial values are those of torch's ``Linear``, but the first layer's bound is 1/sqrt(n_items), not 1/sqrt(n_users):
    real users would start smaller as fake ones come. Defaults are the authors' for synthetic data; for Gowalla:
    ``victim=gowalla_item_ae``. ``trainer.batch_size`` counts items, and a batch that holds them all is taken in order.

    Args:
        hidden: Sizes of the encoder's layers; the last is the code.
        activation: ``tanh`` or ``selu``.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = ItemAE((8, 4), trainer=Trainer(epochs=100, optimizer="adam", learning_rate=0.01))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    hidden: tuple[int, ...] = ranged((64, 32), low=1, many=True)
    activation: str = ranged("selu", words=tuple(ACTIVATIONS))
    regularization: float = field(default=0.0, kw_only=True)
    trainer: Trainer = field(default_factory=_adam, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.hidden:
            raise ConfigError("model.hidden is []: give one or more whole numbers from 1")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of an item after each layer but the last."""
        return (*self.hidden, *self.hidden[-2::-1])

    @property
    def parameters(self) -> tuple[str, ...]:
        """First layer, layers between, last layer."""
        return ("input", "input_bias", *(f"layer_{n}" for n in range(1, len(self.sizes))), "output")

    @property
    def latent_size(self) -> int:
        """Length of the code."""
        return self.hidden[-1]

    def by_row(self, seen: Observed) -> Observed:
        """Batches are of items."""
        return seen.transposed[0]

    def kept_numbers(self, rows: int, n_fakes: int) -> int:
        """Hidden values of a batch and their derivatives, and the batch's part of the fake users."""
        return rows * (6 * sum(self.sizes) + n_fakes)

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """All layers, each from its own stream of ``init``."""
        first = self.hidden[0]
        shapes = {"input": (data.n_users, first), "input_bias": (1, first)}
        fan_in = {"input": data.n_items, "input_bias": data.n_items, "output": first}
        for number, (below, above) in enumerate(zip(self.sizes, self.sizes[1:], strict=False), 1):
            shapes[f"layer_{number}"], fan_in[f"layer_{number}"] = (below + 1, above), below
        shapes["output"] = data.n_users, first + 1
        streams = seeds.child("init")
        params = {
            name: uniform(streams.numpy(name), shapes[name], 1 / math.sqrt(fan_in[name])) for name in self.parameters
        }
        return params | {"input_bias": params["input_bias"][0]}

    def loss(self, params: Params, batch: tuple[Tensor, ...]) -> Tensor:
        """Sum over the batch's items and all users of w (x - r)², without ``regularization``.

        Args:
            params: All layers.
            batch: Items ``(n,)``, and where in the third ``(n + 1,)`` each item's users begin.
        """
        _, indptr, users = batch
        tables = tuple(params[name] for name in self.parameters)
        columns = Observed(indptr, users, len(tables[-1]))
        hidden = self._hidden(tables[:-1], columns, columns.transposed[0], None)
        return whole_matrix_loss(tables[-1], _with_one(hidden), columns.transposed[0], self.weight)

    def gradient(self, tables: Tensors, seen: Observed, rows: Rows | None, dense: Tensor | None = None) -> Tensors:
        """Gradient of the loss of the items ``rows`` in all layers."""
        given = tables if dense is None else (*tables, dense)
        differentiable = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
        columns = seen.transposed[0]
        if rows is not None:
            columns = columns.take(*rows)
            seen = columns.transposed[0]
            dense = None if dense is None else dense.index_select(1, rows.tensor)
        with torch.enable_grad():
            *below, output = _leaves(tables, differentiable)
            hidden = self._hidden(tuple(below), columns, seen, dense)
            right = _with_one(hidden if differentiable else hidden.detach())
            with torch.set_grad_enabled(differentiable):
                g_output, g_right = whole_matrix_gradient(output, right, seen, self.weight, dense)
            g_below = torch.autograd.grad(hidden, below, g_right[:, :-1], create_graph=differentiable)
        return (*g_below, g_output)

    def factors(self, tables: Tensors, seen: Observed, dense: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Users' rows of the last layer, and items' hidden values with a one; these depend on the fake users."""
        return tables[-1][: seen.n_rows], _with_one(self._hidden(tables[:-1], seen.transposed[0], seen, dense))

    def fit(
        self, data: Interactions, seeds: Seeds, device: torch.device, progress: Progress, monitor: Monitor | None = None
    ) -> Params:
        """Train from ``init``; the division of items into batches comes from the stream ``train``.

        Raises:
            Diverged: If a number is no longer finite.
        """
        objective = self.objective(data, seeds, device)
        seen = Observed.of(data.seen, device)

        def complete(params: Params) -> Params:
            tables = tuple(params[name] for name in self.parameters)
            with torch.no_grad():
                return params | {"hidden": self._hidden(tables[:-1], seen.transposed[0], seen, None)}

        params = self.start(data, seeds, device)
        return complete(self.trainer.fit(objective, params, progress, _shown(monitor, complete)))

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """What the last layer writes for ``users``, ``(len(users), n_items)``."""
        rows = params["output"].index_select(0, users)
        return torch.addmm(rows[:, -1:], rows[:, :-1], self.item_embeddings(params, data).T)

    def item_embeddings(self, params: Params, data: Interactions) -> Tensor:
        """Items' values before the last layer ``(n_items, hidden[0])``."""
        if "hidden" in params:
            return params["hidden"]
        seen = Observed.of(data.seen, params["input"].device)
        tables = tuple(params[name] for name in self.parameters)
        return self._hidden(tables[:-1], seen.transposed[0], seen, None)

    def user_embeddings(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Users' weights in the last layer ``(len(users), hidden[0])``, without their biases."""
        return params["output"].index_select(0, users)[:, :-1]

    def _hidden(self, below: Tensors, columns: Observed, seen: Observed, dense: Tensor | None) -> Tensor:
        """Values before the last layer of the items ``columns``, whose transpose is ``seen``; with a one at the end."""
        table, bias, *layers = below
        activation = ACTIVATIONS[self.activation]
        total = _SumOfRows.apply(table, columns, seen)
        if dense is not None:  # a score reads fake users' values, so the partial derivative of eq. 10 is not 0
            total = torch.addmm(total, dense.T, table[seen.n_rows :])
        values = activation(total + bias)
        for layer in layers:
            values = activation(torch.addmm(layer[-1], values, layer[:-1]))
        return values


class _SumOfRows(torch.autograd.Function):
    """For each row of ``cells`` the sum of the rows of a table at its cells; ``back`` is the transpose of ``cells``.

    Its backward pass is the same with both exchanged, so it may be differentiated any number of times. Rows of the
    table beyond those of ``back`` are not read.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, cells: Observed, back: Observed) -> Tensor:
        ctx.cells, ctx.back = cells, _with_rows(back, len(table))
        return F.embedding_bag(cells.indices, table, cells.indptr, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _SumOfRows.apply(grad, ctx.back, ctx.cells), None, None


def _with_rows(observed: Observed, n_rows: int) -> Observed:
    """``observed`` with empty rows at its end."""
    if observed.n_rows == n_rows:
        return observed
    indptr = torch.cat([observed.indptr, observed.indptr[-1:].expand(n_rows - observed.n_rows)])
    return Observed(indptr, observed.indices, observed.n_columns)


def _leaves(tables: Tensors, differentiable: bool) -> Tensors:
    """``tables`` that know their gradient, still tied to where they came from only if that is wanted."""
    return tuple(t if differentiable and t.requires_grad else t.detach().requires_grad_() for t in tables)


def _with_one(hidden: Tensor) -> Tensor:
    return torch.cat([hidden, hidden.new_ones(len(hidden), 1)], dim=1)


def _shown(monitor: Monitor | None, complete: Callable[[Params], Params]) -> Monitor | None:
    """``monitor`` that looks at parameters as a fit returns them."""
    if monitor is None:
        return None
    score, watch = monitor.score, monitor.watch
    if watch is not None:
        figures = watch.figures
        watch, found = Watch(watch.every, lambda epoch, params: figures(epoch, complete(params))), watch.seen
        watch.seen = found
    rate = None if score is None else lambda epoch, params: score(epoch, complete(params))
    return Monitor(monitor.every, rate, watch)
