"""Where kernels are launched: whether by Triton, on which device and in which stream of it."""

from __future__ import annotations

import gc
import importlib.util
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch

MOST_STREAMS = 32  # of a device's in torch: the next one is the first again
_one_capture = threading.Lock()  # to begin one, torch waits for the whole device, which ends any other with an error


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


def streams(device: torch.device, n: int) -> list[AbstractContextManager[object]]:
    """For each of ``n`` threads a block whose launches queue on their own, so that the device does several at once.

    What the launching thread began is done by then; a block ends when its launches have. On a CPU it is any block.

    Args:
        device: Where they launch.
        n: Threads, at most ``MOST_STREAMS``.

    Example:
        >>> first, second = streams(torch.device("cpu"), 2)
        >>> with first, second:
        ...     pass
    """
    if device.type != "cuda":
        return [nullcontext() for _ in range(n)]
    if n > MOST_STREAMS:
        raise ValueError(f"{n} threads would share {MOST_STREAMS} streams")
    torch.cuda.synchronize(device)
    with torch.cuda.device(device):
        return [_Queue(torch.cuda.Stream()) for _ in range(n)]


def alone() -> bool:
    """Whether this thread launches into the current device's default stream, and so no other thread beside it."""
    return bool(torch.cuda.current_stream() == torch.cuda.default_stream())


class _Queue(AbstractContextManager[object]):
    """A block in a stream.

    A thread's first product makes it a handle of a library, for which the library waits for the whole device: this is
    done here, while nobody captures.
    """

    inside = 0  # blocks that threads are in

    def __init__(self, stream: torch.cuda.Stream) -> None:
        self._stream, self._block = stream, torch.cuda.stream(stream)

    def __enter__(self) -> object:
        entered = self._block.__enter__()
        with _one_capture:
            _Queue.inside += 1
            one = torch.ones(1, 1, device=self._stream.device)
            _ = one @ one, one.to_sparse() @ one, torch.linalg.cholesky(one)
            self._stream.synchronize()
        return entered

    def __exit__(self, *error: Any) -> None:
        try:
            self._stream.synchronize()
        finally:
            with _one_capture:
                _Queue.inside -= 1
            self._block.__exit__(*error)


def captured(launch: Callable[[], object], warm_up: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """The graph of what ``launch`` launches on the current device, after ``warm_up``, which is run and not captured.

    Threads take turns. A thread that has a stream of its own captures there: torch has so few that a new one may be
    another thread's, whose launches would be captured too.

    Args:
        launch: What to capture; it allocates nothing that must outlive it, and asks the device nothing.
        warm_up: Compiles and allocates what it needs.
    """
    mine = torch.cuda.current_stream()
    stream = torch.cuda.Stream() if alone() else mine
    graph = torch.cuda.CUDAGraph()
    with _one_capture:
        stream.wait_stream(mine)
        with torch.cuda.stream(stream):
            warm_up()
        with _garbage_kept(), torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            launch()
        mine.wait_stream(stream)
    return graph


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Nothing is collected inside: the end of an older graph ends a capture of the same thread with an error."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def free_memory(device: torch.device) -> int:
    """Bytes of a CUDA device that one thread may take: what is free or kept by torch for later use, shared equally."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return (int(torch.cuda.mem_get_info(device)[0]) + kept) // max(1, _Queue.inside)
