"""``recpoison-report``: tables, figures and a page over any runs and sweeps."""

from __future__ import annotations

import argparse
import glob
import sys
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from recpoison.answering import answered
from recpoison.errors import ConfigError, DataError
from recpoison.evaluation.questions import Metric
from recpoison.nearest import did_you_mean, nearest
from recpoison.paths import CONF_DIR
from recpoison.published.tables import names
from recpoison.report.audit.page import pages
from recpoison.report.comparisons import defense_table, effect_table
from recpoison.report.every_figure import draw_every
from recpoison.report.export import export
from recpoison.report.figures import as_files
from recpoison.report.formats import to_console, to_csv, to_markdown
from recpoison.report.latex import to_latex
from recpoison.report.measurements import Measurements, measure
from recpoison.report.options import ENDINGS, parser
from recpoison.report.page import to_html
from recpoison.report.published import is_published, keep_ours, published
from recpoison.report.reading import BrokenArrays
from recpoison.report.runs import Runs, read_runs
from recpoison.report.studies import curve_studies, data_study
from recpoison.report.tables import Table, default_metrics, notes_once, pivot_table, with_notes
from recpoison.report.writing import write_file, write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DETAILED = ("csv", "html")  # forms that have room for every cell that was not run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, 2 for a user's mistake, 130 for Ctrl-C, and 1 (with a trace) for ours."""
    return answered("recpoison-report", lambda: _warn(_report(parser().parse_args(arguments))))


def _report(options: argparse.Namespace) -> Runs:
    if options.export:
        return _export(options)
    form = options.format or _form_of(options.output)
    if is_published(options.paths[0]):
        return _report_published(options, form)
    _refuse_what_is_published(options)
    runs = read_runs(options.paths)
    while True:
        try:
            return _report_all(options, form, runs)
        except BrokenArrays as error:
            runs = runs.without(error.folder, str(error))
            if not runs.runs:
                raise


def _export(options: argparse.Namespace) -> Runs:
    tabular = ("rows", "columns", "metric", "subject", "figures", "characteristics", "format", "all", "keep")
    refused = [f"--{name}" for name in tabular if getattr(options, name)]
    if refused:
        raise ConfigError(f"--export writes fake users and no tables: leave out {', '.join(refused)}")
    runs = read_runs(options.paths)
    for file in export(runs, options.export, options.output):
        print(file)
    return runs


def _report_all(options: argparse.Namespace, form: str, runs: Runs) -> Runs:
    """Tables, then figures, and only then files: whoever catches an error of theirs finds nothing written."""
    measurements = measure(runs, options.average_repeated, options.test)
    metrics = _metrics(options, measurements)
    named = metrics if options.metric or options.subject else None
    studies = curve_studies(runs, measurements, named, options.row_l2, options.average_repeated)
    tables = [with_notes(table, runs) for table in _tables(options, measurements, metrics)] + studies.tables
    files, figures = dict(studies.files), {}
    if options.all or options.figures or form == "html":
        figures = draw_every(runs, measurements, metrics) | studies.draw()
    if options.characteristics:
        slopes, points, drawn = data_study(runs, measurements, named)
        tables.append(slopes)
        files |= points
        figures |= drawn
    if options.figures:
        write_report(options.figures, as_files(figures))
    if options.all:
        _write_all(options, runs, tables, figures, studies.details, files)
    _show(options, form, runs, tables, figures, studies.details)
    return runs


def _warn(runs: Runs) -> int:
    """Say which runs were left out for a broken file, and which were edited; the exit code."""
    damaged = [job.reason for job in runs.missing if job.damaged]
    for said in (*runs.altered(), *(f"left out: {reason}" for reason in damaged)):
        print(f"recpoison-report: {said}", file=sys.stderr)
    return DataError.exit_code if damaged else 0


def _refuse_what_is_published(options: argparse.Namespace) -> None:
    """A misspelt table, which no folder is called, and what belongs to published tables alone."""
    name = options.paths[0]
    if not Path(name).exists() and (CONF_DIR / "experiment" / f"{name}.yaml").is_file():
        raise ConfigError(
            f"{name} is a preset without a published table: run recpoison experiment={name}, then recpoison-report "
            "outputs/latest"
        )
    meant = nearest(name, names())
    if meant and not Path(name).exists() and not glob.has_magic(name):
        raise ConfigError(f"{name} is no folder and no published table{did_you_mean(meant)}")
    if options.keep:
        raise ConfigError("--keep is for a published table: name it first, as in recpoison-report apt_table_2 --keep")


def _report_published(options: argparse.Namespace, form: str) -> Runs:
    own = ("rows", "columns", "metric", "subject", "figures", "characteristics")
    refused = [f"--{name}" for name in own if getattr(options, name)]
    if refused:
        raise ConfigError(
            f"{options.paths[0]} is a published table with rows and columns of its own: leave out {', '.join(refused)}"
        )
    found = published(options.paths[0], options.paths[1:], options.average_repeated)
    if options.all:
        _write_all(options, found.runs, list(found.tables), {}, found.not_run, {})
    _show(options, form, found.runs, list(found.tables), {}, found.not_run)
    if options.keep:
        print(f"\n{keep_ours(found)}", file=sys.stderr)
    return found.runs


def _show(
    options: argparse.Namespace,
    form: str,
    runs: Runs,
    tables: list[Table],
    figures: Mapping[str, Figure],
    details: Sequence[Table] = (),
) -> None:
    """Print or write ``tables``, with ``details`` where there is room for them."""
    shown = [*tables, *details] if form in _DETAILED else tables
    if options.output:
        write_file(_file(options.output, form), _text(form, runs, shown, figures).encode())
    elif form == "console":
        for table in notes_once(shown):
            to_console(table, Console())
    else:
        sys.stdout.write(_text(form, runs, shown, figures))


def _write_all(
    options: argparse.Namespace,
    runs: Runs,
    tables: list[Table],
    figures: Mapping[str, Figure],
    details: Sequence[Table],
    files: Mapping[str, str],
) -> None:
    """Every form of the report, its figures and further ``files`` into the folder of ``--all``."""
    contents: dict[str, bytes] = {}
    for kind in ("csv", "markdown", "latex", "html"):
        shown = [*tables, *details] if kind in _DETAILED else tables
        contents[f"report.{ENDINGS[kind]}"] = _text(kind, runs, shown, figures).encode()
    contents |= pages(runs)
    written = [*contents, *["figures/"] * bool(figures and not options.figures), *files]
    contents |= {name: text.encode() for name, text in files.items()}
    if not options.figures:
        contents |= {f"figures/{name}": content for name, content in as_files(figures).items()}
    write_report(options.all, contents)
    print(f"written to {options.all}: {' '.join(written)}", file=sys.stderr)


def _metrics(options: argparse.Namespace, measurements: Measurements) -> list[Metric]:
    metrics = default_metrics(measurements)
    if options.metric is None and options.subject is None:
        return metrics
    subject = options.subject or metrics[0].subject
    default = next((m.label for m in metrics if m.subject == subject), "HR@10")
    return [measurements.find(options.metric or default, subject)]


def _tables(options: argparse.Namespace, measurements: Measurements, metrics: Sequence[Metric]) -> list[Table]:
    """What the attacks did, and what the defenses changed; or the pivot that was asked for."""
    attacked = bool((measurements.frame.attack != "none").any())
    if attacked and options.rows is None and options.columns is None:
        defended = defense_table(measurements, metrics)
        return [effect_table(measurements, metrics), *([defended] if defended else [])]
    rows = options.rows.split(",") if options.rows else ["attack" if options.columns == "dataset" else "dataset"]
    columns = options.columns or next(key for key in ("attack", "model", "defense") if key not in rows)
    if columns in rows:
        raise ConfigError(f"--rows and --columns are both {columns}: choose two keys, such as dataset and attack")
    chosen = metrics if attacked else [m for m in metrics if m.subject != "target"] or metrics
    return [pivot_table(measurements, rows, columns, chosen[0])]


def _form_of(output: Path | None) -> str:
    """The form that the ending of ``--output`` names; the console's for a folder and for the screen."""
    if output is None or output.is_dir() or not output.suffix:
        return "console"
    endings = {f".{ending}": form for form, ending in ENDINGS.items()}
    if output.suffix not in endings:
        raise ConfigError(
            f"--output {output}: no form ends in {output.suffix}: choose one of {', '.join(endings)}, or give --format"
        )
    return endings[output.suffix]


def _file(output: Path, form: str) -> Path:
    is_folder = output.is_dir() or not output.suffix
    return output / f"report.{ENDINGS[form]}" if is_folder else output


def _text(form: str, runs: Runs, tables: Sequence[Table], figures: Mapping[str, Figure]) -> str:
    if form == "latex":  # a paper has each table on a page of its own
        return "\n".join(map(to_latex, tables))
    tables = notes_once(tables)
    if form == "html":
        return to_html(runs, tables, figures)
    if form == "console":
        text = StringIO()
        for table in tables:
            to_console(table, Console(file=text, width=160))
        return text.getvalue()
    return "\n".join(map({"csv": to_csv, "markdown": to_markdown}[form], tables))


if __name__ == "__main__":
    sys.exit(main())
