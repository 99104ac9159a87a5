"""Passes over labelled edges by the kernels of a CPU: nothing of the number of pairs times a width is ever stored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recpoison.algebra.unroll import Tensors
from recpoison.training.edges.block_kernels import RELU, SIGMOID, TANH
from recpoison.training.edges.fused_kernels import BLOCK, gradient_pass, product_pass
from recpoison.training.edges.lanes import WIDTH
from recpoison.training.edges.network import Drops, Network
from recpoison.training.edges.passes import EdgePass

CHUNKS = 4  # fixed, so that sums are added in the same order whatever the number of threads
# who calls looks whether numbers are finite, and says so in a sentence
_QUIETLY = np.errstate(over="ignore", invalid="ignore")
_KINDS = {"relu": RELU, "tanh": TANH, "sigmoid": SIGMOID}
Arrays = dict[str, np.ndarray]


class Pairs(NamedTuple):
    """Pairs sorted by user, as uint32 and with the last one again, so that eight at a time never end too early.

    Args:
        users: ``(n + 7,)``.
        items: ``(n + 7,)``.
        samples: ``(n + 7,)`` where each stood.
    """

    users: np.ndarray
    items: np.ndarray
    samples: np.ndarray

    @classmethod
    def of(cls, users: np.ndarray, items: np.ndarray) -> Pairs:
        """The pairs in their order for the kernels."""
        order = np.argsort(users, kind="stable")
        return cls(
            *(
                np.pad(column, (0, WIDTH - 1), "edge").astype(np.uint32)
                for column in (users[order], items[order], order)
            )
        )


class Layout(NamedTuple):
    """Where things stand in a block's table of units and in the flat weights: see ``fused_kernels``."""

    layers: np.ndarray
    ends: np.ndarray
    columns: int
    sums: int
    units: int
    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, network: Network) -> Layout:
        """Units: products, their layers, sums, their layers. Weights: both parts' layers, then output and bias."""
        layers, ends, names, sizes, unit, weight = [], [], [], [], 0, 0
        starts = []
        for prefix, inputs, widths in (
            ("product_", network.product_size, network.product_hidden),
            ("", 0, network.sum_hidden),
        ):
            starts.append(unit)
            row, unit = unit, unit + _padded(inputs)
            for number, width in enumerate(widths):
                layers.append((row, inputs, unit, width, weight, weight + inputs * width))
                if inputs:
                    names += [f"{prefix}weight_{number}", f"{prefix}bias_{number}"]
                    sizes += [inputs * width, width]
                    weight += inputs * width + width
                row, unit, inputs = unit, unit + _padded(width), width
            if inputs:
                ends.append([row, inputs])
        output = weight
        for end in ends:
            end.append(output)
            output += end[1]
        return cls(
            np.array(layers, dtype=np.int64).reshape(-1, 6),
            np.array(ends, dtype=np.int64),
            _padded(network.product_size),
            starts[1],
            unit,
            (*names, "output", "bias"),
            (*sizes, output - weight, 1),
        )


class FusedPass(EdgePass):
    """By the kernels, on a CPU; the same numbers as ``TorchPass`` but for roundings, whatever the number of threads.

    The first layer of the sum part is linear in a user plus an item: each row is multiplied once, and a pair adds two.
    """

    def __init__(self, network: Network, users: Tensor, items: Tensor) -> None:
        super().__init__(network, users, items)
        self.pairs = Pairs.of(users.numpy(), items.numpy())
        self.layout = Layout.of(network)
        self.chunks = np.linspace(0, -(-len(users) // BLOCK), CHUNKS + 1).astype(int)

    @_QUIETLY
    def gradient(self, params: Tensors, labels: Tensor, draw: int | None) -> tuple[Tensor, Tensors]:
        """One pass over the pairs."""
        here = self._arrays(params)
        user, item = self._tables(here, here)
        flat = self._flat(here, 1)
        found, of_tables, of_flat = self._over_all(gradient_pass, labels, draw, (user, item, flat), (user, item))
        return found, self._ordered(self._unflattened(of_flat, here) | self._of_tables(here, *of_tables))

    @_QUIETLY
    def product(self, params: Tensors, labels: Tensor, along: Tensors, draw: int | None) -> tuple[Tensor, Tensors]:
        """One pass over the pairs, of the tangent of ``gradient``."""
        here, moved = self._arrays(params), self._arrays(along)
        tables, v_tables = self._tables(here, here), self._table_tangents(here, moved)
        given = (*tables, self._flat(here, 1), *v_tables, self._flat(moved, 0))
        found, (*sums, user, item), of_flat = self._over_all(product_pass, labels, draw, given, (*tables, *tables))
        product = self._unflattened(of_flat, here) | self._of_tables(here, user, item)
        if self.network.sum_size:
            self._add_weight_tangents(product, moved, *sums)
        return found, self._ordered(product)

    def _over_all(
        self,
        kernel: Callable[..., None],
        labels: Tensor,
        draw: int | None,
        given: tuple[np.ndarray, ...],
        tables: tuple[np.ndarray, ...],
    ) -> tuple[Tensor, list[np.ndarray], np.ndarray]:
        """Run a kernel over all pairs; its line of numbers, and means of the sums it makes, shaped as ``tables``."""
        flat, pairs, layout, drops = given[2], self.pairs, self.layout, Drops(self.network, draw)
        keys = np.array([drops.key(layer) for layer in range(len(layout.layers))], dtype=np.uint64)
        columns = (*pairs, labels.detach().contiguous().numpy())
        sizes = (layout.layers, layout.ends, layout.columns, layout.sums, layout.units)
        kind = _KINDS[self.network.activation], keys, np.uint64(drops.limit), flat.dtype.type(drops.scale)
        found = np.empty(len(labels), dtype=flat.dtype)
        sums = [[np.zeros_like(array) for array in (*tables, flat)] for _ in range(CHUNKS)]

        def work(chunk: int) -> None:
            span = int(self.chunks[chunk]), int(self.chunks[chunk + 1])
            rest = (*kind, self.network.weighted, found, *sums[chunk])
            kernel(*span, *columns, *given, *sizes, *rest)

        _in_turn(work)
        *means, of_flat = (sum(parts[1:], parts[0]) / flat.dtype.type(len(found)) for parts in zip(*sums, strict=True))
        return torch.from_numpy(found), means, of_flat

    def _arrays(self, tensors: Tensors) -> Arrays:
        names = self.network.names
        return {name: tensor.detach().numpy() for name, tensor in zip(names, tensors, strict=True)}

    def _tables(self, rows: Arrays, weights: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """What users' and items' ``rows`` bring to a pair: embeddings, then sums, each filled up with zeros."""
        size, half, columns = self.network.product_size, self.network.sum_size, self.layout.columns
        width = _padded(sum(self.network.sum_hidden[:1]))
        tables = []
        for name, part in (("user", slice(0, half)), ("item", slice(half, None))):
            table = np.zeros((len(rows[name]), columns + width), dtype=rows[name].dtype)
            table[:, :size] = rows[name][:, :size]
            if half:
                weight = weights["weight_0"][:, part]
                table[:, columns : columns + len(weight)] = rows[name][:, size:] @ weight.T
            tables.append(table)
        if half:
            tables[0][:, columns : columns + len(weight)] += rows["bias_0"]
        return tables[0], tables[1]

    def _table_tangents(self, here: Arrays, moved: Arrays) -> tuple[np.ndarray, np.ndarray]:
        """How ``_tables`` moves."""
        user, item = self._tables(moved, here)
        if self.network.sum_size:
            columns, still = self.layout.columns, {**here, "bias_0": np.zeros_like(here["bias_0"])}
            for total, table in zip((user, item), self._tables(still, moved), strict=True):
                total[:, columns:] += table[:, columns:]
        return user, item

    def _of_tables(self, here: Arrays, user_sums: np.ndarray, item_sums: np.ndarray) -> Arrays:
        """From the derivative in what ``_tables`` gives to that in the parameters."""
        size, half = self.network.product_size, self.network.sum_size
        if not half:
            return {"user": user_sums[:, :size], "item": item_sums[:, :size]}
        weight, of_users, of_items = here["weight_0"], self._sums(user_sums), self._sums(item_sums)
        return {
            "user": np.hstack([user_sums[:, :size], of_users @ weight[:, :half]]),
            "item": np.hstack([item_sums[:, :size], of_items @ weight[:, half:]]),
            "weight_0": np.hstack([of_users.T @ here["user"][:, size:], of_items.T @ here["item"][:, size:]]),
            "bias_0": of_users.sum(0),
        }

    def _add_weight_tangents(
        self, product: Arrays, moved: Arrays, user_sums: np.ndarray, item_sums: np.ndarray
    ) -> None:
        """Add how ``_of_tables`` itself moves, the derivative that it is given being held."""
        size, half = self.network.product_size, self.network.sum_size
        of_users, of_items = self._sums(user_sums), self._sums(item_sums)
        product["user"][:, size:] += of_users @ moved["weight_0"][:, :half]
        product["item"][:, size:] += of_items @ moved["weight_0"][:, half:]
        product["weight_0"][:, :half] += of_users.T @ moved["user"][:, size:]
        product["weight_0"][:, half:] += of_items.T @ moved["item"][:, size:]

    def _sums(self, table: np.ndarray) -> np.ndarray:
        """The columns of the sum part's first layer."""
        return table[:, self.layout.columns : self.layout.columns + self.network.sum_hidden[0]]

    def _flat(self, here: Arrays, output: float = 1.0) -> np.ndarray:
        """The weights of the kernels in a row; ``output`` stands for weights that a network does not have."""
        ones = np.full(self.layout.sizes[-2], output, dtype=here["bias"].dtype)
        return np.concatenate([here.get(name, ones).reshape(-1) for name in self.layout.names])

    def _unflattened(self, flat: np.ndarray, here: Arrays) -> Arrays:
        parts = np.split(flat, np.cumsum(self.layout.sizes)[:-1])
        return {
            name: part.reshape(here[name].shape)
            for name, part in zip(self.layout.names, parts, strict=True)
            if name in here
        }

    def _ordered(self, found: Arrays) -> Tensors:
        return tuple(torch.from_numpy(np.ascontiguousarray(found[name])) for name in self.network.names)


def _padded(width: int) -> int:
    """The next multiple of a register's width."""
    return -(-width // WIDTH) * WIDTH


def _in_turn(work: Callable[[int], None]) -> None:
    """All chunks, on as many threads as torch may use."""
    threads = min(CHUNKS, torch.get_num_threads())
    if threads == 1:
        for chunk in range(CHUNKS):
            work(chunk)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(CHUNKS)))
