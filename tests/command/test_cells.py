"""What identifies a cell, and its status on disk."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from recpoison.command.cells import (
    Status,
    claim,
    damaged,
    data_of,
    digests,
    identify,
    read_status,
    set_results_aside,
    version_of,
    write_status,
)
from recpoison.command.overrides import compose_root
from recpoison.data.table import OwnTable

CHOICES = {"dataset": "planted", "hydra/launcher": "basic"}


@pytest.fixture(scope="module")
def cfg():
    return compose_root(["dataset=planted", "model=popularity"])


def changed(cfg, **settings):
    return OmegaConf.merge(cfg, OmegaConf.create(settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"data_dir": "elsewhere"},
        {"store_dir": None},
        {"checkpoint_seconds": 1.0},
        {"threads": 3},
        {"jobs_per_gpu": 2},
        {"workers": 2},
        {"trackers": ["tensorboard"]},
        {"sweep": {"plan": True, "retry_failed": True}},
    ],
)
def test_settings_without_effect_on_numbers_do_not_count(cfg, settings):
    assert identify(changed(cfg, **settings), CHOICES) == identify(cfg, CHOICES)


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 1},
        {"repeats": 2},
        {"deterministic": True},
        {"device": "cpu"},
        {"attack": {"budget": 0.5}},
        {"evaluation": {"cutoffs": [3]}},
    ],
)
def test_every_other_setting_counts(cfg, settings):
    assert identify(changed(cfg, **settings), CHOICES) != identify(cfg, CHOICES)


def test_the_number_of_a_gpu_does_not_count_and_names_in_tables_do(cfg):
    first, second = (identify(changed(cfg, device=name), CHOICES) for name in ("cuda:0", "cuda:1"))
    assert first == second
    assert identify(cfg, CHOICES | {"dataset": "other"}) != identify(cfg, CHOICES)
    assert identify(cfg, CHOICES | {"hydra/launcher": "joblib"}) == identify(cfg, CHOICES)


def test_the_version_follows_the_parts_code(cfg, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    versions = []
    for number, text in enumerate(("rate = 1\n", "rate = 2\n", "rate = 2  # a comment\n")):
        (tmp_path / f"own_{number}.py").write_text(text)
        own = changed(cfg, attack={"_target_": f"own_{number}.Own"})
        versions.append((version_of(own), version_of(own)))
    assert all(first == second for first, second in versions)
    assert version_of(cfg) == version_of(changed(cfg, attack={"budget": 0.7}))
    assert versions[0][0] != versions[1][0]


def test_a_status_is_read_back_and_a_running_one_needs_a_living_process(tmp_path):
    write_status(tmp_path / "cell", Status("running", "abc", overrides=["seed=1"]))
    with claim(tmp_path / "cell", "a test"):
        assert read_status(tmp_path / "cell").status == "running"
    assert read_status(tmp_path / "cell") == Status("stopped", "abc", overrides=["seed=1"])
    assert [path.name for path in (tmp_path / "cell").iterdir()] == ["status.json"]


def test_pending_does_not_replace_what_another_process_wrote(tmp_path):
    write_status(tmp_path, Status("done", "abc"))
    write_status(tmp_path, Status("pending", "abc"), only_first=True)
    assert read_status(tmp_path).status == "done"


def test_what_cannot_be_read_counts_as_no_status(tmp_path):
    (tmp_path / "status.json").write_text("{")
    assert read_status(tmp_path) is None
    assert read_status(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "change",
    [{"overrides": None}, {"files": None}, {"files": ["metrics.csv"]}, {"seconds": "1"}, {"code": "0"}, {"reason": 3}],
)
def test_a_status_of_other_types_counts_as_none(tmp_path, change):
    write_status(tmp_path, Status("done", "abc"))
    content = json.loads((tmp_path / "status.json").read_text())
    (tmp_path / "status.json").write_text(json.dumps(content | {"seconds": 1}))
    assert read_status(tmp_path).seconds == 1
    (tmp_path / "status.json").write_text(json.dumps(content | change))
    assert read_status(tmp_path) is None


def test_damage_is_what_differs_from_the_digests_and_results_that_have_none(tmp_path):
    for name in ("metrics.csv", "run.json", "run.log", "status.json", ".hidden"):
        (tmp_path / name).write_text(name)
    left = Status("done", files=digests(tmp_path))
    assert left.files.keys() == {"metrics.csv", "run.json"}
    assert left.files["run.json"] == hashlib.sha256(b"run.json").hexdigest()
    assert damaged(tmp_path, left) == []
    (tmp_path / "run.json").write_text("run.jsom")
    assert damaged(tmp_path, left) == ["run.json"]
    (tmp_path / "metrics.csv").unlink()
    assert damaged(tmp_path, left) == ["metrics.csv", "run.json"]
    assert damaged(tmp_path, Status("done")) == ["metrics.csv"]


def test_the_data_are_those_of_the_files_and_none_where_nothing_can_be_read(tmp_path, cfg):
    own = compose_root(["dataset=csv", "dataset.path=mine.csv", f"data_dir={tmp_path}"])
    assert data_of(own) is None
    (tmp_path / "mine.csv").write_text("user,item\n1,1\n")
    (tmp_path / "other.csv").write_text("user,item\n2,1\n")
    other = changed(own, dataset={"path": "other.csv"})
    assert len({data_of(own), data_of(other), data_of(cfg), None}) == 4
    assert data_of(changed(own, dataset={"_target_": "elsewhere.Table"})) is None


def test_files_that_take_long_are_not_read_for_each_cell(tmp_path, monkeypatch):
    clock, read = [1000.0], []

    def slow(self, data_dir):
        clock[0] += 2
        read.append(data_dir)
        return f"digest {len(read)}"

    monkeypatch.setattr("recpoison.command.cells.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(OwnTable, "fingerprint", slow)
    own = compose_root(["dataset=csv", "dataset.path=mine.csv", f"data_dir={tmp_path}"])
    assert data_of(own) == data_of(own) == "digest 1"
    clock[0] += 21
    assert data_of(own) == "digest 2"


def test_a_kill_while_results_are_set_aside_leaves_none_without_a_status(tmp_path, monkeypatch):
    for name in ("config.yaml", "metrics.csv", "run.json"):
        (tmp_path / name).write_text(name)
    write_status(tmp_path, Status("done", "abc"))
    real, moved = os.replace, []

    def stopped(source, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(source.name)
        real(source, target)

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        set_results_aside(tmp_path)
    monkeypatch.undo()
    assert moved == ["metrics.csv"]
    assert read_status(tmp_path) == Status("done", "abc")
    (tmp_path / "metrics.csv").write_text("again")
    assert {path.name for path in set_results_aside(tmp_path).iterdir()} == {"metrics.csv", "config.yaml", "run.json"}
    assert read_status(tmp_path) == Status("done", "abc")


def test_a_status_is_on_the_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    """After a power cut a rename may be there, and the bytes not: what was an empty status.json."""
    done = []
    settle, replace_ = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (done.append(os.fstat(number).st_ino), settle(number)))
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(f"to {Path(new).name}"), replace_(old, new)))
    write_status(tmp_path, Status("done"))
    assert done == [(tmp_path / "status.json").stat().st_ino, "to status.json", tmp_path.stat().st_ino]
