"""How long work tells the outside where it is. The class here says nothing; a live view overrides it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    Fits = Callable[[dict[str, Tensor]], bool]


def always(state: dict[str, Tensor]) -> bool:
    """Whether a loop could have kept ``state``, for one that does not say."""
    return True


class Loop:
    """A loop that can go on where its process died; here it cannot. ``training.checkpoint`` overrides it.

    ``state`` is what ``keep`` was given before the process died, on the CPU; None where the loop starts afresh.
    """

    state: dict[str, Tensor] | None = None

    def keep(self, state: Callable[[], dict[str, Tensor]]) -> None:
        """Say after each round that the loop could go on from here.

        Args:
            state: Gives everything the remaining rounds depend on. Called only when it is time to write it down; its
                tensors may change afterwards.
        """


class Progress:
    """Receives news of a run and drops it: the quiet default of the Python API."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Mark the work inside the block as the stage ``name``, such as ``"fit bprmf on poisoned data"``."""
        yield

    def step(self, done: int, total: int, **figures: float) -> None:
        """Say that ``done`` of ``total`` units of the current stage are over; ``figures`` are shown beside it."""

    def reused(self, name: str) -> None:
        """Say that a stage was found in the store."""

    def note(self, text: str) -> None:
        """Say something a reader of the log should know, such as rows dropped as duplicates."""

    def loop(self, work: object, fits: Fits = always) -> Loop:
        """Begin a loop that may be long.

        Args:
            work: What tells the loop from others of the same stage: its settings, data, stream and initial values, as
                parts, interactions, tensors, arrays or plain values.
            fits: Whether the loop could have kept a state: looks at names, shapes, types, and how far it is.
        """
        return Loop()


def alike(tensor: Tensor | None, other: Tensor) -> bool:
    """Whether a tensor that was kept has the shape and type of ``other``: what ``fits`` of a loop asks of each."""
    return tensor is not None and tensor.shape == other.shape and tensor.dtype == other.dtype


def duration(seconds: float) -> str:
    """A time in words, such as ``3.2 s`` or ``2 min 05 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Relay(Progress):
    """Passes everything on; what hears something itself overrides that.

    Args:
        progress: Who is told.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Pass it on."""
        with self.progress.stage(name):
            yield

    def step(self, done: int, total: int, **figures: float) -> None:
        """Pass it on."""
        self.progress.step(done, total, **figures)

    def reused(self, name: str) -> None:
        """Pass it on."""
        self.progress.reused(name)

    def note(self, text: str) -> None:
        """Pass it on."""
        self.progress.note(text)

    def loop(self, work: object, fits: Fits = always) -> Loop:
        """Pass it on."""
        return self.progress.loop(work, fits)


QUIET = Progress()
