"""The log loss of labelled edges as what a graph makes of two tables, and its gradient, by hand."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.observed import Observed
from recpoison.algebra.propagation import Propagation
from recpoison.algebra.unroll import Tensors
from recpoison.data.interactions import Interactions


class GraphPass:
    """Passes over the labelled pairs of ``data``, whose logits are products of final rows over its edges.

    The gradient is that of the final rows, propagated once more; what is as long as the pairs is a number a pair.

    Args:
        data: Edges, of which repeats weigh as many as they are but make one of the graph, and zeros.
        layers: Propagations.
        device: Where tensors live.

    Attributes:
        labels: ``(n,)`` of the pairs, in order of users and items.
    """

    def __init__(self, data: Interactions, layers: int, device: torch.device) -> None:
        edges = data.labelled()
        order = np.lexsort((edges.items, edges.users))
        counts = np.bincount(edges.users, minlength=data.n_users)
        indptr, items = np.concatenate([[0], counts.cumsum()]), edges.items[order]
        begins, columns = (torch.from_numpy(column.astype(np.int64)).to(device) for column in (indptr, items))
        self.pairs = Observed(begins, columns, data.n_items)
        self.labels = torch.from_numpy(edges.labels[order].astype(np.float32)).to(device)
        self.graph = Propagation.of(data.seen, layers, device)

    def gradient(self, tables: Tensors, labels: Tensor) -> tuple[Tensor, Tensors]:
        """Logits z ``(n,)``, and the gradient of the mean of log(1 + exp z) - label z in both tables."""
        sizes = [len(table) for table in tables]
        users, items = self.graph.mean(torch.cat(tables)).split(sizes)
        found = self.pairs.products(users, items)
        pull = (torch.sigmoid(found) - labels) / len(labels)
        by_item, order = self.pairs.transposed
        slopes = torch.cat([self.pairs.times(pull, items), by_item.times(pull.index_select(0, order), users)])
        return found, self.graph.mean(slopes).split(sizes)
