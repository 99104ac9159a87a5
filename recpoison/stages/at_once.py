"""Several seeds of a run at once, as threads: compiled kernels and torch leave Python's lock to the others.

On CUDA each thread launches into a stream of its own, so that small kernels of several seeds run beside each other.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from queue import Empty
from typing import Any, Generic, TypeVar, cast

import torch

from recpoison.algebra.current import MOST_STREAMS, free_memory, streams
from recpoison.memory import available_memory, resident_memory
from recpoison.training.signals import Signals

Value = TypeVar("Value")
# A seed is taken to fit as long as this many bytes for each cell of its users x items are free: eight dense matrices.
_BYTES_A_CELL = 64
# How long threads that were told to stop are waited for.
_PATIENCE = 10.0
_LOOK_SECONDS = 0.5


class Stopped(SystemExit):
    """What ends a thread whose result nobody wants any more."""


def all_of(
    works: Sequence[Callable[[], Value]], workers: int, n_cells: int, signals: Signals, device: torch.device
) -> list[Value]:
    """The values of ``works``, in order, as many at once as ``workers`` and memory permit, the device's on CUDA.

    Where it is not sure that memory suffices, the first is done alone, and what it took is taken for what each takes.

    Args:
        works: What to do; each has its own numbers, whatever runs beside it.
        workers: Most threads.
        n_cells: Users x items of one.
        signals: Who hears signals meanwhile.
        device: Where they work.
    """
    if workers < 2:
        return [work() for work in works]
    free, taken_now, taken_most = _memory_of(device)
    if n_cells * _BYTES_A_CELL * workers <= free():
        return at_once(works, workers, signals, device)
    before = taken_now()
    first = works[0]()
    taken = max(taken_most() - before, 1)
    workers = max(1, min(workers, int(free() // taken)))
    if workers < 2:
        return [first, *(work() for work in works[1:])]
    return [first, *at_once(works[1:], workers, signals, device)]


def _memory_of(device: torch.device) -> tuple[Callable[[], int], Callable[[], int], Callable[[], int]]:
    """Bytes that are free there, that are taken by this process, and that were at most."""
    if device.type == "cuda":
        return (
            partial(free_memory, device),
            partial(torch.cuda.memory_allocated, device),
            partial(torch.cuda.max_memory_allocated, device),
        )
    return available_memory, resident_memory, partial(resident_memory, peak=True)


def at_once(works: Sequence[Callable[[], Value]], workers: int, signals: Signals, device: torch.device) -> list[Value]:
    """The values of ``works``, in order, ``workers`` of them at once.

    Each thread has as many threads of torch's as this one. What one raises is raised here, the first of several; the
    others are stopped then, as they are by whatever is raised here meanwhile, such as by Ctrl-C.

    Args:
        works: What to do.
        workers: How many threads.
        signals: Who hears signals meanwhile.
        device: Where they work.
    """
    queues = streams(device, min(workers, len(works), MOST_STREAMS))
    crew = _Crew(works, len(queues), signals)
    threads = [threading.Thread(target=crew.work, args=(queue,), daemon=True) for queue in queues]
    signals.listen()
    try:
        for thread in threads:
            thread.start()
        while not crew.failed and crew.busy:
            with suppress(Empty):  # a signal may arrive in another thread, and is heard when this one looks up
                signals.news.get(timeout=_LOOK_SECONDS)
            signals.pass_on()
    finally:
        try:
            if crew.busy:  # else each is about to end, and to be stopped then would be told as an error
                _stop([thread for thread in threads if thread.ident is not None])
        finally:
            signals.give_back()
    if crew.failed:
        raise crew.failed[min(crew.failed)]
    return crew.values


class _Crew(Generic[Value]):
    """Threads that take one work after the other.

    Attributes:
        busy: How many threads are still at it.
        failed: What works raised, by number.
    """

    def __init__(self, works: Sequence[Callable[[], Value]], n_threads: int, signals: Signals) -> None:
        self.busy, self._lock = n_threads, threading.Lock()
        self.failed: dict[int, BaseException] = {}
        self._found: dict[int, Value] = {}
        self._left = iter(range(len(works)))
        self._works, self._signals = works, signals
        self._threads_of_torch = torch.get_num_threads()

    @property
    def values(self) -> list[Value]:
        """What they found, in order."""
        return [self._found[number] for number in range(len(self._works))]

    def work(self, queue: AbstractContextManager[object]) -> None:
        """Do what is left, each within ``queue``."""
        with suppress(Stopped):  # it may come when this one ends by itself
            self._work(queue)

    def _work(self, queue: AbstractContextManager[object]) -> None:
        try:
            torch.set_num_threads(self._threads_of_torch)
            while (number := next(self._left, None)) is not None:
                try:
                    with queue:
                        self._found[number] = self._works[number]()
                except Stopped:
                    raise
                except BaseException as error:
                    self.failed[number] = error
                    return
        finally:
            with self._lock:
                self.busy -= 1
            self._signals.news.put(None)


def _stop(threads: Sequence[threading.Thread]) -> None:
    """Raise ``Stopped`` in threads that are alive, wherever they are, and wait for their end, but not for ever."""
    end = time.monotonic() + _PATIENCE
    for thread in threads:
        if thread.is_alive():
            identity = ctypes.c_ulong(cast(int, thread.ident))
            ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, ctypes.py_object(Stopped))
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


class Once:
    """What all seeds of a run want and one of them makes: the others wait for it.

    Args:
        wanted: Tells it.
    """

    def __init__(self, wanted: Callable[[Any], bool]) -> None:
        self._wanted, self._lock = wanted, threading.RLock()
        self._kept: dict[str, Any] = {}

    def through(self, obtain: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """``obtain``, asked only for what was not made yet."""

        def asked(stage: Any, /) -> Any:
            if not self._wanted(stage):
                return obtain(stage)
            with self._lock:
                if stage.kind not in self._kept:
                    self._kept[stage.kind] = obtain(stage)
                return self._kept[stage.kind]

        return asked
