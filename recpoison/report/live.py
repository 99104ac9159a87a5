"""A run as it happens: a live view on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import rich
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from recpoison.errors import printable
from recpoison.progress import Progress, duration

log = logging.getLogger("recpoison")
# Seconds between two lines where no bar can be drawn.
_PAUSE = 5.0


@dataclass(frozen=True)
class Overview:
    """Where a sweep is while one of its cells runs.

    Args:
        cell: How lines name the cell.
        over: Cells that are done or failed for good.
        of: All cells.
        left: Says how long the whole may still take; None where nobody knows.
    """

    cell: str
    over: int
    of: int
    left: Callable[[], str] | None = None


class _AtWork(threading.local):
    """What one thread is at: the bars of its stages, one inside the other, and its last figures."""

    def __init__(self) -> None:
        self.tasks: list[TaskID | None] = []
        self.figures: dict[str, float] = {}


class LiveProgress(Progress):
    """Shows which stage runs, how far it is, its loss, the time left, and what is over or was reused.

    Use it as a context manager around a run. On a terminal it keeps a bar at the bottom and prints one line above it
    for each finished stage; in a sweep the bar has another for the cells above it, and lines are left to the sweep.
    Where no bar can be drawn a line tells of a finished stage, at most one every few seconds. Either way every line
    goes to the log ``recpoison``, and while the bar is drawn log handlers that write to the terminal skip these lines
    (warnings still show, above the bar). An exception passes through and leaves the terminal in order. Stages that run
    at once, in several threads, have a bar each.

    Args:
        console: Where to draw; rich's own by default, which ``rich.logging`` shares.
        quiet: Draw and print nothing, even on a terminal.
        alone: Whether nobody else writes to the same terminal; else lines do for the bar.
        overview: Where the sweep is that the run belongs to.
    """

    def __init__(
        self,
        console: Console | None = None,
        quiet: bool = False,
        *,
        alone: bool = True,
        overview: Overview | None = None,
    ) -> None:
        self.console = console or rich.get_console()
        self.drawn = self.console.is_terminal and not self.console.is_dumb_terminal and alone and not quiet
        self.overview = overview
        self._quiet = quiet
        self._last_line = time.monotonic()
        self._unsaid = 0
        self._bars: Bars | None = None
        self._filtered: list[logging.Handler] = []
        self._at_work = _AtWork()

    def __enter__(self) -> Self:
        """Start drawing."""
        if self.drawn:
            self._bars = _bars(self.console)
            if self.overview is not None:
                self._add_cells(self._bars, self.overview)
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
        task = self._bars.add_task(name, total=None, count="", figures="", left=None) if self._bars else None
        mine = self._at_work
        mine.tasks.append(task)
        mine.figures = {}
        start = time.monotonic()
        mark, style, said = "✗", "red", "failed after "
        try:
            yield
            mark, style, said = "✓", "green", ""
        finally:
            mine.tasks.pop()
            if self._bars is not None and task is not None:
                self._bars.remove_task(task)
            seconds = duration(time.monotonic() - start)
            line = ", ".join(filter(None, (f"{name}: {said}{seconds}", _in_words(mine.figures))))
            self._line(mark, style, line)
            self._now_and_then(line)
            mine.figures = {}

    def step(self, done: int, total: int, **figures: float) -> None:
        """Move the bar of the current stage to ``done`` of ``total``."""
        mine = self._at_work
        mine.figures = dict(figures)
        if self._bars is not None and mine.tasks and mine.tasks[-1] is not None:
            self._bars.update(
                mine.tasks[-1],
                completed=done,
                total=total if total > 0 else None,
                count=f"{done}/{total}",
                figures=_in_words(figures),
            )

    def reused(self, name: str) -> None:
        """Say that a stage was found in the store."""
        self._line("↺", "blue", f"{name}: reused")
        self._now_and_then(f"{name}: reused")

    def note(self, text: str) -> None:
        """Say something a reader of the log should know."""
        self._line("·", "dim", printable(text))

    def _line(self, mark: str, style: str, text: str) -> None:
        if self._bars is not None and self.overview is None:
            self._bars.console.print(Text.assemble((f"{mark} ", style), text), soft_wrap=True)
        log.info("%s", text, extra={"drawn": self._bars is not None})

    def _now_and_then(self, text: str) -> None:
        """Print a line where no bar is drawn, unless another was printed just now; the next one counts it then."""
        if self._quiet or self.drawn:
            return
        if time.monotonic() - self._last_line < _PAUSE:
            self._unsaid += 1
            return
        before = f" ({self._unsaid} more before it)" if self._unsaid else ""
        cell = f"{self.overview.cell}: " if self.overview is not None else ""
        self.console.print(Text(f"{cell}{text}{before}"), soft_wrap=True)
        self._last_line, self._unsaid = time.monotonic(), 0

    @staticmethod
    def _add_cells(bars: Bars, overview: Overview) -> None:
        count = f"{overview.over}/{overview.of} cells"
        bars.add_task(
            overview.cell, total=overview.of, completed=overview.over, count=count, figures="", left=overview.left
        )


class _Title(ProgressColumn):
    """What a bar is of, in one line: it gives way where the terminal is narrow."""

    def render(self, task: Task) -> Text:
        """One cell of the column."""
        return Text(task.description, no_wrap=True, overflow="ellipsis")


class _Left(TimeRemainingColumn):
    """The time left: of the whole sweep beside its cells, else by the speed of the bar."""

    def render(self, task: Task) -> Text:
        """One cell of the column."""
        if task.fields["left"] is None:
            return super().render(task)
        return Text(task.fields["left"](), style="progress.remaining")


def _bars(console: Console) -> Bars:
    return Bars(
        SpinnerColumn(),
        _Title(),
        BarColumn(bar_width=12),
        TextColumn("{task.fields[count]}", markup=False),
        TextColumn("{task.fields[figures]}", markup=False, style="cyan"),
        TimeElapsedColumn(),
        _Left(compact=True, table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
        refresh_per_second=8,
    )


def _not_drawn(record: logging.LogRecord) -> bool:
    return not getattr(record, "drawn", False)


def _handlers(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _on_terminal(handler: logging.Handler) -> bool:
    return isinstance(handler, RichHandler) or type(handler) is logging.StreamHandler


def _in_words(figures: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in figures.items() if math.isfinite(value))
