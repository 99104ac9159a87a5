"""The page of an audit: five sentences, the command to repeat it, then curves, tables and doubts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path, PurePath
from typing import NamedTuple

from recpoison.evaluation.sentences import counted
from recpoison.evaluation.subjects import IMPROVEMENT
from recpoison.report.audit.doubts import LOOKED_FOR, doubts
from recpoison.report.audit.figure import SAID, security_curves
from recpoison.report.audit.findings import Audit, audits_of
from recpoison.report.audit.sentences import detections, five
from recpoison.report.audit.tables import (
    curve_table,
    defense_table,
    detection_table,
    needed,
    reach_table,
    stability_table,
)
from recpoison.report.formats import to_markdown
from recpoison.report.page import about, document, figures_as_html, plain_table, section, table_as_html
from recpoison.report.runs import Runs, read_runs, shown_path
from recpoison.report.tables import Table
from recpoison.report.writing import write_file

_NONE = "No figure deserves doubt by these rules."
_NEEDED = "Fake accounts with which the target comes into the lists of so many users"


def pages(runs: Runs) -> dict[str, bytes]:
    """``audit.html`` and ``audit.md`` by name; of several datasets a pair for each, with the dataset in its name.

    Nothing where no run has a curve of targets over fake users (``evaluation.curve_fakes``).

    Raises:
        BrokenArrays: If the lists of a run cannot be read.
    """
    return _files(_contents(runs))


def _files(contents: Sequence[_Content]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for content in contents:
        stem = "audit" if len(contents) == 1 else f"audit_{content.audit.dataset}"
        found |= {f"{stem}.html": _html(content).encode(), f"{stem}.md": _markdown(content).encode()}
    return found


def leave_pages(folder: Path) -> list[str]:
    """Write the pages of a sweep into its folder, if its runs have such a curve, and say what they begin with.

    Raises:
        UserError: If a run cannot be read, or a page not written.
    """
    curves = (path.read_bytes() for path in folder.glob("*/curve.csv"))
    if not any(b",fake_users," in curve for curve in curves):
        return []
    contents = _contents(read_runs([folder]))
    written = _files(contents)
    for name, text in written.items():
        write_file(folder / name, text)
    return [
        *(sentence for content in contents for sentence in content.told),
        *(shown_path(folder / n) for n in written),
    ]


def command_of(audit: Audit) -> str:
    """What was typed."""
    return str(audit.runs.runs[0].about.get("command", "not recorded"))


class _Content(NamedTuple):
    """What both forms of a page say: found once, for the lists of all runs are read on the way."""

    audit: Audit
    told: list[str]
    data: str
    tables: list[tuple[str, Table]]
    doubts: list[str]
    noted: list[str]
    buckets: list[str]


def _contents(runs: Runs) -> list[_Content]:
    """Of each dataset."""
    return [
        _Content(one, five(one), _data(one), _tables(one), doubts(one), _noted(one), _buckets(one))
        for one in audits_of(runs)
    ]


def _html(content: _Content) -> str:
    audit = content.audit
    told = "".join(f"<li>{escape(sentence)}</li>" for sentence in content.told)
    heads, rows = needed(audit)
    curves = f"{figures_as_html(security_curves(audit))}<p class=note>{escape(SAID)}</p>"
    curves += table_as_html(curve_table(audit)) + plain_table(heads, rows, caption=_NEEDED)
    title = _title(audit)
    repeat = f"<p>To repeat it: <code>{escape(command_of(audit))}</code></p>"
    buckets = "".join(f"<p class=note>{escape(note)}</p>" for note in content.buckets)
    parts = [
        f"<h1>{escape(title)}</h1><p class=note>{escape(content.data)}</p><ol>{told}</ol>{repeat}",
        section("Security curve", curves),
        *(section(heading, table_as_html(table)) for heading, table in content.tables),
        section("Where a figure deserves doubt", _listed(content.doubts) + f"<p class=note>{escape(LOOKED_FOR)}</p>"),
        section("Noted by the runs", _listed(content.noted)) if content.noted else "",
        section("Targets", plain_table(*_targets(audit)) + buckets),
        *about(audit.runs),
    ]
    return document(title, parts)


def _listed(sentences: Sequence[str]) -> str:
    points = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<ul>{points}</ul>" if points else f"<p>{_NONE}</p>"


def _markdown(content: _Content) -> str:
    audit = content.audit
    told = "".join(f"{number}. {sentence}\n" for number, sentence in enumerate(content.told, 1))
    doubted = "".join(f"- {doubt}\n" for doubt in content.doubts) or f"{_NONE}\n"
    noted = "".join(f"- {note}\n" for note in content.noted)
    buckets = "".join(f"- {note}\n" for note in content.buckets)
    parts = [
        f"# {_title(audit)}\n\n{content.data}\n\n{told}\nTo repeat it:\n\n    {command_of(audit)}\n",
        f"## Security curve\n\n{to_markdown(curve_table(audit))}\n**{_NEEDED}**\n\n{_plain(*needed(audit))}",
        *(f"## {heading}\n\n{to_markdown(table)}" for heading, table in content.tables),
        f"## Where a figure deserves doubt\n\n{doubted}\n{LOOKED_FOR}\n",
        *([f"## Noted by the runs\n\n{noted}"] if noted else []),
        f"## Targets\n\n{_plain(*_targets(audit))}\n{buckets}",
    ]
    return "\n".join(parts)


def _tables(audit: Audit) -> list[tuple[str, Table]]:
    """Those that there are numbers for, under their headings."""
    found = {
        "Victims and attacks": reach_table(audit),
        "Detection": detection_table(audit),
        "Defense": defense_table(audit),
        "Stability of everybody's lists": stability_table(audit),
    }
    return [(heading, table) for heading, table in found.items() if table is not None]


def _targets(audit: Audit) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and rows of text: which items were promoted."""
    rows: dict[tuple[str, ...], None] = {}
    for row in audit.cells.frame.drop_duplicates(["bucket", "draw"]).itertuples():
        known = audit.cells.runs[row.run].about.get("targets", {})
        for item in known.get(str(row.draw)) or next(iter(known.values()), []):
            name = str(item["item"] if item["id"] is None else item["id"])
            rows[row.bucket, name, f"{item['rows']:,}"] = None
    return ("bucket", "item", "users who have it"), list(rows)


def _title(audit: Audit) -> str:
    """What is audited, with the file where it is a table of the user's own."""
    files = {PurePath(path).name for run in audit.runs.runs if (path := run.config.get("dataset.path"))}
    return f"Audit of {audit.dataset}" + (f" ({', '.join(sorted(files))})" if files else "")


def _data(audit: Audit) -> str:
    """How large the data are, how many seeds there are, and what the numbers were made with."""
    run = audit.runs.runs[0]
    sizes: dict[str, int] = next(iter(run.about.get("data", {}).values()), {})
    names = (("users", "users"), ("items", "items"), ("train_rows", "training rows"))
    told = [f"{sizes[key]:,} {name}" for key, name in names if key in sizes]
    told += [counted(audit.cells.frame.seed.nunique(), "seed"), counted(len(audit.runs.runs), "run")]
    dates = sorted(str(one.about["finished"])[:10] for one in audit.runs.runs if "finished" in one.about)
    told += [f"finished {dates[-1]}"] if dates else []
    return ", ".join(told)


def _noted(audit: Audit) -> list[str]:
    """What the runs noted about their data and models, each once, and which were left out.

    Not that a metric which is not shown is missing, nor what stands under the table of detectors.
    """
    notes = dict.fromkeys(str(note) for run in audit.runs.runs for note in run.about.get("notes") or ())
    left_out = Counter(job.reason for job in audit.runs.undefined)
    told = [f"{counted(count, 'cell')} not defined, left out: {reason}" for reason, count in left_out.items()]
    told_there = () if detections(audit).empty else ("defense.",)
    return [*told, *(note for note in notes if IMPROVEMENT not in note and not note.startswith(told_there))]


def _buckets(audit: Audit) -> list[str]:
    """What each bucket is."""
    buckets = {
        "rare": "rare: drawn from the less popular half of the items that somebody has",
        "medium": "medium: between the 75th and the 95th percentile of popularity",
        "popular": "popular: from the 95th percentile of popularity on",
    }
    return [buckets[name] for name in audit.buckets if name in buckets]


def _plain(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text in markdown."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"
