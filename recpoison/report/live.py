"""A run as it happens: a live view on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import rich
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from recpoison.errors import printable
from recpoison.progress import Progress

log = logging.getLogger("recpoison")


class LiveProgress(Progress):
    """Shows which stage runs, how far it is, its loss, the time left, and what is over or was reused.

    Use it as a context manager around a run. On a terminal it keeps a bar at the bottom and prints one line above it
    for each finished stage; elsewhere it draws nothing. Either way every line goes to the log ``recpoison``, and while
    the bar is drawn log handlers that write to the terminal skip these lines (warnings still show, above the bar). An
    exception passes through and leaves the terminal in order.

    Args:
        console: Where to draw; rich's own by default, which ``rich.logging`` shares.
        quiet: Draw nothing even on a terminal.
    """

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self.console = console or rich.get_console()
        self.drawn = self.console.is_terminal and not self.console.is_dumb_terminal and not quiet
        self._bars: Bars | None = None
        self._stages: list[tuple[TaskID | None, str]] = []
        self._filtered: list[logging.Handler] = []
        self._figures: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Start drawing."""
        if self.drawn:
            self._bars = Bars(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[count]}", markup=False),
                TextColumn("{task.fields[figures]}", markup=False, style="cyan"),
                TimeElapsedColumn(),
                TimeRemainingColumn(compact=True),
                console=self.console,
                transient=True,
                refresh_per_second=8,
            )
            self._bars.start()
            self._filtered = [handler for handler in _handlers(log) if _on_terminal(handler)]
            for handler in self._filtered:
                handler.addFilter(_not_drawn)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing, whatever happened."""
        for handler in self._filtered:
            handler.removeFilter(_not_drawn)
        self._filtered = []
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show ``name`` as running, then as done with its seconds and last figures, or as failed."""
        task = self._bars.add_task(name, total=None, count="", figures="") if self._bars else None
        self._stages.append((task, name))
        self._figures = {}
        start = time.monotonic()
        mark, style, said = "✗", "red", "failed after "
        try:
            yield
            mark, style, said = "✓", "green", ""
        finally:
            self._stages.pop()
            if self._bars is not None and task is not None:
                self._bars.remove_task(task)
            seconds = _duration(time.monotonic() - start)
            self._line(mark, style, ", ".join(filter(None, (f"{name}: {said}{seconds}", _in_words(self._figures)))))
            self._figures = {}

    def step(self, done: int, total: int, **figures: float) -> None:
        """Move the bar of the current stage to ``done`` of ``total``."""
        self._figures = dict(figures)
        if self._bars is not None and self._stages and self._stages[-1][0] is not None:
            self._bars.update(
                self._stages[-1][0],
                completed=done,
                total=total if total > 0 else None,
                count=f"{done}/{total}",
                figures=_in_words(figures),
            )

    def reused(self, name: str) -> None:
        """Say that a stage was found in the store."""
        self._line("↺", "blue", f"{name}: reused")

    def note(self, text: str) -> None:
        """Say something a reader of the log should know."""
        self._line("·", "dim", printable(text))

    def _line(self, mark: str, style: str, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(Text.assemble((f"{mark} ", style), text), soft_wrap=True)
        log.info("%s", text, extra={"drawn": self._bars is not None})


def _not_drawn(record: logging.LogRecord) -> bool:
    return not getattr(record, "drawn", False)


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _on_terminal(handler: logging.Handler) -> bool:
    return isinstance(handler, RichHandler) or type(handler) is logging.StreamHandler


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _in_words(figures: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items() if math.isfinite(value))
