"""The device that launches go to."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


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
