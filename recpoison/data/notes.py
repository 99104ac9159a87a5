"""What was noted about the data while they were read, filtered and split: kept with the split, told in every table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recpoison.progress import Loop, Progress, always

if TYPE_CHECKING:
    from recpoison.progress import Fits

USERS_JUDGED = "users judged"  # the protocol's entry that is a fact of the data, and no rule


class Heard(Progress):
    """Passes everything on, and keeps the notes.

    Args:
        progress: Who is told.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.notes: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Pass it on."""
        with self._progress.stage(name):
            yield

    def step(self, done: int, total: int, **figures: float) -> None:
        """Pass it on."""
        self._progress.step(done, total, **figures)

    def reused(self, name: str) -> None:
        """Pass it on."""
        self._progress.reused(name)

    def note(self, text: str) -> None:
        """Keep it and pass it on."""
        self.notes.append(text)
        self._progress.note(text)

    def loop(self, work: object, fits: Fits = always) -> Loop:
        """Pass it on."""
        return self._progress.loop(work, fits)


def over_seeds(notes: Mapping[int, Sequence[str]]) -> list[str]:
    """Each note once: as it is where all seeds have it, else under the seeds that do.

    Args:
        notes: Of each seed.
    """
    seeds_of: dict[str, list[int]] = {}
    for seed, texts in notes.items():
        for text in dict.fromkeys(texts):
            seeds_of.setdefault(text, []).append(seed)
    return [
        text if len(seeds) == len(notes) else f"seed {', '.join(map(str, seeds))}: {text}"
        for text, seeds in seeds_of.items()
    ]
