"""Long loops written down now and then, so that a killed one goes on where it was, to the same numbers bit for bit."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recpoison.descriptions import digest, identity
from recpoison.progress import Loop, Progress

log = logging.getLogger(__name__)
_SECONDS = "seconds before"
_SHARE = 0.02


class SavedLoop(Loop):
    """A loop of a stage, and its file."""

    def __init__(self, checkpoint: Checkpoint, path: Path, state: dict[str, Tensor] | None) -> None:
        self.checkpoint, self.path, self.state = checkpoint, path, state

    def keep(self, state: Callable[[], dict[str, Tensor]]) -> None:
        """Write ``state`` if it is time, or a signal asks for it."""
        self.checkpoint.offer(self.path, state)


class Checkpoint(Progress):
    """Passes news on to ``progress`` and keeps the state that loops offer, one safetensors file for each loop.

    The state is written, whole or not at all, every ``every_seconds`` (less often where writing would take more than 2%
    of the time) and when the process gets SIGTERM or SIGUSR1. SIGTERM is delivered once the state is safe, to whoever
    handled it before; a second one is delivered at once. Signals are taken only in the main thread, only from the first
    loop on, and given back at the end of the block.

    Args:
        progress: Who hears the news.
        folder: Where files go; made when the first is written.
        every_seconds: Time between two of them; 0 writes after every round, ``math.inf`` at signals only.
    """

    def __init__(self, progress: Progress, folder: Path, every_seconds: float) -> None:
        self.progress = progress
        self.folder = folder
        self.every_seconds = every_seconds
        self.earlier_seconds = 0.0
        self._start = self._last = time.monotonic()
        self._handlers: dict[int, Any] = {}
        self._pending: set[int] = set()

    def __enter__(self) -> Self:
        """Start the clock."""
        self._start = self._last = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give signals back, and deliver a SIGTERM that waits."""
        self._give_back()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Pass on."""
        with self.progress.stage(name):
            yield

    def step(self, done: int, total: int, **figures: float) -> None:
        """Pass on."""
        self.progress.step(done, total, **figures)

    def reused(self, name: str) -> None:
        """Pass on."""
        self.progress.reused(name)

    def note(self, text: str) -> None:
        """Pass on."""
        self.progress.note(text)

    def loop(self, work: object) -> Loop:
        """A loop whose state is kept, with the one that was written when its process died."""
        self._listen()
        path = self.folder / f"{digest(_told(work))}.safetensors"
        return SavedLoop(self, path, self._read(path))

    def offer(self, path: Path, state: Callable[[], dict[str, Tensor]]) -> None:
        """Write ``state`` to ``path`` if it is time, or a signal asks for it."""
        if not self._pending and time.monotonic() - self._last < self.every_seconds:
            return
        start = time.monotonic()
        self._write(path, state())
        self._last = time.monotonic()
        if self.every_seconds:
            self.every_seconds = max(self.every_seconds, (self._last - start) / _SHARE)
        if signal.SIGTERM in self._pending:
            self.progress.note("stopped by SIGTERM; the same command goes on from here")
            self._give_back()
        while self._pending:
            number = self._pending.pop()
            if callable(self._handlers[number]):
                self._handlers[number](number, None)

    def _read(self, path: Path) -> dict[str, Tensor] | None:
        """What was written to ``path``; an unreadable file counts as none."""
        try:
            state = dict(load_file(path))
            self.earlier_seconds = max(self.earlier_seconds, state.pop(_SECONDS).item())
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, KeyError) as error:
            log.warning("the checkpoint %s cannot be read (%s): starting afresh", path, error)
            return None
        self.progress.note("going on from the checkpoint of a stopped run")
        return state

    def _write(self, path: Path, state: dict[str, Tensor]) -> None:
        seconds = self.earlier_seconds + time.monotonic() - self._start
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
        tensors[_SECONDS] = torch.tensor(seconds, dtype=torch.float64)
        draft = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(tensors, draft)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(draft, path)
        except (SafetensorError, OSError) as error:
            draft.unlink(missing_ok=True)
            log.warning("no checkpoint in %s (%s): free space there", path.parent, error)

    def _listen(self) -> None:
        if self._handlers or threading.current_thread() is not threading.main_thread():
            return
        for name in ("SIGTERM", "SIGUSR1"):
            if hasattr(signal, name):
                number = getattr(signal, name)
                self._handlers[number] = signal.signal(number, self._receive) or signal.SIG_DFL

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again = number in self._pending
        self._pending.add(number)
        if again and number == signal.SIGTERM:
            self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers.clear()
        stopping = signal.SIGTERM in self._pending
        self._pending.clear()
        if stopping:
            signal.raise_signal(signal.SIGTERM)


def _told(value: Any) -> Any:
    """``value`` in plain values, arrays and tensors by the sha256 of their bytes."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if isinstance(value, np.ndarray):
        return [value.dtype.str, *value.shape, hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()]
    if isinstance(value, Mapping):
        return {str(key): _told(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    fingerprint = getattr(value, "fingerprint", None)
    return fingerprint if isinstance(fingerprint, str) else identity(value)
