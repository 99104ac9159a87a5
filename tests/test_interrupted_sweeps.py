"""Sweeps of real processes on filmtrust: killed, run twice at once, and run in parallel. Minutes, so all are slow."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sweeping import results

pytestmark = [pytest.mark.slow, pytest.mark.data]
NOTED = [sys.executable, str(Path(__file__).with_name("noted_command.py"))]
COMMAND = ["-m", "dataset=filmtrust", "model=bprmf", "threads=1", "seed=0,1,2"]
COMMAND += ["attack=random,average,bandwagon", "defense=none,filter"]
EPOCHS = "model.trainer.epochs=40"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch, data_dir):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECPOISON_DATA", str(data_dir))


def start(log: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([*NOTED, log, *arguments], start_new_session=True, stdout=subprocess.DEVNULL)


def size(log: str) -> int:
    return Path(log).stat().st_size if Path(log).exists() else 0


def computed(log: str) -> Counter:
    """How often each stage was begun; fails if one was begun after it was stored."""
    begun, kept = Counter(), set()
    for line in Path(log).read_text().splitlines():
        word, stage, key = line.split()[:3]
        if word == "compute":
            assert (stage, key) not in kept, f"{stage} {key} was computed after it was stored"
            begun[stage, key] += 1
        elif word == "kept":
            kept.add((stage, key))
    return begun


def begun_fits(log: str) -> int:
    return Path(log).read_text().count("compute fit ") if Path(log).exists() else 0


def test_each_distinct_stage_is_computed_once():
    assert start("log", *COMMAND, EPOCHS, "hydra.sweep.dir=outputs/on").wait() == 0
    begun = computed("log")
    assert set(begun.values()) == {1}
    fits = [key for stage, key in begun if stage == "fit"]
    assert len(fits) == 3 * (1 + 1 + 3 + 3)  # a seed: clean and each attack, undefended and defended
    assert start("log", *COMMAND, EPOCHS, "hydra.sweep.dir=outputs/off", "store_dir=null").wait() == 0
    assert results("outputs/on") == results("outputs/off")
    assert len(results("outputs/on")) == 18


def test_a_sweep_killed_ten_times_ends_in_the_same_tables():
    assert start("log-whole", *COMMAND, EPOCHS, "hydra.sweep.dir=outputs/whole", "store_dir=outputs/s1").wait() == 0
    killed = [*COMMAND, EPOCHS, "checkpoint_seconds=0.2", "hydra.sweep.dir=outputs/killed", "store_dir=outputs/s2"]
    chance = random.Random(0)
    kills = 0
    for number in range(10):
        before = size("log")
        process = start("log", *killed)
        while number % 2 and size("log") == before and process.poll() is None:  # every other one while stages run
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 1.5 if number % 2 else 10))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert start("log", *killed).wait() == 0
    print(f"{kills} kills; {sum(computed('log').values())} stages begun, {len(computed('log'))} distinct")
    assert results("outputs/killed") == results("outputs/whole")
    assert not list(Path("outputs/killed").rglob(".draft-*"))
    assert not list(Path("outputs").rglob(".lock"))


def test_a_killed_fit_of_reliability_goes_on_to_the_same_table():
    """Killed once the fit under defense and attack, the last of four, has a checkpoint; it alone is begun again."""
    fits = ["dataset=filmtrust", "model=bprmf", "model.trainer.epochs=150", "threads=1", "attack=average"]
    fits += ["defense=reliability", "checkpoint_seconds=0.2"]
    assert start("whole", *fits, "hydra.run.dir=outputs/whole", "store_dir=outputs/s1").wait() == 0
    killed = [*fits, "hydra.run.dir=outputs/killed", "store_dir=outputs/s2"]
    process = start("log", *killed)
    while begun_fits("log") < 4 or not list(Path("outputs/s2/fit").glob(".part-*/*.safetensors")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not Path("outputs/killed/metrics.csv").exists()
    assert start("log", *killed).wait() == 0
    assert sorted(computed("log").values()) == [1] * (len(computed("log")) - 1) + [2]
    assert "going on from the checkpoint" in Path("outputs/killed/run.log").read_text()
    whole, again = (Path("outputs", name, "metrics.csv").read_bytes() for name in ("whole", "killed"))
    assert again == whole
    assert b"average,reliability,0,weighed,AUROC" in whole


def test_two_sweeps_at_once_in_one_folder():
    shared = [*COMMAND[:4], EPOCHS, "attack=random,average", "hydra.sweep.dir=outputs/both"]
    processes = [start("log", *shared, seeds) for seeds in ("seed=0,1", "seed=1,0", "seed=1,2")]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert set(computed("log").values()) == {1}
    assert len(results("outputs/both")) == 6
    alone = [*shared[:-1], "seed=0,1,2", "hydra.sweep.dir=outputs/alone", "store_dir=null"]
    assert start("log", *alone).wait() == 0
    assert results("outputs/both") == results("outputs/alone")


def test_joblib_gives_the_same_tables_and_goes_on_after_a_kill():
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    grid = [*COMMAND, EPOCHS]
    grid[grid.index("seed=0,1,2")] = "seed=0,1,2,3"
    assert start("log", *grid, "hydra.sweep.dir=outputs/one", "store_dir=outputs/s1").wait() == 0
    joblib = [*grid, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert start("log", *joblib, "hydra.sweep.dir=outputs/two", "store_dir=outputs/s2").wait() == 0
    assert len(results("outputs/two")) == 24
    assert results("outputs/two") == results("outputs/one")
    process = start("log", *joblib, "hydra.sweep.dir=outputs/three", "store_dir=outputs/s3")
    while len(results("outputs/three")) < 4:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(results("outputs/three")) < 24
    assert start("log", *joblib, "hydra.sweep.dir=outputs/three", "store_dir=outputs/s3").wait() == 0
    assert results("outputs/three") == results("outputs/one")
