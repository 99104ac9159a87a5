"""How signals end the command: by one code each, wherever they find it."""

import os
import signal
import subprocess
import sys

import pytest
from sweeping import SMALL, statuses

import recpoison.command.understanding
import recpoison.experiment
from recpoison.train_attack_eval import main

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def lose(number: int):
    """What a parser does that cleans up on its way out, and fails."""

    def lost(*told, **named):
        try:
            os.kill(os.getpid(), number)
        finally:
            raise ValueError("the parser's own")

    return lost


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.mark.parametrize(("number", "code"), CODES)
@pytest.mark.parametrize("place", ["misread", "compose_root", "try_each"])
def test_a_signal_that_another_exception_hides_stops_all_the_same(monkeypatch, capsys, place, number, code):
    monkeypatch.setattr(recpoison.command.understanding, place, lose(number))
    assert main([*SMALL, *["attack=averge"] * (place == "try_each")]) == code
    assert capsys.readouterr().err == "recpoison: stopped; no partial results were left\n"


def test_a_cell_whose_signal_another_exception_hides_is_stopped_and_not_failed(monkeypatch):
    monkeypatch.setattr(recpoison.experiment, "run", lose(signal.SIGTERM))
    assert main(["-m", *SMALL, "seed=0,1", "hydra.sweep.dir=outputs/s"]) == 143
    assert [status["status"] for status in statuses("outputs/s").values()] == ["stopped", "pending"]


AFTER = """
import os, signal, sys
from recpoison.command.ending import signals_answered
with signals_answered(until_the_end=True) as stops:
    code = stops.end(3)
os.kill(os.getpid(), int(sys.argv[1]))
sys.exit(code)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_after_the_work_changes_nothing(number):
    done = subprocess.run([sys.executable, "-c", AFTER, str(int(number))], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
