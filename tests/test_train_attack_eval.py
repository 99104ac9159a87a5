"""The real command: its files, its exit codes, and one sentence for each mistake."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeping import SMALL

import recpoison.command.job
import recpoison.experiment
import recpoison.records
from recpoison.command.arguments import split_trust
from recpoison.command.cells import Status, identify, write_status
from recpoison.command.help import described
from recpoison.command.job import explain
from recpoison.command.overrides import compose_root
from recpoison.train_attack_eval import main

STORE = Path("outputs/store")
COMMAND = [sys.executable, "-m", "recpoison.train_attack_eval"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECPOISON_DATA", raising=False)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    return tmp_path


def refused(capsys, *arguments: str, code: int = 2) -> list[str]:
    """The lines on stderr of a command that must fail, and must leave nothing but its log."""
    assert main([*arguments]) == code
    left = [path.name for path in Path().rglob("*") if path.is_file() and STORE not in path.parents]
    assert set(left) <= {"run.log"}
    return capsys.readouterr().err.splitlines()


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_leaves_its_files_and_the_same_run_the_same_metrics(capsys):
    assert main([*SMALL, "seed=3", "hydra.run.dir=outputs/a"]) == 0
    assert main([*SMALL, "seed=3", "hydra.run.dir=outputs/b"]) == 0
    results = {"metrics.csv", "costs.csv", "summary.csv", "table.md", "ranks.npz", "change.npz", "fake_users.csv"}
    assert files(Path("outputs/a")) == results | {"run.json", "config.yaml", "overrides.yaml", "run.log"}
    assert Path("outputs/a/metrics.csv").read_bytes() == Path("outputs/b/metrics.csv").read_bytes()
    assert Path("outputs/latest").resolve() == Path("outputs/b").resolve()
    assert Path("outputs/a/overrides.yaml").read_text().splitlines()[0] == '- "dataset=planted"'
    out = capsys.readouterr()
    assert "planted" in out.out
    assert out.err == ""


def test_a_mistake_in_a_process():
    """Seen from outside: the stream, the exit code, and no torch on the way."""
    bad = subprocess.run([*COMMAND, "attack=averge"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("recpoison: attack=averge: there is no such option; did you mean average?")


@pytest.mark.slow
def test_a_run_in_a_process():
    good = subprocess.run([*COMMAND, *SMALL], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert Path("outputs/latest/metrics.csv").is_file()
    assert json.loads(Path("outputs/latest/run.json").read_text())["command"].startswith("recpoison dataset=planted")


def test_help_is_quick_and_lists_every_option():
    program = "import sys, recpoison.train_attack_eval as c; c.main(['--help']); print(sorted(sys.modules))"
    clock = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - clock
    said, _, modules = done.stdout.rpartition("[")
    assert not {"'torch'", "'hydra'", "'pandas'"} & set(modules.rstrip("]\n").split(", "))
    for word in ("ml_100k", "bprmf", "bandwagon", "full_ranking", "seed=0", "recpoison -m ", "--trust PACKAGE"):
        assert word in said
    assert "synthetic *" in said
    assert seconds < 1 or os.getloadavg()[0] > os.cpu_count()  # a busy machine proves nothing


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "recpoison 0.1.0\n"


def test_all_mistakes_of_a_command_line_come_at_once(capsys):
    said = refused(
        capsys,
        "attck=x",
        "attack=averge",
        "model=bprmf",
        "model.epochs=3",
        "seed=abc",
        "defense.x=1",
        "+evaluation.cutofs=1",
    )
    assert said == [
        "recpoison: 6 problems:",
        "  attack=averge: there is no such option; did you mean average? "
        f"(attack offers {', '.join(name for name, _ in described('attack'))})",
        "  attck: there is no such setting; did you mean attack?",
        "  model.epochs: model=bprmf has no such setting; did you mean model.trainer.epochs?",
        "  seed is abc, but it must be a whole number",
        "  defense.x: defense=none has no such setting",
        "  evaluation.cutofs: there is no such setting; did you mean evaluation.cutoffs?",
    ]
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["experiment=a", "experiment=b"], "experiment is given twice: keep one"),
        (["-m", "experiment=a,b"], "experiment=a,b: one experiment at a time: run each by a command of its own"),
        (["sweep.plan=true"], "sweep.plan and sweep.retry_failed are for sweeps: add -m"),
        (["-m", "seed=1,2", "hydra.sweep.subdir=x"], "hydra.sweep.subdir names each cell by its hash"),
        (["setting=nowhere"], "setting=nowhere: there is no such option"),
        (["seed=1,2"], "seed=1,2 gives several values: add -m to run each"),
        pytest.param(["seed=null"], "seed is null, but it must be a whole number", marks=pytest.mark.slow),
        (["model.x={"], "'model.x={' cannot be read"),
        pytest.param(["hydra/launcher=joblb"], "hydra/launcher=joblb: there is no such option", marks=pytest.mark.slow),
        (["-m", "attack=none,average", "attack.budget=0.1"], "attack.budget: attack=none has no such setting"),
        (["-m", "seed=1,x"], "seed is x, but it must be a whole number"),
        (["--multirn"], "--multirn: there is no such flag; did you mean --multirun?"),
        (["--trust"], "--trust needs the name of a package"),
        (["--config-dir", "nowhere"], "--config-dir nowhere: there is no such folder"),
    ],
)
def test_each_mistake_has_its_sentence_before_any_folder_is_made(capsys, arguments, said):
    assert any(said in line for line in refused(capsys, *arguments))
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["attack.budget=abc"], "attack.budget is 'abc', but it must be a number"),
        pytest.param(["attack.budget=0"], "attack.budget is 0", marks=pytest.mark.slow),
        pytest.param(["attack.budget=-1"], "attack.budget is -1", marks=pytest.mark.slow),
        (["attack.budget=2"], "attack.budget is 2"),
        (["attack.fillers=1000"], "attack.fillers is 1000"),
        (["attack.targets.rule=list", "attack.targets.items=[9999]"], "attack.targets.items holds 9999"),
        (["evaluation.cutoffs=[100000]"], "evaluation.cutoffs"),
        (["device=cuda:99"], "device is cuda:99, but"),
        (["dataset=ml_100k", "data_dir=nowhere"], "recpoison-data fetch ml_100k"),
        (["attack._target_=os.system"], "os.system lies outside recpoison: if you trust it, add --trust os"),
        (["dataset=cora"], "but dataset=cora holds a graph"),
    ],
)
def test_each_bad_value_has_its_sentence_and_leaves_only_the_log(capsys, arguments, said):
    given = {argument.partition("=")[0] for argument in arguments}
    lines = refused(capsys, *(word for word in SMALL if word.partition("=")[0] not in given), *arguments)
    assert any(said in line for line in lines)


def test_cuda_is_refused_in_one_sentence_where_there_is_none(capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (said,) = refused(capsys, *SMALL, "device=cuda")
    assert said.startswith("recpoison: device is cuda, but PyTorch")
    assert said.endswith("sees no CUDA device: use device=cpu or auto")


def test_a_folder_with_results_is_refused_and_left_alone(capsys):
    folder = Path("outputs/a")
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("mine")
    assert main([*SMALL, "hydra.run.dir=outputs/a"]) == 2
    assert "outputs/a already holds results (metrics.csv): choose another hydra.run.dir" in capsys.readouterr().err
    assert files(folder) == {"metrics.csv", "run.log"}
    assert (folder / "metrics.csv").read_text() == "mine"


@pytest.mark.parametrize("place", ["/proc/nowhere/x", "file/x"])
def test_an_impossible_folder_is_one_sentence(capsys, place):
    Path("file").write_text("")
    assert main([*SMALL, f"hydra.run.dir={place}"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "cannot be written" in said
    assert said.endswith("choose another hydra.run.dir")
    assert "free space" not in said


def test_a_folder_that_is_there_and_may_not_be_written_is_one_sentence(capsys, monkeypatch):
    Path("mine").mkdir()
    real = logging.FileHandler._open

    def refuse(self):
        raise PermissionError(13, "Permission denied", self.baseFilename)

    monkeypatch.setattr(logging.FileHandler, "_open", refuse)
    assert main([*SMALL, "hydra.run.dir=mine"]) == 2
    monkeypatch.setattr(logging.FileHandler, "_open", real)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"recpoison: {Path('mine/run.log').resolve()} cannot be written (Permission denied): ")
    assert said.endswith("make it yours to write or choose another hydra.run.dir")


@pytest.mark.parametrize(
    ("file", "code", "said"),
    [
        ("/x/ratings.csv", errno.EACCES, "/x/ratings.csv cannot be read (Permission denied): check the path and its"),
        (None, errno.ENOSPC, "outputs/a cannot be written (No space left on device): free space there or choose an"),
        ("outputs/a/x", errno.EACCES, "outputs/a/x cannot be written (Permission denied): make it yours to write or"),
        ("/x/y", errno.EROFS, "/x/y cannot be written (Read-only file system): choose another hydra.run.dir"),
    ],
)
def test_each_refusal_of_a_file_has_its_own_remedy(file, code, said):
    error = OSError(code, os.strerror(code), file)
    found = explain(error, Path("outputs/a"))
    assert found[0] == 2
    assert found[1].startswith(said)


def test_a_full_disk_is_found_before_work_is_lost(capsys, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recpoison.command.job.os, "fsync", full)
    monkeypatch.setattr(recpoison.experiment, "run", lambda *a, **k: pytest.fail("work was done"))
    (said,) = refused(capsys, *SMALL)
    assert "cannot be written (No space left on device): free space there or choose another hydra.run.dir" in said


def test_a_bug_of_ours_is_one_sentence_and_its_traceback_is_in_the_log(capsys, monkeypatch):
    def broken(*arguments, **settings):
        raise KeyError("deep inside")

    monkeypatch.setattr(recpoison.experiment, "run", broken)
    (said,) = refused(capsys, *SMALL, "hydra.run.dir=outputs/a", code=1)
    assert "a bug in recpoison, not in your settings (KeyError: 'deep inside')" in said
    assert "outputs/a/run.log" in said
    assert "in broken" in Path("outputs/a/run.log").read_text()
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert main([*SMALL]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_leaves_no_partial_results(capsys, monkeypatch, number, code):
    monkeypatch.setattr(recpoison.experiment, "run", lambda *a, **k: os.kill(os.getpid(), number))
    before = signal.getsignal(signal.SIGTERM)
    (said,) = refused(capsys, *SMALL, code=code)
    assert said == "recpoison: stopped; no partial results were left"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("after", [0, 3, 9])
def test_stopping_while_results_are_written_takes_them_back(capsys, monkeypatch, after):
    real, moved = os.replace, []

    def stop(source, target):
        if Path(source).parent.name.startswith(".draft-"):
            if len(moved) == after:
                os.kill(os.getpid(), signal.SIGTERM)
            moved.append(target)
        return real(source, target)

    monkeypatch.setattr(recpoison.records.os, "replace", stop)
    (said,) = refused(capsys, *SMALL, "hydra.run.dir=outputs/a", code=143)
    assert said == "recpoison: stopped; no partial results were left"
    assert len(moved) == after
    assert files(Path("outputs/a")) == {"run.log"}


def test_sigusr1_outside_a_fit_does_nothing(monkeypatch):
    real = recpoison.experiment.run

    def woken(*arguments, **settings):
        os.kill(os.getpid(), signal.SIGUSR1)
        return real(*arguments, **settings)

    monkeypatch.setattr(recpoison.experiment, "run", woken)
    before = signal.getsignal(signal.SIGUSR1)
    assert main(SMALL) == 0
    assert signal.getsignal(signal.SIGUSR1) is before


def test_an_unfinished_run_is_completed_by_the_same_settings_only(capsys):
    """What a run killed with -9 leaves: its status, whose lock nobody holds."""
    folder = Path("outputs/a")
    assert main([*SMALL, "hydra.run.dir=outputs/a"]) == 0
    cfg = compose_root(SMALL)
    choices = {"dataset": "planted", "model": "popularity", "attack": "bandwagon", "defense": "none"}
    cell = identify(cfg, choices | {"evaluation": "full_ranking", "victim": None, "setting": None, "experiment": None})
    (folder / "metrics.csv").unlink()
    write_status(folder, Status("running", cell))
    assert main([*SMALL, "seed=1", "hydra.run.dir=outputs/a"]) == 2
    assert "outputs/a already holds results" in capsys.readouterr().err
    for name in files(folder) - {"status.json"}:
        (folder / name).unlink()
    assert main([*SMALL, "seed=1", "hydra.run.dir=outputs/a"]) == 2
    assert "outputs/a holds an unfinished run with other settings" in capsys.readouterr().err
    assert main([*SMALL, "hydra.run.dir=outputs/a"]) == 0
    assert "metrics.csv" in files(folder)
    assert "status.json" not in files(folder)


def test_users_own_yaml_and_package_need_trust(capsys, monkeypatch):
    Path("mine/attack").mkdir(parents=True)
    Path("mine/attack/own.yaml").write_text("# Mine\n_target_: own_attacks.Own\nbudget: 0.1\n")
    source = "from dataclasses import dataclass\nfrom recpoison.attacks.none import NoAttack\n\n"
    source += "@dataclass(frozen=True)\nclass Own(NoAttack):\n    budget: float = 0.1\n"
    Path("own_attacks.py").write_text(source)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    arguments = [*SMALL[:2], "--config-dir", "mine", "attack=own", SMALL[-1], "hydra.run.dir=outputs/a"]
    assert main(arguments) == 2
    assert "own_attacks.Own lies outside recpoison: if you trust it, add --trust own_attacks" in capsys.readouterr().err
    assert main([*arguments, "--trust", "own_attacks"]) == 0


def test_trust_is_taken_out_before_hydra_reads():
    assert split_trust(["a=1", "--trust", "x", "--trust=y.z", "-m"]) == (["a=1", "-m"], ["x", "y.z"])


def test_cfg_prints_and_runs_nothing(capsys):
    assert main(["attack=bandwagon", "--cfg", "job"]) == 0
    assert "_target_: recpoison.attacks.profiles.bandwagon" in capsys.readouterr().out
    assert not Path("outputs").exists()
