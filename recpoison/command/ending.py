"""How the command ends: what it says of an error, and what signals do."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM, as a batch system sends it before it kills."""


def wants_traceback() -> bool:
    """Whether ``HYDRA_FULL_ERROR=1`` asks for Python's own words."""
    return os.environ.get("HYDRA_FULL_ERROR") == "1"


def say(text: str) -> None:
    """Tell the user, on stderr: one problem in a line, several as a list."""
    lines = text.splitlines() or [""]
    if len(lines) == 1:
        print(f"recpoison: {lines[0]}", file=sys.stderr)
    else:
        print(f"recpoison: {len(lines)} problems:", *(f"  {line}" for line in lines), sep="\n", file=sys.stderr)


@contextmanager
def signals_answered() -> Iterator[None]:
    """SIGTERM ends the command in order; SIGUSR1, which asks a fit for a checkpoint, does nothing outside fits."""

    def stop(number: int, frame: Any) -> None:
        raise Terminated

    answers: dict[str, Any] = {"SIGTERM": stop, "SIGUSR1": signal.SIG_IGN}
    numbers = {getattr(signal, name): answer for name, answer in answers.items() if hasattr(signal, name)}
    if threading.current_thread() is not threading.main_thread():  # where signals do not arrive
        yield
        return
    before = {number: signal.signal(number, answer) for number, answer in numbers.items()}
    try:
        yield
    finally:
        for number, answer in before.items():
            signal.signal(number, answer)
