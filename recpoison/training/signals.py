"""Signals that ask long loops to write down where they are: kept back until they have, then passed on."""

from __future__ import annotations

import signal
import threading
from queue import SimpleQueue
from typing import Any

_NAMES = ("SIGTERM", "SIGUSR1", "SIGUSR2")  # from 1.4 on submitit preempts by SIGUSR2, before that by SIGUSR1


class Signals:
    """SIGTERM, SIGUSR1 and SIGUSR2 while loops are at work, in one thread or in several.

    A signal is passed on, to whoever handled it before, once each thread that was in a loop has written its state or
    left the loop; a second SIGTERM is passed on at once. Python hears signals in the main thread alone: only there they
    are taken, given back and passed on.

    Attributes:
        news: Gets an entry whenever a thread has written, so that the main thread can wait for it.
    """

    def __init__(self) -> None:
        self.news: SimpleQueue[object] = SimpleQueue()
        self._before: dict[int, Any] = {}
        self._loops: set[int] = set()
        self._waiting: dict[int, set[int]] = {}

    def listen(self) -> None:
        """Take the signals from now on, in the main thread; elsewhere nothing happens."""
        if self._before or not _in_main_thread():
            return
        for name in _NAMES:
            if hasattr(signal, name):
                number = getattr(signal, name)
                self._before[number] = signal.signal(number, self._receive) or signal.SIG_DFL

    def give_back(self) -> None:
        """End ``listen``, and pass on what is still kept back."""
        if not _in_main_thread():
            return
        before, self._before = self._before, {}
        for number, handler in before.items():
            signal.signal(number, handler)
        waiting, self._waiting = self._waiting, {}
        for number in waiting:
            _pass_on(number, before.get(number))

    def enter(self) -> None:
        """This thread is in a loop that writes its state when it is asked to."""
        self._loops.add(threading.get_ident())
        self.listen()

    def leave(self) -> None:
        """This thread is in no such loop any more."""
        self._loops.discard(threading.get_ident())
        self._note_written()
        if _in_main_thread():
            self.give_back()

    def ask(self) -> set[int]:
        """The signals for which this thread has not written its state."""
        return {number for number, threads in list(self._waiting.items()) if threading.get_ident() in threads}

    def wrote(self) -> None:
        """This thread has written its state."""
        self._note_written()
        self.pass_on()

    def pass_on(self) -> None:
        """In the main thread: pass on the signals that no thread has still to write for."""
        if not _in_main_thread():
            return
        for number in [number for number, threads in list(self._waiting.items()) if not threads]:
            del self._waiting[number]
            _pass_on(number, self._before.get(number))

    def _note_written(self) -> None:
        for threads in list(self._waiting.values()):
            threads.discard(threading.get_ident())
        self.news.put(None)

    def _receive(self, number: int, frame: object) -> None:
        again = number in self._waiting
        if not again:
            self._waiting[number] = set(self._loops)
        if again and number == signal.SIGTERM:
            del self._waiting[number]
            _pass_on(number, self._before.get(number))
        elif not self._loops:
            self.pass_on()


def _pass_on(number: int, handler: Any) -> None:
    if callable(handler):
        handler(number, None)
    elif handler is signal.SIG_DFL and number == signal.SIGTERM:
        signal.signal(number, handler)
        signal.raise_signal(number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
