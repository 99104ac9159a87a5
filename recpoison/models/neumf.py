"""NeuMF (He, Liao, Zhang, Nie, Hu and Chua 2017): matrix factorisation and a multi-layer perceptron, fused."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recpoison.algebra.hidden_pairs import pair_scores
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.base import Params
from recpoison.models.gmf import GMF
from recpoison.seeds import Seeds
from recpoison.training.initial_values import uniform
from recpoison.training.trainer import Trainer


@dataclass(frozen=True)
class NeuMF(GMF):
    """A user's score of an item is w·[p_u * q_i, x] + b, x the last layer of a perceptron on other embeddings of both.

    The first layer is relu(W [p'_u, q'_i] + c); each further one is half as wide as the one before it. The product
    W [p', q'] is taken as W_u p' + W_i q', each once for a row, so that a pair costs as much as the hidden layer is
    wide. Loss and negatives are those of ``GMF``. Departure: both halves are trained together from random values (the
    paper's variant without pre-training, its table 2).

    Params: those of ``GMF``, where ``user`` and ``item`` hold a row's embedding for the factorisation, then for the
    perceptron ``(rows, embedding_size + mlp_embedding_size)`` and ``output`` weighs the product, then the last layer;
    and ``weight_0`` ``(hidden_size, 2 * mlp_embedding_size)``, ``bias_0`` ``(hidden_size,)``, ``weight_1``, ...

    Args:
        embedding_size: Length of an embedding of the factorisation.
        mlp_embedding_size: Length of an embedding of the perceptron.
        hidden_size: Width of the first layer.
        layers: Number of layers before the output.
        negatives: As in ``GMF``, and so are the others.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = NeuMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    regularization: float = 0.0
    trainer: Trainer = field(default_factory=lambda: Trainer(epochs=6))
    mlp_embedding_size: int = 32
    hidden_size: int = 64
    layers: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mlp_embedding_size", "hidden_size", "layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name} is {getattr(self, name)}: give 1 or more")
        if self.hidden_size >> (self.layers - 1) < 1:
            raise ConfigError(
                f"model.layers is {self.layers}, but {self.hidden_size} cannot be halved that often: "
                "give fewer layers or a larger model.hidden_size"
            )

    @property
    def _widths(self) -> list[int]:
        return [self.hidden_size >> layer for layer in range(self.layers)]

    @property
    def _row_size(self) -> int:
        return self.embedding_size + self.mlp_embedding_size

    @property
    def _fan_in(self) -> int:
        return self.embedding_size + self._widths[-1]

    def init(self, data: Interactions, seeds: Seeds) -> Params:
        """As ``GMF``; weights of the layers by Glorot and Bengio's uniform rule, biases 0."""
        params, streams = super().init(data, seeds), seeds.child("init")
        inputs = 2 * self.mlp_embedding_size
        for layer, width in enumerate(self._widths):
            bound = math.sqrt(6 / (inputs + width))
            params[f"weight_{layer}"] = uniform(streams.numpy("weight", layer), (width, inputs), bound)
            params[f"bias_{layer}"] = torch.zeros(width)
            inputs = width
        return params

    def logits(self, params: Params, users: Tensor, items: Tensor) -> Tensor:
        """Scores ``(n, m)`` of ``users`` ``(n,)`` for their ``items`` ``(n, m)``."""
        of_items = self._part(params, "item", items.flatten()).view(*items.shape, self.hidden_size)
        hidden = torch.relu(self._part(params, "user", users).unsqueeze(1) + of_items)
        for weight, bias in self._further(params):
            hidden = torch.relu(hidden @ weight.T + bias)
        return super().logits(params, users, items) + hidden @ params["output"][self.embedding_size :]

    def scores(self, params: Params, data: Interactions, users: Tensor) -> Tensor:
        """Log odds ``(len(users), n_items)``."""
        of_users, of_items = self._part(params, "user", users), self._part(params, "item")
        output = params["output"][self.embedding_size :]
        return super().scores(params, data, users) + pair_scores(of_users, of_items, self._further(params), output)

    def _part(self, params: Params, name: str, rows: Tensor | None = None) -> Tensor:
        """What ``rows`` (None: all) of a table add to the first layer, ``(n, hidden_size)``; users bring the bias."""
        size, table = self.mlp_embedding_size, params[name][:, self.embedding_size :]
        half = params["weight_0"][:, :size] if name == "user" else params["weight_0"][:, size:]
        if rows is not None and len(rows) < len(table):
            part = table.index_select(0, rows) @ half.T
        else:  # each row once, then gather the products
            part = table @ half.T
            part = part if rows is None else part.index_select(0, rows)
        return part + params["bias_0"] if name == "user" else part

    def _further(self, params: Params) -> list[tuple[Tensor, Tensor]]:
        return [(params[f"weight_{layer}"], params[f"bias_{layer}"]) for layer in range(1, self.layers)]
