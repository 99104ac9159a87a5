"""How long work tells the outside where it is. The class here says nothing; a live view overrides it."""

from collections.abc import Iterator
from contextlib import contextmanager


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
