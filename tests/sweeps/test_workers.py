"""Workers of submitit's that run out of time, are preempted or killed: their cells are stopped, and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from sweeping import SMALL, results, statuses

import recpoison.experiment
from recpoison.command.cells import Status
from recpoison.command.ending import Terminated
from recpoison.sweeps.workers import end_when_killed, lost_worker, still_at_work
from recpoison.train_attack_eval import main

# What submitit raises, without submitit.
UncompletedJobError = type("UncompletedJobError", (RuntimeError,), {"__module__": "submitit.core.utils"})
FailedJobError = type("FailedJobError", (UncompletedJobError,), {"__module__": "submitit.core.utils"})
LAUNCHERS = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"
SWEEP = ["-m", *SMALL, "seed=0,1", "hydra.sweep.dir=outputs/s"]
LONG = ["-m", "dataset=synthetic", "model=bprmf", "attack=none", "model.trainer.epochs=400", "checkpoint_seconds=0"]
LONG += ["hydra/launcher=submitit_local", "hydra.sweep.dir=outputs/s", "seed=range(0,1)"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


def test_a_job_whose_time_is_over_is_stopped_and_the_same_command_goes_on(capsys, monkeypatch):
    real, over = recpoison.experiment.run, [True]

    def run(parts, seeds, **settings):
        if seeds[0] == 1 and over.pop():
            raise UncompletedJobError("Job not requeued because: timed-out too many times.")
        return real(parts, seeds, **settings)

    monkeypatch.setattr(recpoison.experiment, "run", run)
    assert main(SWEEP) == 1
    said = statuses("outputs/s")
    assert [said[f"seed={seed}"]["status"] for seed in range(2)] == ["done", "stopped"]
    out, err = capsys.readouterr()
    assert "seed=1): stopped\n" in out
    assert "seed=1) is missing: its time was over, or its machine was wanted; the same command goes on" in err
    assert "a bug" not in err
    over.append(False)
    assert main(SWEEP) == 0
    assert len(results("outputs/s")) == 2


def test_a_lost_worker_is_told_from_one_that_failed():
    assert lost_worker(UncompletedJobError("no result"))
    assert lost_worker(
        FailedJobError("Traceback ... submitit.core.utils.UncompletedJobError: timed-out too many times")
    )
    assert not lost_worker(FailedJobError("Traceback ... ValueError: boom"))
    behind = ValueError("Hydra cannot start")
    behind.__cause__ = UncompletedJobError("no result")
    assert lost_worker(behind)
    assert not lost_worker(ValueError("boom"))


def test_after_ctrl_c_it_is_said_how_workers_that_go_on_end():
    cells = [Status("running", process="41 on here"), Status("done"), Status("running", process="43 on here")]
    local, slurm, basic = (
        OmegaConf.create({"_target_": target, "name": "mine"})
        for target in (f"{LAUNCHERS}.LocalLauncher", f"{LAUNCHERS}.SlurmLauncher", "hydra.basic.BasicLauncher")
    )
    assert still_at_work(cells, local) == ["2 cells go on in processes of their own; kill 41 43 ends that"]
    assert still_at_work(cells[:2], local) == ["1 cell goes on by itself; kill 41 ends that"]
    assert still_at_work(cells[1:2], local) == still_at_work(cells, basic) == []
    assert still_at_work([], slurm) == ["jobs that Slurm has go on; scancel --me --name=mine ends them"]


@pytest.mark.parametrize(("executor", "ends"), [("local", True), ("slurm", False), (None, False)])
def test_a_plain_kill_ends_a_worker_on_this_machine_and_no_other(monkeypatch, executor, ends):
    if executor:
        monkeypatch.setenv("SUBMITIT_EXECUTOR", executor)
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))  # as submitit logs it
    try:
        end_when_killed()
        if ends:
            with pytest.raises(Terminated):
                signal.raise_signal(signal.SIGTERM)
        else:
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == ([] if ends else [signal.SIGTERM])


def started(*words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "recpoison.train_attack_eval", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )


def worker_of(process: subprocess.Popen, before: int = 0) -> int:
    """The process of the only cell, once it has written a checkpoint."""
    while process.poll() is None:
        parts = list(Path("outputs/store/fit").glob(".part-*/*.safetensors"))
        for path in Path("outputs/s").glob("*/status.json"):
            status = json.loads(path.read_text())
            number = int(status["process"].partition(" ")[0] or 0)
            if status["status"] == "running" and parts and number != before:
                return number
        time.sleep(0.05)
    pytest.fail(f"it ended too early: {process.communicate()}")


@pytest.mark.slow
def test_submitit_a_preempted_worker_goes_on_a_killed_one_is_stopped_and_so_is_one_that_is_told_to():
    pytest.importorskip("submitit", reason="hydra-submitit-launcher is not installed: pip install 'recpoison[slurm]'")
    process = started(*LONG)
    first = worker_of(process)
    os.kill(first, signal.SIGUSR2)  # as submitit does before the limit: it begins the job anew
    second = worker_of(process, first)
    (log,) = Path("outputs/s").glob("*/run.log")
    while "going on from the checkpoint of a stopped run" not in log.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(second, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1, err
    assert "recpoison: a worker was killed; the same command does what is missing" in err
    assert "a bug" not in err

    process = started(*LONG)
    third = worker_of(process, second)  # the killed one's status stands until the next begins
    process.send_signal(signal.SIGINT)  # to the command alone
    said = iter(process.stderr.readline, "")
    assert f"recpoison: 1 cell goes on by itself; kill {third} ends that\n" in said
    os.kill(third, signal.SIGTERM)  # what kill sends
    process.communicate(timeout=300)  # which ends when the worker does: it has the command's stderr
    assert process.returncode == 130
    assert [status["status"] for status in statuses("outputs/s").values()] == ["stopped"]

    process = started(*LONG)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, "")
    assert "1 of 1 cells done" in out


@pytest.mark.slow
def test_submitit_a_job_beyond_its_limit_is_stopped_and_the_same_command_goes_on():
    """A limit of a minute: after half of it submitit asks the job to end and begins it anew, three times."""
    pytest.importorskip("submitit", reason="hydra-submitit-launcher is not installed: pip install 'recpoison[slurm]'")
    endless = [word.replace("epochs=400", "epochs=1000000") for word in LONG]
    process = started(*endless, "hydra.launcher.timeout_min=1")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1, err
    assert "a bug" not in err
    (status,) = statuses("outputs/s").values()
    assert status["status"] == "stopped"
    assert list(Path("outputs/store/fit").glob(".part-*/*.safetensors"))
