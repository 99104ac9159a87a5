"""What of a typed command the next one needs too: where the user's YAML lies, and whose code is trusted."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

_KEPT = {"--config-dir": "--config-dir", "-cd": "--config-dir", "--trust": "--trust"}


def kept_flags(folder: Path) -> list[str]:
    """What the command of the run in ``folder`` says of these, as words; none where it is not known."""
    try:
        words = shlex.split(json.loads((folder / "run.json").read_text(encoding="utf-8"))["command"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return list(_kept(iter(words)))


def _kept(words: Iterator[str]) -> Iterator[str]:
    for word in words:
        name, equals, value = word.partition("=")
        if name in _KEPT:
            yield _KEPT[name]
            yield value if equals else next(words, "")
        elif name == "hydra.searchpath":
            yield word
