"""How the command ends: what it says of an error, and what signals do."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from recpoison.errors import behind


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


class Stops:
    """Signals that ask the command to stop, and its answer: each way to stop has one exit code, at any moment.

    SIGTERM and Ctrl-C raise, wherever the command is. What they raise may be lost under another exception, or in a
    library that catches all: it is noted, so that the end can tell. Once the work is over nothing is left to stop, and
    they end the process at once with the work's own code.
    """

    def __init__(self) -> None:
        self._asked: KeyboardInterrupt | None = None
        self._code: int | None = None

    def __call__(self, number: int, frame: Any) -> None:
        """Answer a signal."""
        if self._code is not None:
            os._exit(self._code)
        self._asked = self._asked or (Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
        raise self._asked

    def raise_lost(self) -> None:
        """Raise what a signal raised before, if it did not get here.

        Raises:
            KeyboardInterrupt: If there was a signal.
        """
        if self._asked is not None:
            raise self._asked

    def end(self, code: int) -> int:
        """Say that the work is over with a code; gives it back."""
        self._code = code
        return code


def raise_stop_behind(error: BaseException) -> None:
    """Raise the wish to stop on whose way out ``error`` was raised, if it was.

    Raises:
        KeyboardInterrupt: If so.
    """
    for seen in behind(error):
        if isinstance(seen, KeyboardInterrupt):
            raise seen


def out_of_time(error: BaseException | None) -> bool:
    """Whether a job was stopped by submitit: its time is over, or its machine is wanted for other work.

    From 1.4 on submitit raises this inside the job.
    """
    return any(
        type(seen).__name__ == "UncompletedJobError" and type(seen).__module__.startswith("submitit")
        for seen in behind(error)
    )


@contextmanager
def signals_answered(until_the_end: bool = False) -> Iterator[Stops]:
    """SIGTERM and Ctrl-C end the command in order; SIGUSR1 and SIGUSR2 ask fits for a checkpoint, and nobody else.

    Args:
        until_the_end: Whether the process ends with the command, so that signals have the same answer afterwards.
    """
    stops = Stops()
    if threading.current_thread() is not threading.main_thread():  # where signals do not arrive
        yield stops
        return
    answers: dict[str, Any] = {"SIGTERM": stops, "SIGINT": stops}
    answers |= dict.fromkeys(("SIGUSR1", "SIGUSR2"), signal.SIG_IGN)
    numbers = {getattr(signal, name): answer for name, answer in answers.items() if hasattr(signal, name)}
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # as nohup has it, or a program around us
        del numbers[signal.SIGINT]
    before = {number: signal.signal(number, answer) for number, answer in numbers.items()}
    try:
        yield stops
    finally:
        for number, answer in before.items():
            if not until_the_end:
                signal.signal(number, answer)
