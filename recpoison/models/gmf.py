"""Generalised matrix factorisation (He, Liao, Zhang, Nie, Hu and Chua 2017): NeuMF's linear half, alone."""

from __future__ import annotations

from dataclasses import dataclass

from recpoison.models.edge_model import EdgeModel
from recpoison.training.edges.network import Network


@dataclass(frozen=True)
class GMF(EdgeModel):
    """A user's score of an item is w·(p_u * q_i) + b, the log odds that the user has the item (equations 8 and 9).

    With ``hidden`` layers between, w weighs the last layer of a perceptron on p_u * q_i (the meta-gradient report has
    two). How it learns is said in ``EdgeModel``.

    Params: ``user`` ``(n_users, embedding_size)``, ``item`` ``(n_items, embedding_size)``, ``output``
    ``(embedding_size,)`` or as wide as the last layer, ``bias`` ``(1,)``; and ``product_weight_0``
    ``(hidden[0], embedding_size)``, ``product_bias_0`` ``(hidden[0],)``, ``product_weight_1``, ...

    Args:
        embedding_size: Length of an embedding.
        negatives: As in ``EdgeModel``, and so are the others.
        hidden: Widths of the layers between product and output; none in the paper.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4)  # user 2 lacks item 1
        >>> model = GMF(embedding_size=4, trainer=Trainer(epochs=100))
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> model.scores(params, data, torch.tensor([2]))[0].argsort(descending=True)[:2].tolist()
        [0, 1]
    """

    regularization: float = 0.02

    @property
    def network(self) -> Network:
        """The product of both embeddings, through the layers."""
        return Network(
            product_size=self.embedding_size,
            product_hidden=self.hidden,
            activation=self.activation,
            dropout=self.dropout,
        )
