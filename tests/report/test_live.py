import logging
import time
from io import StringIO

import pytest
from rich.console import Console
from rich.logging import RichHandler

from recpoison.report.live import LiveProgress


def run(progress: LiveProgress) -> None:
    with progress:
        progress.reused("split ml_100k")
        with progress.stage("fit bprmf [clean]"):
            for done in range(1, 4):
                progress.step(done, 3, loss=1 / done)
        progress.note("12 rows [dropped]")


def test_without_a_terminal_each_stage_is_one_log_line(caplog: pytest.LogCaptureFixture) -> None:
    out = StringIO()
    with caplog.at_level(logging.INFO, logger="recpoison"):
        run(LiveProgress(Console(file=out)))
    assert out.getvalue() == ""
    assert caplog.messages == [
        "split ml_100k: reused",
        "fit bprmf [clean]: 0.0 s, loss 0.3333",
        "12 rows [dropped]",
    ]


def test_a_terminal_shows_lines_and_a_bar_and_the_log_file_the_same_lines(caplog: pytest.LogCaptureFixture) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=100)
    handler = RichHandler(console=console)
    logging.getLogger("recpoison").addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, logger="recpoison"):
            run(LiveProgress(console))
            shown = console.file.getvalue()
            assert caplog.messages[1] == "fit bprmf [clean]: 0.0 s, loss 0.3333"
            assert shown.count("loss 0.3333") >= 1
            assert "INFO" not in shown  # the terminal's handler is silent while the bar is drawn ...
            logging.getLogger("recpoison").info("after")
            assert "INFO" in console.file.getvalue()  # ... and speaks again afterwards
    finally:
        logging.getLogger("recpoison").removeHandler(handler)


def test_the_bar_shows_epochs_and_loss() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=100)
    with LiveProgress(console) as progress, progress.stage("fit"):
        progress.step(7, 20, loss=0.25)
        time.sleep(0.3)
        assert "7/20" in console.file.getvalue()
        assert "loss 0.25" in console.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_an_exception_passes_through_and_is_told(terminal: bool, caplog: pytest.LogCaptureFixture) -> None:
    console = Console(file=StringIO(), force_terminal=terminal, width=100)
    progress = LiveProgress(console)

    def fails() -> None:
        with progress, progress.stage("craft average"):
            progress.step(0, 0, loss=float("nan"))
            raise ValueError("boom")

    with caplog.at_level(logging.INFO, logger="recpoison"), pytest.raises(ValueError, match="boom"):
        fails()
    assert caplog.messages == ["craft average: failed after 0.0 s"]
    if terminal:
        shown = console.file.getvalue()
        assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    progress.step(1, 2)
    progress.note("after the end")


def test_quiet_draws_nothing_even_on_a_terminal() -> None:
    console = Console(file=StringIO(), force_terminal=True)
    run(LiveProgress(console, quiet=True))
    assert console.file.getvalue() == ""
