"""Networks that give a user-item pair the log odds of an edge: factorisation, perceptron, or both side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from recpoison.models.base import Params
from recpoison.ranges import check_ranges, ranged

ACTIVATIONS = ("relu", "tanh", "sigmoid")
_ACTIVATE = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
_WORD, _STRIDE = 0xFFFFFFFF, 0x9E3779B9
# Chris Wellons' mixer "lowbias32": shifts and factors of a hash of 32 bits
_MIX = ((16, 0x7FEB352D), (15, 0x846CA68B))


@dataclass(frozen=True)
class Network:
    """Sizes of a network on pairs. Its numbers are ``Params``.

    The logit of user u and item i is output · [product part, sum part] + bias. The product part takes the first columns
    p, q of the tables through dense layers that start from p * q; the sum part takes the next columns p', q' through
    dense layers whose first is act(W_u p' + W_i q' + c). Without weights it is p · q + bias.

    Params: ``user`` ``(n_users, product_size + sum_size)``, ``item`` ``(n_items, ...)``, ``bias`` ``(1,)``, and where
    it is weighted ``output``, which weighs the product part's last layer, then the sum part's; layers
    ``product_weight_k`` ``(out, in)`` and ``product_bias_k`` of the product part, ``weight_k`` and ``bias_k`` of the
    sum part. ``weight_0`` is ``(sum_hidden[0], 2 * sum_size)``: the users' half, then the items'.

    Args:
        product_size: Columns of the product part; 0 leaves it out.
        product_hidden: Widths of its layers; none weighs p * q itself.
        sum_size: Columns of the sum part; 0 leaves it out.
        sum_hidden: Widths of its layers, at least one.
        activation: ``relu``, ``tanh`` or ``sigmoid``, after every layer.
        dropout: Share of a hidden layer's units that a training step leaves out; the others grow by 1 / (1 - dropout).
        weighted: Whether there are output weights.

    Example:
        >>> network = Network(product_size=2, weighted=False)
        >>> params = {"user": torch.tensor([[1.0, 2.0]]), "item": torch.tensor([[3.0, 4.0]]), "bias": torch.ones(1)}
        >>> logits(network, params, torch.tensor([0]), torch.tensor([0]))
        tensor([12.])
    """

    product_size: int = ranged(0, low=0)
    product_hidden: tuple[int, ...] = ranged((), low=1, many=True)
    sum_size: int = ranged(0, low=0)
    sum_hidden: tuple[int, ...] = ranged((), low=1, many=True)
    activation: str = ranged("relu", words=ACTIVATIONS)
    dropout: float = ranged(0.0, low=0.0, high=1, open_high=True)
    weighted: bool = True

    def __post_init__(self) -> None:
        check_ranges(self, "network")
        if not self.weighted and (self.product_hidden or self.sum_size):
            raise ValueError("layers need output weights")
        if bool(self.sum_size) != bool(self.sum_hidden) or (self.product_hidden and not self.product_size):
            raise ValueError("a part has columns and layers, or neither")
        if not (self.product_size or self.sum_size):
            raise ValueError("a network has at least one part")

    @property
    def row_size(self) -> int:
        """Columns of a table."""
        return self.product_size + self.sum_size

    @property
    def product_width(self) -> int:
        """How many numbers of the product part the output weighs."""
        return self.product_hidden[-1] if self.product_hidden else self.product_size

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the parameters."""
        found: dict[str, tuple[int, ...]] = {"user": (n_users, self.row_size), "item": (n_items, self.row_size)}
        if self.weighted:
            found["output"] = (self.product_width + sum(self.sum_hidden[-1:]),)
        found["bias"] = (1,)
        parts = (("product_", self.product_size, self.product_hidden), ("", 2 * self.sum_size, self.sum_hidden))
        for prefix, inputs, widths in parts:
            for layer, width in enumerate(widths):
                found[f"{prefix}weight_{layer}"], found[f"{prefix}bias_{layer}"] = (width, inputs), (width,)
                inputs = width
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order in which steps take them."""
        return tuple(self.shapes(0, 0))


def logits(
    network: Network,
    params: Params,
    users: Tensor,
    items: Tensor,
    draw: int | None = None,
    samples: Tensor | None = None,
) -> Tensor:
    """Log odds ``(n,)`` of pairs; differentiable, twice too.

    Args:
        network: The sizes.
        params: Its numbers, of any float type.
        users: ``(n,)``.
        items: ``(n,)``.
        draw: Which units are left out, as a whole number; None leaves out none.
        samples: ``(n,)`` numbers of the pairs, by which dropout tells them apart; None numbers them from 0.
    """
    if samples is None:
        samples = torch.arange(len(users), device=users.device)
    drops = Drops(network, draw)
    parts = []
    if network.product_size:
        p, q = (params[name][:, : network.product_size] for name in ("user", "item"))
        product = p.index_select(0, users) * q.index_select(0, items)
        if not network.weighted:
            return product.sum(1) + params["bias"]
        parts.append(_dense(network, params, "product_", 0, product, drops, samples))
    if network.sum_size:
        of_users, of_items = sum_parts(network, params)
        first = of_users.index_select(0, users) + of_items.index_select(0, items)
        first = drops(_ACTIVATE[network.activation](first), len(network.product_hidden), samples)
        parts.append(_dense(network, params, "", 1, first, drops, samples))
    return torch.cat(parts, dim=1) @ params["output"] + params["bias"]


def sum_parts(network: Network, params: Params) -> tuple[Tensor, Tensor]:
    """What each user, with the bias, and each item adds to the sum part's first layer: ``(rows, sum_hidden[0])``."""
    p, q = (params[name][:, network.product_size :] for name in ("user", "item"))
    of_users, of_items = params["weight_0"].split(network.sum_size, dim=1)
    return p @ of_users.T + params["bias_0"], q @ of_items.T


def _dense(
    network: Network, params: Params, prefix: str, start: int, values: Tensor, drops: Drops, samples: Tensor
) -> Tensor:
    """``values`` through the layers from ``start`` on."""
    widths = network.product_hidden if prefix else network.sum_hidden
    before = 0 if prefix else len(network.product_hidden)
    for layer in range(start, len(widths)):
        values = torch.addmm(params[f"{prefix}bias_{layer}"], values, params[f"{prefix}weight_{layer}"].T)
        values = drops(_ACTIVATE[network.activation](values), before + layer, samples)
    return values


class Drops:
    """Which hidden units a step leaves out: a pure function of draw, sample, layer and unit.

    A step that is done again, or elsewhere, leaves out the same units.

    Args:
        network: Its dropout.
        draw: The step's own number; None leaves out none.
    """

    def __init__(self, network: Network, draw: int | None) -> None:
        self.share = 0.0 if draw is None else network.dropout
        self.draw = 0 if draw is None else draw & _WORD

    @property
    def limit(self) -> int:
        """A unit is left out if its hash, a number below 2**32, is below this."""
        return math.floor(self.share * 2**32)

    @property
    def scale(self) -> float:
        """What the units that stay are multiplied by."""
        return 1 / (1 - self.share)

    def key(self, layer: int) -> int:
        """The hash of a layer, counted through the product part, then the sum part."""
        return mixed((self.draw + (layer + 1) * _STRIDE) & _WORD)

    def __call__(self, values: Tensor, layer: int, samples: Tensor) -> Tensor:
        """``values`` ``(n, width)`` of a layer with some of them 0 and the others larger."""
        if not self.limit:
            return values
        rows = _mixed(samples ^ self.key(layer))
        units = torch.arange(values.shape[1], device=values.device) * _STRIDE
        stays = _mixed((rows.unsqueeze(1) + units) & _WORD) >= self.limit
        return values * (stays.to(values.dtype) * self.scale)


def mixed(word: int) -> int:
    """A hash of 32 bits of a number of 32 bits."""
    for shift, factor in _MIX:
        word = ((word ^ (word >> shift)) * factor) & _WORD
    return word ^ (word >> 16)


def _mixed(words: Tensor) -> Tensor:
    """The same of each of ``words``, int64; products wrap, and their low bits are right."""
    for shift, factor in _MIX:
        words = ((words ^ (words >> shift)) * factor) & _WORD
    return words ^ (words >> 16)
