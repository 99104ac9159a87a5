"""The doctor reports what is there and what is missing, and never fails."""

import tomllib
from pathlib import Path
from types import SimpleNamespace

import torch

from recpoison.command import doctor
from recpoison.command.doctor import EXTRAS, data, extras, main
from recpoison.data.sources import SOURCES

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]


def test_it_reports_and_ends_well(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main([]) == 0
    said = capsys.readouterr().out
    for word in ("recpoison", "torch", "hydra-core", "1.3.", "threads", "device", "ml_100k", "recpoison[slurm]"):
        assert word in said


def test_a_cuda_machine_without_triton_is_told_what_that_costs(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    card = SimpleNamespace(name="H200", total_memory=141 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: card)
    assert dict(doctor.machine())["cuda:0"] == "H200, 141 GiB"
    monkeypatch.setattr(doctor, "installed", lambda name: None if name == "triton" else "1.0")
    assert "pip install triton" in dict(doctor.machine())["triton"]


def test_data_found_and_missing(tmp_path):
    folder = tmp_path / SOURCES["ml_100k"].folder
    folder.mkdir()
    (folder / "u.data.gz").write_bytes(b"")
    said = dict(data(tmp_path))
    assert said["ml_100k"] == "found in ml-100k/"
    assert said["filmtrust"] == "missing: recpoison-data fetch filmtrust"
    assert set(said) == set(SOURCES)


def test_an_absent_extra_is_named_with_its_purpose(monkeypatch):
    monkeypatch.setattr("recpoison.command.doctor.installed", lambda name: None if name == "pyarrow" else "1.0")
    said = dict(extras())
    assert said["parquet"] == "missing pyarrow: pip install 'recpoison[parquet]' (reading your own table from parquet)"
    assert said["test"] == "installed (running the tests)"


def test_extras_are_those_of_the_project():
    for extra, (packages, _) in EXTRAS.items():
        declared = " ".join(PROJECT["optional-dependencies"][extra])
        assert all(package in declared for package in packages)
