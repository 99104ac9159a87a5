"""Python's collector of cycles while a command starts: what imports leave is not gone through again."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_SELDOM = 50_000  # new objects between two rounds

_usual: list[tuple[int, int, int]] = []


@contextmanager
def collected_seldom(own: bool) -> Iterator[None]:
    """Collect seldom inside the block, until ``started`` is called.

    Imports and composing leave a million objects, and Python goes through all of them again and again: a sixth of the
    time of a short run.

    Args:
        own: Whether the process is the command's own. In another's nothing is changed.
    """
    if not own:
        yield
        return
    _usual.append(gc.get_threshold())
    gc.set_threshold(_SELDOM, *_usual[-1][1:])
    try:
        yield
    finally:
        _as_usual()


def started() -> None:
    """Say that the work begins: collect as usual from here on, but leave alone what is there already.

    Only the first run of a process is heard: what an earlier run of a sweep left is to be collected.
    """
    if _usual:
        gc.freeze()
        _as_usual()


def _as_usual() -> None:
    if _usual:
        gc.set_threshold(*_usual.pop())
