import logging
import threading
import time
from io import StringIO

import pytest
from rich.console import Console
from rich.logging import RichHandler

from recpoison.report.live import LiveProgress, Overview


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


def test_a_pipe_gets_a_line_every_few_seconds_that_counts_those_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stages end after 1, 2, 6, 7 and 12 seconds: lines at 6 (two before it) and 12 (one before it)."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    out = StringIO()
    overview = Overview("cell 2 of 3 (seed=1)", 1, 3)
    with LiveProgress(Console(file=out, width=20), overview=overview) as progress:
        for number, end in enumerate((1.0, 2.0, 6.0, 7.0, 12.0)):
            with progress.stage(f"fit {number}, seed 1"):
                now[0] = end
    assert out.getvalue().splitlines() == [
        "cell 2 of 3 (seed=1): fit 2, seed 1: 4.0 s (2 more before it)",
        "cell 2 of 3 (seed=1): fit 4, seed 1: 5.0 s (1 more before it)",
    ]


def test_a_sweep_on_a_terminal_has_a_bar_of_cells_above_and_leaves_lines_to_the_sweep() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=80, color_system=None)
    overview = Overview("cell 2 of 12 (seed=1)", 1, 12, lambda: "~2 min 05 s")
    with LiveProgress(console, overview=overview) as progress, progress.stage("fit mf"):
        progress.step(7, 20, loss=0.25)
        time.sleep(0.3)
    shown = console.file.getvalue()
    assert "cell 2 of 12 (seed=1)" in shown
    assert "1/12 cells" in shown
    assert "~2 min 05 s" in shown
    assert "7/20" in shown
    assert "✓" not in shown


def test_a_process_beside_others_draws_no_bar() -> None:
    out = StringIO()
    run(LiveProgress(Console(file=out, force_terminal=True), alone=False, overview=Overview("cell 1 of 2", 0, 2)))
    assert out.getvalue() == ""


def test_stages_in_several_threads_have_a_bar_each_and_keep_their_own_figures(caplog: pytest.LogCaptureFixture) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=80, color_system=None)
    both_begun, told = threading.Barrier(2, timeout=60), threading.Barrier(2, timeout=60)

    def fit(number: int) -> None:
        with progress.stage(f"fit mf, seed {number}"):
            both_begun.wait()
            progress.step(3 + number, 20, loss=0.25 + number)
            told.wait()
            time.sleep(0.4)

    with caplog.at_level(logging.INFO, logger="recpoison"), LiveProgress(console) as progress:
        threads = [threading.Thread(target=fit, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    shown = console.file.getvalue()
    assert "3/20" in shown
    assert "4/20" in shown
    ends = sorted((line.partition(":")[0], line.rpartition(", ")[2]) for line in caplog.messages)
    assert ends == [("fit mf, seed 0", "loss 0.25"), ("fit mf, seed 1", "loss 1.25")]
