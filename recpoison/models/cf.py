"""Collaborative filtering by embeddings and a small feed-forward head, which the meta-gradient report attacks."""

from __future__ import annotations

from dataclasses import dataclass, field

from recpoison.models.edge_model import EdgeModel
from recpoison.training.edges.network import Network
from recpoison.training.edges.trainer import EdgeTrainer


@dataclass(frozen=True)
class CF(EdgeModel):
    """A user's score of an item is p_u·q_i + b, or w·x + b with x the last layer of a perceptron on [p_u, q_i].

    The first layer takes W [p, q] as W_u p + W_i q, each once for a row. The report ("Adversarial Attacks on
    Recommendation Systems with meta-gradients") leaves sizes and layers of its "CF" open; these are ours, and the inner
    product comes nearer to its clean figures than any perceptron tried. How it learns is said in ``EdgeModel``.

    Params: ``user`` ``(n_users, embedding_size)``, ``item`` ``(n_items, embedding_size)``, ``bias`` ``(1,)``; and with
    ``hidden`` layers ``weight_0`` ``(hidden[0], 2 * embedding_size)``, ``bias_0`` ``(hidden[0],)``, ``weight_1``, ...,
    and ``output``, as wide as the last.

    Args:
        embedding_size: Length of an embedding.
        negatives: As in ``EdgeModel``, and so are the others.
        hidden: Widths of the perceptron's layers; none: the inner product.

    Raises:
        ConfigError: If a value is out of range.

    Example:
        >>> from recpoison.data.interactions import Edges
        >>> zeros = Edges(np.array([0, 0, 1, 1]), np.array([2, 3, 2, 3]))
        >>> data = Interactions([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1] * 5, n_users=3, n_items=4, zeros=zeros)
        >>> model = CF(embedding_size=4)  # learns edges and zeros in full batches: user 2 may have item 1 too
        >>> params = model.fit(data, Seeds(0), torch.device("cpu"), Progress())
        >>> (model.edge_logits(params, data, torch.tensor([2, 2]), torch.tensor([1, 3])) > 0).tolist()
        [True, False]
    """

    embedding_size: int = 16
    edge_trainer: EdgeTrainer = field(default_factory=lambda: EdgeTrainer(steps=50, learning_rate=0.03), kw_only=True)

    @property
    def network(self) -> Network:
        """The perceptron on both embeddings, or their inner product."""
        if not self.hidden:
            return Network(product_size=self.embedding_size, weighted=False)
        return Network(
            sum_size=self.embedding_size,
            sum_hidden=self.hidden,
            activation=self.activation,
            dropout=self.dropout,
        )
