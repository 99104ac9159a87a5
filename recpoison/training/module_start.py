"""Initial values that a ``torch.nn.Module`` draws for itself, from the run's seed and row after row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from recpoison.seeds import Seeds

_GLOBAL_DRAWS = threading.RLock()


@contextmanager
def seeded(seed: int, devices: Sequence[torch.device] = ()) -> Iterator[None]:
    """Torch's global draws start at ``seed`` inside the block, and are as they were after it.

    There is one global generator: of seeds that run at once, in threads, one at a time has it.
    """
    cuda = [device for device in devices if device.type == "cuda"]
    with _GLOBAL_DRAWS, torch.random.fork_rng(cuda):
        torch.manual_seed(seed)
        yield


class RowByRow(TorchDispatchMode):
    """Normal and uniform draws come from numpy, each from a stream of its own and row after row.

    Torch fills a table in blocks and every table from one stream, so that with fake users all real users and all items
    would start elsewhere, and cells of a run would not be paired. Other draws are torch's own.

    Args:
        seeds: Streams ``draw/0``, ``draw/1``, ...
    """

    def __init__(self, seeds: Seeds) -> None:
        super().__init__()
        self.seeds, self.n_draws = seeds, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Draw by numpy where it is one of the two and no generator is given, else let torch do it."""
        options = dict(kwargs or {})
        if func not in (*_FILLING, *_MAKING) or options.get("generator") is not None:
            return func(*args, **options)
        if func in _FILLING:
            low, high, draw = _FILLING[func]
            bounds = (options.get(low, 0.0), options.get(high, 1.0))
            return args[0].copy_(self._drawn(draw, args[0].shape, *args[1:], *bounds[len(args) - 1 :]))
        drawn = self._drawn(_MAKING[func], args[0], 0.0, 1.0)
        return drawn.to(options.get("device") or "cpu", options.get("dtype") or torch.get_default_dtype())

    def _drawn(self, draw: Callable[..., np.ndarray], shape: Sequence[int], first: float, second: float) -> Tensor:
        generator = self.seeds.numpy("draw", self.n_draws)
        self.n_draws += 1
        return torch.from_numpy(np.asarray(draw(generator, tuple(shape), first, second)))


def _normal(generator: np.random.Generator, shape: tuple[int, ...], mean: float, std: float) -> np.ndarray:
    return mean + std * generator.standard_normal(shape)


def _uniform(generator: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> np.ndarray:
    return low + (high - low) * generator.random(shape)


_FILLING = {
    torch.ops.aten.normal_.default: ("mean", "std", _normal),
    torch.ops.aten.uniform_.default: ("from", "to", _uniform),
}
_MAKING = {torch.ops.aten.randn.default: _normal, torch.ops.aten.rand.default: _uniform}
