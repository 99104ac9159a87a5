"""MLflow gets the numbers of ``metrics.csv``: the calls with a stand-in, a folder with the real package."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from recpoison.trackers import mlflow
from recpoison.trackers.mlflow import MLflowTracker


@dataclass(frozen=True)
class Metric:
    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class Param:
    key: str
    value: str


class Client:
    """Stands in for MLflow's client; ``others`` makes the experiment just before this one does."""

    others = False
    fails = False

    def __init__(self, tracking_uri: str) -> None:
        self.uri, self.metrics, self.params, self.requests, self.ended = tracking_uri, [], {}, 0, ""
        self.experiments: dict[str, str] = {}
        Client.last = self

    def get_experiment_by_name(self, name):
        return SimpleNamespace(experiment_id=self.experiments[name]) if name in self.experiments else None

    def create_experiment(self, name):
        self.experiments[name] = "7"
        if self.others:
            raise RuntimeError("RESOURCE_ALREADY_EXISTS")
        return "7"

    def create_run(self, experiment, run_name, tags):
        self.experiment, self.name, self.tags = experiment, run_name, tags
        return SimpleNamespace(info=SimpleNamespace(run_id="r"))

    def log_batch(self, run, metrics=(), params=()):
        if self.fails and metrics:
            raise OSError("gone")
        self.requests += 1
        self.metrics += [(m.key, m.step, m.value) for m in metrics]
        self.params.update({p.key: p.value for p in params})

    def set_terminated(self, run, status):
        self.ended = status


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
    """What the tracker sets in the environment is forgotten after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in mlflow._SETTINGS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture
def client(monkeypatch):
    package, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    package.MlflowClient = Client
    entities.Metric, entities.Param = Metric, Param
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    return Client


def allowed(numbers):
    return {(name.replace("HR@10", "HR_at_10"), step, value) for name, step, value in numbers}


def test_each_number_is_one_metric(client, record, numbers, tmp_path):
    MLflowTracker("http://server", "mine").log(record, tmp_path, ["attack=bad"])
    assert len(client.last.metrics) == len(numbers)
    assert set(client.last.metrics) == allowed(numbers)
    assert client.last.params["model"] == "mf"
    assert client.last.params["overrides"] == "attack=bad"
    assert (client.last.uri, client.last.experiments) == ("http://server", {"mine": "7"})
    assert (client.last.name, client.last.tags) == (tmp_path.name, {"folder": str(tmp_path)})
    assert client.last.ended == "FINISHED"


def test_many_numbers_take_several_requests(client, record, numbers, tmp_path, monkeypatch):
    monkeypatch.setattr(mlflow, "_AT_ONCE", 3)
    MLflowTracker().log(record, tmp_path, [])
    assert client.last.requests == 1 + 3
    assert set(client.last.metrics) == allowed(numbers)


def test_where_it_goes_unless_told(client, record, tmp_path, monkeypatch):
    MLflowTracker().log(record, tmp_path, [])
    assert client.last.uri == (tmp_path / "outputs" / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    MLflowTracker().log(record, tmp_path, [])
    assert client.last.uri == "http://elsewhere"


def test_another_job_may_make_the_experiment_first(client, record, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "others", True)
    MLflowTracker().log(record, tmp_path, [])
    assert client.last.experiment == "7"


def test_a_run_that_breaks_off_is_marked_as_failed(client, record, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "fails", True)
    with pytest.raises(OSError, match="gone"):
        MLflowTracker().log(record, tmp_path, [])
    assert client.last.ended == "FAILED"


def test_a_real_folder_holds_the_numbers_exactly(record, numbers, tmp_path):
    real = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'recpoison[mlflow]'")
    overrides = ["attack=bad", f"dataset.path={'x' * 7000}"]  # longer than MLflow takes
    MLflowTracker().log(record, tmp_path, overrides)
    MLflowTracker().log(record, tmp_path, ["seed=1"])
    reader = real.MlflowClient(tracking_uri=Path("outputs/mlruns").absolute().as_uri())
    experiment = reader.get_experiment_by_name("recpoison")
    short, run = sorted(
        reader.search_runs([experiment.experiment_id]), key=lambda run: len(run.data.params["overrides"])
    )
    history = [m for name in run.data.metrics for m in reader.get_metric_history(run.info.run_id, name)]
    assert sorted((m.key, m.step, m.value) for m in history) == sorted(allowed(numbers))
    assert run.data.params["overrides"].startswith("attack=bad dataset.path=xxx")
    assert short.data.params["overrides"] == "seed=1"
    assert run.info.status == "FINISHED"
