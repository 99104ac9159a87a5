import subprocess
import sys

import pytest

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


@pytest.mark.parametrize(
    "words", [["recpoison.train_attack_eval", "--cfg", "job"], ["recpoison.data.command", "list"]], ids=lambda w: w[0]
)
def test_a_reader_who_has_seen_enough_is_no_error(words):
    """As ``| head -1``: the pipe is closed before the rest is printed."""
    command = subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    command.stdout.read(1)
    command.stdout.close()
    assert (command.wait(), command.stderr.read()) == (0, b"")
