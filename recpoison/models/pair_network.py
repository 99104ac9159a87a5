"""A network on pairs, asked as a ranking asks it: for several items of each user at once, or for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from recpoison.algebra.hidden_pairs import Layer, pair_scores, product_scores
from recpoison.data.interactions import Interactions
from recpoison.models.base import Params
from recpoison.seeds import Seeds
from recpoison.training.edges.network import Drops, Network
from recpoison.training.initial_values import factor_tables, glorot, uniform


def initial_values(network: Network, data: Interactions, std: float, seeds: Seeds) -> Params:
    """Normal tables, output uniform within ±sqrt(3 / fan-in), layers by Glorot and Bengio's uniform rule, biases 0.

    Each from its own stream of ``init``.

    Args:
        network: The sizes.
        data: Says how many users and items there are.
        std: Standard deviation of the tables.
        seeds: The fit's.
    """
    streams = seeds.child("init")
    params = factor_tables("normal", data, network.row_size, std, seeds)
    for name, shape in network.shapes(data.n_users, data.n_items).items():
        kind, _, layer = name.rpartition("_")
        if name == "output":
            params[name] = uniform(streams.numpy(name), shape, math.sqrt(3 / shape[0]))
        elif kind.endswith("weight"):
            params[name] = glorot(streams.numpy(kind, layer), (shape[0], shape[1]))
        elif name not in params:
            params[name] = torch.zeros(shape)
    return params


def several(network: Network, params: Params, users: Tensor, items: Tensor, words: Tensor | None = None) -> Tensor:
    """Log odds ``(n, m)`` of ``users`` ``(n,)`` for their ``items`` ``(n, m)``.

    Args:
        network: The sizes.
        params: Its numbers.
        users: Users.
        items: Items of each.
        words: ``(n, m)`` random numbers of 32 bits, by which dropout tells the pairs apart; None leaves out nothing.
    """
    drops = Drops(network, None if words is None else 0)

    def through(values: Tensor, layers: list[Layer], first: int) -> Tensor:
        for number, (weight, bias) in enumerate(layers, first):
            values = kept(_activation(network)(values @ weight.T + bias), number)
        return values

    def kept(values: Tensor, layer: int) -> Tensor:
        return values if words is None else drops(values.flatten(0, 1), layer, words.flatten()).view_as(values)

    found = params["bias"]
    if network.product_size:
        found = _product(network, params, users, items, through) + found
    if network.sum_size:
        of_items = _sum_part(network, params, "item", items.flatten()).view(*items.shape, network.sum_hidden[0])
        hidden = _sum_part(network, params, "user", users).unsqueeze(1) + of_items
        before = len(network.product_hidden)
        hidden = through(kept(_activation(network)(hidden), before), _further(network, params), before + 1)
        found = found + hidden @ params["output"][network.product_width :]
    return found


def every(network: Network, params: Params, users: Tensor) -> Tensor:
    """Log odds ``(len(users), n_items)`` of all items."""
    found = params["bias"]
    if network.product_size:
        p, q = (params[name][:, : network.product_size] for name in ("user", "item"))
        p = p.index_select(0, users)
        if network.product_hidden:
            output = params["output"][: network.product_width]
            found = product_scores(p, q, _layers(network, params, "product_"), output, _activation(network)) + found
        else:
            found = _weighed(network, params, p) @ q.T + found
    if network.sum_size:
        parts = _sum_part(network, params, "user", users), _sum_part(network, params, "item")
        output = params["output"][network.product_width :]
        found = found + pair_scores(*parts, _further(network, params), output, _activation(network))
    return found


def _product(
    network: Network,
    params: Params,
    users: Tensor,
    items: Tensor,
    through: Callable[[Tensor, list[Layer], int], Tensor],
) -> Tensor:
    size = network.product_size
    p = params["user"][:, :size].index_select(0, users)
    q = params["item"][:, :size].index_select(0, items.flatten()).view(*items.shape, size)
    if not network.product_hidden:  # w·(p * q) as (p * w)·q: one product for a user's items together
        return torch.bmm(q, _weighed(network, params, p).unsqueeze(2)).squeeze(2)
    hidden = through(p.unsqueeze(1) * q, _layers(network, params, "product_"), 0)
    return hidden @ params["output"][: network.product_width]


def _weighed(network: Network, params: Params, p: Tensor) -> Tensor:
    return p * params["output"][: network.product_size] if network.weighted else p


def _sum_part(network: Network, params: Params, name: str, rows: Tensor | None = None) -> Tensor:
    """What ``rows`` (None: all) of a table add to the sum part's first layer, ``(n, width)``; users bring the bias."""
    size, table = network.sum_size, params[name][:, network.product_size :]
    half = params["weight_0"][:, :size] if name == "user" else params["weight_0"][:, size:]
    if rows is not None and len(rows) < len(table):
        part = table.index_select(0, rows) @ half.T
    else:  # each row once, then gather the products
        part = table @ half.T
        part = part if rows is None else part.index_select(0, rows)
    return part + params["bias_0"] if name == "user" else part


def _further(network: Network, params: Params) -> list[Layer]:
    """The sum part's layers after the first."""
    return _layers(network, params, "")[1:]


def _layers(network: Network, params: Params, prefix: str) -> list[Layer]:
    widths = network.product_hidden if prefix else network.sum_hidden
    return [(params[f"{prefix}weight_{layer}"], params[f"{prefix}bias_{layer}"]) for layer in range(len(widths))]


def _activation(network: Network) -> Callable[[Tensor], Tensor]:
    """What follows each of its layers."""
    chosen: Callable[[Tensor], Tensor] = getattr(torch, network.activation)
    return chosen
