"""Long loops written down now and then, so that a killed one goes on where it was, to the same numbers bit for bit."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recpoison.descriptions import digest, identity
from recpoison.intact import named_by_content
from recpoison.progress import Loop, Progress, Relay, always
from recpoison.training.signals import Signals

if TYPE_CHECKING:
    from recpoison.progress import Fits

log = logging.getLogger(__name__)
_SECONDS = "seconds before"
_SHARE = 0.02


class SavedLoop(Loop):
    """A loop of a stage, and what its files are called."""

    def __init__(self, checkpoint: Checkpoint, name: str, state: dict[str, Tensor] | None) -> None:
        self.checkpoint, self.name, self.state = checkpoint, name, state

    def keep(self, state: Callable[[], dict[str, Tensor]]) -> None:
        """Write ``state`` if it is time, or a signal asks for it."""
        self.checkpoint.offer(self.name, state)


class Checkpoint(Relay):
    """Passes news on to ``progress`` and keeps the state that loops offer, one safetensors file for each loop.

    The state is written, whole or not at all, every ``every_seconds`` (less often where writing would take more than 2%
    of the time) and when the process gets SIGTERM, SIGUSR1 or SIGUSR2. These are passed on once the state is safe
    (``training.signals``). Signals are taken only from the first loop on, and given back at the end of the block.

    A file's name holds the sha256 of all its bytes. One that does not have it, or that holds what its loop cannot have
    kept, is dropped with a warning.

    Args:
        progress: Who hears the news.
        folder: Where files go; made when the first is written.
        every_seconds: Time between two of them; 0 writes after every round, ``math.inf`` at signals only.
        signals: Who hears signals; shared by loops that run at once in several threads.
    """

    def __init__(self, progress: Progress, folder: Path, every_seconds: float, signals: Signals | None = None) -> None:
        super().__init__(progress)
        self.folder = folder
        self.every_seconds = every_seconds
        self.earlier_seconds = 0.0
        self._start = self._last = time.monotonic()
        self._signals = signals or Signals()
        self._failed = False

    def __enter__(self) -> Self:
        """Start the clock."""
        self._start = self._last = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give signals back, and pass on what waits."""
        self._signals.leave()

    def loop(self, work: object, fits: Fits = always) -> Loop:
        """A loop whose state is kept, with the one that was written when its process died."""
        self._signals.enter()
        name = digest(_told(work))
        return SavedLoop(self, name, self._read(name, fits))

    def offer(self, name: str, state: Callable[[], dict[str, Tensor]]) -> None:
        """Write ``state`` of the loop ``name`` if it is time, or a signal asks for it."""
        asked = self._signals.ask()
        if not asked and time.monotonic() - self._last < self.every_seconds:
            return
        start = time.monotonic()
        self._write(name, state())
        self._last = time.monotonic()
        if self.every_seconds:
            self.every_seconds = max(self.every_seconds, (self._last - start) / _SHARE)
        if signal.SIGTERM in asked:
            self.progress.note("stopped by SIGTERM; the same command goes on from here")
        if asked:
            self._signals.wrote()

    def _read(self, name: str, fits: Fits) -> dict[str, Tensor] | None:
        """The newest state of the loop ``name`` that is whole and fits; what is neither is dropped with a warning."""
        for path in _written(self.folder, name):
            try:
                if not named_by_content(path):
                    raise ValueError("it is not as it was written")
                state = dict(load_file(path))
                seconds = state.pop(_SECONDS)
                if seconds.shape or not fits(state):
                    raise ValueError("it is of no use to this loop")
            except (SafetensorError, ValueError, OSError, KeyError) as error:
                log.warning("the checkpoint %s is damaged (%s) and dropped: going on without it", path, error)
                _drop(path)
                continue
            self.earlier_seconds = max(self.earlier_seconds, seconds.item())
            self.progress.note("going on from the checkpoint of a stopped run")
            return state
        return None

    def _write(self, name: str, state: dict[str, Tensor]) -> None:
        seconds = self.earlier_seconds + time.monotonic() - self._start
        tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()}
        tensors[_SECONDS] = torch.tensor(seconds, dtype=torch.float64)
        draft = self.folder / f".{name}-{uuid.uuid4().hex[:8]}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, draft)
            with draft.open("rb") as file:
                os.fsync(file.fileno())
                path = self.folder / f"{name}-{hashlib.file_digest(file, 'sha256').hexdigest()}.safetensors"
            earlier = _written(self.folder, name)
            os.replace(draft, path)
            for other in earlier:
                if other != path:
                    _drop(other)
        except (SafetensorError, OSError) as error:
            _drop(draft)
            if not self._failed:
                log.warning("no checkpoint in %s (%s): free space there", self.folder, error)
            self._failed = True


def _written(folder: Path, name: str) -> list[Path]:
    """The files of a loop, newest first: two where its process died between writing one and removing the other."""
    return sorted(folder.glob(f"{name}-*.safetensors"), key=_age)


def _age(path: Path) -> float:
    try:
        return -path.lstat().st_mtime
    except OSError:
        return 0.0


def _drop(path: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


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
