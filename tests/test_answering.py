import errno
import os
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from recpoison.answering import answered
from recpoison.errors import ConfigError


def broken():
    raise KeyError("deep inside")


def mistaken():
    raise ConfigError("seed is -1: give 0 or more")


def stopped():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        (lambda: None, 0, ""),
        (lambda: 1, 1, ""),
        (mistaken, 2, "recpoison-x: seed is -1: give 0 or more"),
        (stopped, 130, "recpoison-x: stopped"),
        (broken, 1, "recpoison-x: a bug in recpoison, not in what you typed"),
    ],
)
def test_each_end_has_a_code_and_a_sentence(work, code, said, capsys):
    assert answered("recpoison-x", work) == code
    assert capsys.readouterr().err.rstrip().splitlines()[-1:] == ([said] if said else [])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here: a disk that is always full")
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["--cfg", "job", "dataset=planted"]], ids=lambda w: w[0])
def test_a_full_disk_behind_what_is_printed_is_one_sentence(words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "recpoison.train_attack_eval", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    said = "what is printed cannot be written (No space left on device): send it where there is room"
    assert (done.returncode, done.stderr) == (2, f"recpoison: {said}\n")


class Refusing(StringIO):
    """A stream that takes some letters and then refuses."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_work_goes_on_when_nobody_reads_it_any_more(monkeypatch):
    """Also in rich's hands, which would end the process with code 1."""
    monkeypatch.setattr(sys, "stdout", Refusing())
    monkeypatch.setattr(sys, "stderr", Refusing())
    done = []

    def work() -> None:
        print("one")
        Console().print("two")
        print("three", file=sys.stderr)
        done.append("all")

    assert answered("recpoison-x", work) == 0
    assert done == ["all"]


@pytest.mark.parametrize(
    "words", [["recpoison.train_attack_eval", "--cfg", "job"], ["recpoison.data.command", "list"]], ids=lambda w: w[0]
)
def test_a_reader_who_has_seen_enough_is_no_error(words):
    """As ``| head -1``: the pipe is closed before the rest is printed."""
    command = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    command.stdout.read(1)
    command.stdout.close()
    assert (command.wait(), command.stderr.read()) == (0, b"")
