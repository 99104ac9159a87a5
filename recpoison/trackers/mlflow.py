"""A run as a run of MLflow."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from recpoison.trackers.base import Tracker, parameters, scalars

if TYPE_CHECKING:
    from recpoison.records import RunRecord

_FOLDER = Path("outputs", "mlruns")
_AT_ONCE = 1000  # metrics that MLflow takes in one request
_FORBIDDEN = re.compile(r"[^\w\-. :/]")
# MLflow 3 refuses folders unless told, and mlflow-skinny has no database; a server that is down is asked for minutes.
_SETTINGS = {"MLFLOW_ALLOW_FILE_STORE": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


@dataclass(frozen=True)
class MLflowTracker(Tracker):
    """Logs to an MLflow server or folder.

    MLflow allows no ``@`` in names: ``target/HR@50/...`` becomes ``target/HR_at_50/...``.

    Args:
        uri: The server or folder. None: ``$MLFLOW_TRACKING_URI``, else the folder ``outputs/mlruns``.
        experiment: Name of the experiment; made if missing.
    """

    package: ClassVar[str] = "mlflow"
    uri: str | None = None
    experiment: str = "recpoison"

    def log(self, record: RunRecord, folder: Path, overrides: list[str]) -> None:
        """Make a run, named like the folder, with a metric for each number and its parameters."""
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        client = MlflowClient(tracking_uri=self._address())
        now = int(time.time() * 1000)
        metrics = [Metric(_allowed(s.name), s.value, now, s.step) for s in scalars(record)]
        params = [Param(name, text) for name, text in parameters(record, overrides).items()]
        tags = {"folder": str(folder.absolute())}
        run = client.create_run(self._experiment(client), run_name=folder.name, tags=tags).info.run_id
        ended = "FAILED"
        try:
            client.log_batch(run, params=params)
            for start in range(0, len(metrics), _AT_ONCE):
                client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])
            ended = "FINISHED"
        finally:
            client.set_terminated(run, ended)

    def _address(self) -> str:
        return self.uri or os.environ.get("MLFLOW_TRACKING_URI") or _FOLDER.absolute().as_uri()

    def _experiment(self, client: Any) -> str:
        """The experiment's number; another job may make it at the same moment."""
        found = client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                return client.create_experiment(self.experiment)
            except Exception:
                found = client.get_experiment_by_name(self.experiment)
                if found is None:
                    raise
        return found.experiment_id


def _allowed(name: str) -> str:
    return _FORBIDDEN.sub("_", name.replace("@", "_at_"))
