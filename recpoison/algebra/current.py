"""Where kernels are launched: whether by Triton, and on which device."""

from __future__ import annotations

import importlib.util
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch


def on_triton(device: torch.device) -> bool:
    """Whether Triton's kernels run there: on CUDA, where Triton is.

    Example:
        >>> on_triton(torch.device("cpu"))
        False
    """
    return device.type == "cuda" and _has_triton()


@cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def current(device: torch.device) -> AbstractContextManager[object]:
    """Make ``device`` the current one for a block.

    Triton's launches, streams and graphs go to the current GPU, wherever their tensors are: for tensors on ``cuda:1`` a
    graph of the first GPU is empty, and a kernel reads addresses that are not its own. Torch's operations look at their
    tensors.

    Example:
        >>> with current(torch.device("cpu")):
        ...     pass
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
