"""What was noted about the data while they were read, filtered and split: kept with the split, told in every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recpoison.progress import Progress, Relay

USERS_JUDGED = "users judged"  # the protocol's entry that is a fact of the data, and no rule


class Heard(Relay):
    """Passes everything on, and keeps the notes.

    Args:
        progress: Who is told.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep it and pass it on."""
        self.notes.append(text)
        super().note(text)


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
