"""The mean log loss of labelled edges: its gradient, and the product of its curvature with a vector, in torch."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from recpoison.algebra.unroll import Tensors
from recpoison.training.edges.network import Network, logits


class EdgePass(ABC):
    """Passes over one set of pairs; parameters come and go as tuples in the order of ``network.names``.

    Args:
        network: The sizes.
        users: ``(n,)`` int64.
        items: ``(n,)`` int64.
    """

    def __init__(self, network: Network, users: Tensor, items: Tensor) -> None:
        self.network, self.users, self.items = network, users, items

    @abstractmethod
    def gradient(self, params: Tensors, labels: Tensor, draw: int | None) -> tuple[Tensor, Tensors]:
        """Logits z ``(n,)``, and the gradient of the mean over all pairs of log(1 + exp z) - label z.

        Args:
            params: Where.
            labels: ``(n,)``, any numbers.
            draw: Which units dropout leaves out; None leaves out none.
        """

    @abstractmethod
    def product(self, params: Tensors, labels: Tensor, along: Tensors, draw: int | None) -> tuple[Tensor, Tensors]:
        """Derivative ``(n,)`` of the logits, and of the loss's gradient, as the parameters move ``along``."""


class TorchPass(EdgePass):
    """By autograd, on any device: what other passes are compared with."""

    def gradient(self, params: Tensors, labels: Tensor, draw: int | None) -> tuple[Tensor, Tensors]:
        """One pass forward and one back."""
        leaves = _leaves(params)
        with torch.enable_grad():
            found = self._logits(leaves, draw)
            slopes = torch.autograd.grad(mean_log_loss(found, labels), leaves)
        return found.detach(), slopes

    def product(self, params: Tensors, labels: Tensor, along: Tensors, draw: int | None) -> tuple[Tensor, Tensors]:
        """Back through the gradient: in a label it is minus the logit's own over n."""
        leaves, (given,) = _leaves(params), _leaves((labels,))
        with torch.enable_grad():
            loss = mean_log_loss(self._logits(leaves, draw), given)
            slopes = torch.autograd.grad(loss, leaves, create_graph=True)
            slope = torch.stack([(g * v).sum() for g, v in zip(slopes, along, strict=True)]).sum()
            of_labels, *products = torch.autograd.grad(slope, (given, *leaves), materialize_grads=True)
        return of_labels * -len(labels), tuple(products)

    def _logits(self, leaves: Tensors, draw: int | None) -> Tensor:
        params = dict(zip(self.network.names, leaves, strict=True))
        return logits(self.network, params, self.users, self.items, draw)


def mean_log_loss(found: Tensor, labels: Tensor) -> Tensor:
    """Mean of log(1 + exp z) - label z over logits z: cross-entropy where labels are 0 or 1."""
    return (F.softplus(found) - labels * found).mean()


def _leaves(tensors: Tensors) -> Tensors:
    return tuple(tensor.detach().requires_grad_() for tensor in tensors)
