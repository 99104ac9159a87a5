"""Runs in hand: what ``recpoison.run`` found and ``recpoison.load`` read, as tables, sentences, figures and files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from omegaconf import OmegaConf
from rich.console import Console

from recpoison.errors import ConfigError, OutputError
from recpoison.records import RunRecord, run_facts, write
from recpoison.report.comparisons import effect_table, headlines
from recpoison.report.every_figure import draw_every
from recpoison.report.formats import to_console, to_csv, to_markdown
from recpoison.report.latex import to_latex
from recpoison.report.measurements import Measurements, Metric, measure
from recpoison.report.page import table_as_html
from recpoison.report.reading import dotted
from recpoison.report.runs import Run, Runs
from recpoison.report.studies import curve_studies
from recpoison.report.tables import Table, default_metrics, pivot_table, with_notes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEXTS = {"csv": to_csv, "markdown": to_markdown, "latex": to_latex, "html": table_as_html}
_WIDTH = 160  # letters


@dataclass(frozen=True, eq=False)
class Finished:
    """A run that this process did, with all it needs to be written.

    Args:
        record: What it found.
        config: Its resolved configuration as YAML.
        overrides: What was asked for.
        command: The call, as ``run.json`` keeps it.
    """

    record: RunRecord
    config: str
    overrides: tuple[str, ...]
    command: str

    def as_run(self, name: str) -> Run:
        """As if read from a folder ``name``."""
        costs = pd.DataFrame([vars(cost) for cost in self.record.costs]).astype({"reused": str})
        about = json.loads(json.dumps(run_facts(self.record, self.command), default=str))
        config = dict(dotted(OmegaConf.to_container(OmegaConf.create(self.config))))
        metrics, curve = self.record.metrics(), self.record.curves()
        return Run(Path(name), metrics, costs, config, self.overrides, about, curve)


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """One run or several, to look at, to compute with and to keep. Nothing is written before ``save``.

    Args:
        runs: What is measured.
        finished: The same runs with all their arrays, where this process did them; empty where they were read.
    """

    runs: Runs
    finished: tuple[Finished, ...] = ()

    @classmethod
    def of(cls, finished: Sequence[Finished]) -> Result:
        """What this process found."""
        runs = tuple(one.as_run(f"run {number} (not saved)") for number, one in enumerate(finished))
        return cls(Runs(runs, ()), tuple(finished))

    @property
    def records(self) -> tuple[RunRecord, ...]:
        """Of runs that this process did: every rank, the crafted changes, costs; none where they were read."""
        return tuple(one.record for one in self.finished)

    def to_frame(self) -> pd.DataFrame:
        """One row a number, as in ``metrics.csv``; settings that tell cells of equal names apart are more columns."""
        internal = ["run", "clean", "undefended", "change"]
        return self._measurements.frame.drop(columns=internal, errors="ignore")

    def table(self, form: str = "console", metric: str | None = None, subject: str = "target") -> str:
        """What each attack did, or, without an attack, what each model reached.

        Args:
            form: ``console``, ``markdown``, ``latex``, ``csv`` or ``html``.
            metric: One metric, such as ``HR@10``; None takes the usual ones.
            subject: Whose, where a metric is named: ``target``, ``test`` or another that was measured.

        Raises:
            ConfigError: If there is no such form or metric.
        """
        table = self._table(None if metric is None else [self._measurements.find(metric, subject)])
        if form in _TEXTS:
            return _TEXTS[form](table)
        if form != "console":
            raise ConfigError(f"table has no form {form!r}: choose one of console, {', '.join(_TEXTS)}")
        text = StringIO()
        to_console(table, Console(file=text, width=_WIDTH))
        return text.getvalue()

    def verdict(self) -> str:
        """What was found, a sentence a line."""
        found = self._measurements
        told = headlines(found, default_metrics(found)) or ["Nothing was attacked."]
        return "\n".join([*told, *(f"No result: {job.folder}: {job.reason}" for job in self.runs.missing)])

    def figures(self) -> dict[str, Figure]:
        """Every figure there are numbers for, by name; those of single fake users need a run that was saved."""
        metrics = default_metrics(self._measurements)
        drawn = draw_every(self.runs, self._measurements, metrics)
        return drawn | curve_studies(self.runs, self._measurements, None).draw()

    def save(self, folder: str | Path) -> Path:
        """Write the files of a run into ``folder``, those of several into folders 0, 1, ... inside it.

        Raises:
            OutputError: If it holds results already, or cannot be written.
        """
        folder = Path(folder)
        if next(folder.glob("**/metrics.csv"), None) is not None:
            raise OutputError(f"{folder} already holds results: choose another folder, or remove it")
        several = len(self.runs.runs) > 1
        for number, run in enumerate(self.runs.runs):
            place = folder / str(number) if several else folder
            if self.finished:
                done = self.finished[number]
                write(done.record, place, done.config, done.overrides, done.command)
            else:
                _copy(run.folder, place)
        return folder

    def __repr__(self) -> str:
        return f"<{self._title}: {self.verdict().splitlines()[0]}>"

    def _repr_html_(self) -> str:
        """The table, as notebooks show it."""
        return table_as_html(self._table())

    @cached_property
    def _measurements(self) -> Measurements:
        return measure(self.runs, paired_test=str(self.runs.runs[0].config.get("paired_test", "t")))

    @property
    def _title(self) -> str:
        frame = self._measurements.frame
        named = [[name for name in frame[key].unique() if name != "none"] for key in ("dataset", "model", "attack")]
        names = ", ".join("/".join(names[:3]) + ("/..." if len(names) > 3 else "") for names in named if names)
        n_runs, n_seeds = len(self.runs.runs), frame.seed.nunique()
        runs = f"{n_runs} runs, " if n_runs > 1 else ""
        return f"recpoison {names}, {runs}{n_seeds} seed{'' if n_seeds == 1 else 's'}"

    def _table(self, metrics: Sequence[Metric] | None = None) -> Table:
        chosen = default_metrics(self._measurements) if metrics is None else metrics
        if (self._measurements.frame.attack != "none").any():
            return with_notes(effect_table(self._measurements, chosen), self.runs)
        quality = [one for one in chosen if metrics is not None or one.subject != "target"] or chosen
        return with_notes(pivot_table(self._measurements, ["dataset"], "model", quality[0]), self.runs)


def _copy(source: Path, place: Path) -> None:
    """The files of a run; ``metrics.csv``, which marks it as complete, comes last."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        files: list[Any] = [path for path in source.iterdir() if path.is_file() and path.name[0] != "."]
        for path in sorted(files, key=lambda path: path.name == "metrics.csv"):
            shutil.copy2(path, place / path.name)
    except OSError as error:
        raise OutputError(f"results cannot be written to {place}: {error.strerror or error}") from error
