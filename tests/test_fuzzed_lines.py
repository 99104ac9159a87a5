"""No typed line is answered with "a bug in recpoison": what a user can type is the user's, and told in a sentence."""

import random
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest

from recpoison.command.config import settings
from recpoison.command.overrides import compose_root
from recpoison.train_attack_eval import main

SMALL = ["dataset=planted", "model=popularity", "attack=random", "attack.n_fake_users=2", "evaluation.cutoffs=[5]"]
HYDRA = [
    *("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.job_logging", "hydra.hydra_logging"),
    *("hydra.callbacks", "hydra.launcher", "hydra.sweeper", "hydra.job.env_copy", "hydra.job.env_set", "hydra.mode"),
    *("hydra.searchpath", "hydra.verbose", "hydra.output_subdir", "hydra.job.name", "hydra.job.chdir", "hydra"),
    *("hydra/launcher", "hydra/sweeper", "hydra/job_logging", "hydra.sweeper.params", "hydra.runtime.cwd"),
    *("hydra.job_logging.handlers.file.filename", "hydra.job_logging.root", "hydra.overrides.task", "hydra.help"),
]
VALUES = [
    *("", "x", "0", "-1", "1e400", "nan", "inf", "null", "true", "1.5", "9223372036854775807", "100000000", "'a b'"),
    *("[]", "[1,2]", "{}", "{a:1}", "[{a:1}]", "[[1]]", "{_target_:os.system}", "{_target_:1}", "[null]", "é", "a=b"),
    *("${nope}", "${seed}", "${oc.env:NOPE}", "'${oc.decode:\"[1\"}'", "${.x}", "${oc.env:HOME}", "\\${x}", "${"),
    *("???", "a,b", "1,2", "range(0,3,0)", "range(0,3)", "interval(0,1)", "glob(*)", "glob(zz*)", "choice(1,2)"),
    *(
        "../x",
        "/nope/x",
        "/dev/null",
        "a/b/c",
        "x" * 300,
        "{" * 50,
        "{a:" * 1000 + "1" + "}" * 1000,
        "pkg://antigravity",
    ),
]
FLAGS = [
    *("-m", "--multirun=true", "--resolve", "--cfg", "--cfg=job", "--cfg=zz", "--info", "--info=config", "--info=zz"),
    *("--shell-completion", "-sc", "--run", "--package=x", "--config-name=zz", "--config-path=zz", "--config-dir=zz"),
    *("--experimental-rerun", "--experimental-rerun=x.pickle", "--trust", "--trust=x.y", "--trust=-", "--hydra-help"),
]
KEYS = ["+new", "+attack.new", "~attack", "~attack.budget", "++seed", "attack@x", "model/x", "no such", "=", ""]


def lines(count: int, seed: int) -> list[list[str]]:
    """Command lines that are wrong in one or two places."""
    chance = random.Random(seed)
    known = [*settings(compose_root(SMALL)), *HYDRA, *KEYS]
    made = []
    for _ in range(count):
        words = [f"{chance.choice(known)}={chance.choice(VALUES)}" for _ in range(chance.choice([1, 1, 1, 2]))]
        words += [chance.choice(FLAGS)] if chance.random() < 0.25 else []
        made.append(words)
    return made


@contextmanager
def at_most(seconds: int):
    def late(number, frame):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_no_typed_line_is_called_a_bug(capsys, tmp_path, monkeypatch):
    wrong = []
    for number, words in enumerate(lines(300, seed=0)):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        with at_most(60):
            code = main([*SMALL, *words])
        said = capsys.readouterr().err
        if code not in (0, 2) or "Traceback" in said:
            wrong.append((words, code, said[-300:]))
    assert not wrong
    assert Path.cwd() == folder
