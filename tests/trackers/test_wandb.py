"""Weights & Biases gets the numbers of ``metrics.csv``: the calls with a stand-in, a file with the real package."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import ModuleType

import pytest

from recpoison.trackers.wandb import WandbTracker

BLOCK = 32768


class Run:
    """Stands in for a run of wandb."""

    def __init__(self, **settings) -> None:
        self.settings, self.logged, self.ended = settings, [], False
        Run.last = self

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        self.ended = True

    def define_metric(self, name, step_metric=None) -> None:
        pass

    def log(self, numbers) -> None:
        self.logged.append(numbers)


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    package = ModuleType("wandb")
    package.init = Run
    monkeypatch.setitem(sys.modules, "wandb", package)
    return Run


def test_each_seed_is_a_step_and_each_number_a_metric(run, record, numbers, tmp_path):
    WandbTracker("mine", mode="offline").log(record, tmp_path / "a", ["attack=bad"])
    told = run.last
    found = {(name, step["seed"], value) for step in told.logged for name, value in step.items() if name != "seed"}
    assert found == numbers
    assert [step["seed"] for step in told.logged] == [3, 4]
    assert (told.settings["project"], told.settings["name"], told.settings["mode"]) == ("mine", "a", "offline")
    assert told.settings["config"]["overrides"] == "attack=bad"
    assert told.settings["config"]["folder"] == str(tmp_path / "a")
    assert told.ended


def records_in(file: Path) -> list[bytes]:
    """The records of a file of wandb: LevelDB's log format behind a header of 7 bytes."""
    content, place, found, parts = file.read_bytes(), 7, [], b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:  # no room for a head: the rest of the block is empty
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            found.append(parts)
            parts = b""
    return found


def test_the_real_offline_file_holds_the_numbers_exactly(record, numbers, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'recpoison[wandb]'")
    from wandb.proto.wandb_internal_pb2 import Record

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    WandbTracker(mode="offline", folder="kept").log(record, Path("outputs/a"), ["attack=bad"])
    (file,) = Path("kept/wandb").glob("offline-run-*/*.wandb")
    rows = []
    for content in records_in(file):
        entry = Record()
        entry.ParseFromString(content)
        if entry.HasField("history"):
            rows.append({item.key or ".".join(item.nested_key): item.value_json for item in entry.history.item})
    found = {
        (name, int(row["seed"]), float(value))
        for row in rows
        for name, value in row.items()
        if name != "seed" and not name.startswith("_")
    }
    assert found == numbers
