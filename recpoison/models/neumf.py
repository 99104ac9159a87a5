"""NeuMF (He, Liao, Zhang, Nie, Hu and Chua 2017): matrix factorisation and a multi-layer perceptron, fused."""

from __future__ import annotations

from dataclasses import dataclass, field

from recpoison.errors import ConfigError
from recpoison.models.edge_model import EdgeModel
from recpoison.ranges import ranged
from recpoison.training.edges.network import Network
from recpoison.training.trainer import Trainer


@dataclass(frozen=True)
class NeuMF(EdgeModel):
    """A user's score of an item is w·[p_u * q_i, x] + b, x the last layer of a perceptron on other embeddings of both.

    The first layer is relu(W [p'_u, q'_i] + c). The product W [p', q'] is taken as W_u p' + W_i q', each once for a
    row, so that a pair costs as much as the hidden layer is wide. How it learns is said in ``EdgeModel``. Departure:
    both halves are trained together from random values (the paper's variant without pre-training, its table 2).

    Params: ``user`` and ``item`` hold a row's embedding for the factorisation, then for the perceptron
    ``(rows, embedding_size + mlp_embedding_size)``; ``output`` weighs the product, then the last layer; ``bias``
    ``(1,)``; and ``weight_0`` ``(hidden[0], 2 * mlp_embedding_size)``, ``bias_0`` ``(hidden[0],)``, ``weight_1``, ...

    Args:
        embedding_size: Length of an embedding of the factorisation.
        mlp_embedding_size: Length of an embedding of the perceptron.
        hidden: Widths of the perceptron's layers, at least one; in the paper each is half as wide as the one before.
        negatives: As in ``EdgeModel``, and so are the others.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = NeuMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    trainer: Trainer = field(default_factory=lambda: Trainer(epochs=6))
    hidden: tuple[int, ...] = (64,)
    mlp_embedding_size: int = ranged(32, low=1)

    def __post_init__(self) -> None:
        if not self.hidden:
            raise ConfigError("model.hidden is empty: give the perceptron one layer or more, or choose model=gmf")
        super().__post_init__()

    @property
    def network(self) -> Network:
        """The product of two embeddings, and the perceptron on two others."""
        return Network(
            product_size=self.embedding_size,
            sum_size=self.mlp_embedding_size,
            sum_hidden=self.hidden,
            activation=self.activation,
            dropout=self.dropout,
        )
