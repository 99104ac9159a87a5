"""One HTML page that holds everything about a set of runs: tables, figures, protocol, costs, commands, failures."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING

import pandas as pd

from recpoison.evaluation.sentences import counted
from recpoison.report.figures import as_bytes
from recpoison.report.formats import decimals_of, number
from recpoison.report.runs import Run, Runs, protocol_of, shown_path
from recpoison.report.tables import Entry, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LOOK = """
:root { color-scheme: light dark; --ink: #1d2125; --faint: #5b646e; --line: #d0d5da;
  --ground: #ffffff; --band: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ea; --faint: #9ba5af; --line: #3d454d; --ground: #16191c; --band: #20252a; }
}
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 2rem); }
th, td { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } th.group { text-align: center; }
td.number, th.number { text-align: right; white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--band); } .sd, .note, figcaption { color: var(--faint); font-size: .88em; }
.mark { color: var(--ink); }
.note { margin: .2rem 0; } code { font: .85em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.failed { color: #c0392b; font-weight: 600; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; max-width: 100%; }
figure img { background: #fff; padding: .5rem; border: 1px solid var(--line); max-width: 100%; height: auto; }
@media (max-width: 40rem) { body { font-size: 13px; } th, td { padding: .2rem .35rem; }
  td.number .sd { display: block; } h1, h2, p, figcaption { overflow-wrap: anywhere; } }
@media print { body { max-width: none; } .wide { overflow: visible; } }
"""


def to_html(runs: Runs, tables: Sequence[Table], figures: Mapping[str, Figure], title: str = "recpoison report") -> str:
    """The page, complete in itself: no script, no font, no picture from elsewhere.

    Args:
        runs: What the tables are made from; gives protocol, costs, commands and failures.
        tables: Shown in their order.
        figures: By file name; embedded as SVG.
        title: The page's heading.
    """
    jobs = counted(len(runs.runs), "run") + (f", {len(runs.missing)} without result" if runs.missing else "")
    parts = [
        f"<h1>{escape(title)}</h1><p class=note>{escape(jobs)}</p>",
        "<h2>Results</h2>",
        *(table_as_html(table) for table in tables),
        section("Figures", figures_as_html(figures)),
        *about(runs),
        section("Costs", _costs(runs.runs)),
        section("Commands", _commands(runs.runs)),
        section("Made with", _origins(runs.runs)),
    ]
    return document(title, parts)


def document(title: str, parts: Iterable[str]) -> str:
    """A whole page of ``parts``, those that are empty left out."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(part for part in parts if part)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}<style>{_LOOK}</style></head>\n<body>\n{body}\n</body></html>\n'
    )


def about(runs: Runs) -> list[str]:
    """Sections on how numbers were measured, and on jobs that left none."""
    return [section("Protocol", _protocols(runs)), section("Jobs without result", _missing(runs))]


def section(heading: str, content: str) -> str:
    """A part of a page under a heading; empty where it has no content."""
    return f"<h2>{heading}</h2>\n{content}" if content else ""


def table_as_html(table: Table) -> str:
    """A table with its notes, as a part of a page."""
    groups = [(name, len(list(same))) for name, same in groupby(group for group, _ in table.columns)]
    first = f"<th colspan={len(table.keys)}></th>" if table.keys else ""
    first += "".join(f"<th class=group colspan={n}>{escape(name)}</th>" for name, n in groups) + "<th></th>"
    heads = [f"<th>{escape(key)}</th>" for key in table.keys]
    heads += [f"<th class=number>{escape(name)}</th>" for name in (*(name for _, name in table.columns), "n")]
    rows = []
    for row, names in enumerate(table.rows):
        cells = [f"<td>{escape(name)}</td>" for name in names]
        cells += [_entry(entry, decimals_of(table, row, c)) for c, entry in enumerate(table.entries[row])]
        rows.append(f"<tr>{''.join(cells)}<td class=number>{table.seeds(row)}</td></tr>")
    notes = "".join(f"<p class=note>{escape(note)}</p>" for note in table.notes)
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in table.told)
    return (
        f"{told}<div class=wide><table><caption><span>{escape(table.title)}</span></caption>"
        f"<thead><tr>{first}</tr><tr>{''.join(heads)}</tr></thead>\n<tbody>{chr(10).join(rows)}</tbody></table></div>{notes}"
    )


def _entry(entry: Entry | None, decimals: int) -> str:
    if entry is None:
        return "<td class=number>–</td>"
    mean, sd, mark = number(entry, decimals)
    mean = f"<strong>{mean}</strong>" if entry.best else mean
    mark = f"<span class=mark>{escape(mark)}</span>" if mark else ""
    return f"<td class=number>{mean}{f' <span class=sd>± {sd}{mark}</span>' if sd else mark}</td>"


def figures_as_html(figures: Mapping[str, Figure]) -> str:
    """Figures as SVG inside the page, each with what its label says."""
    drawn = []
    for figure in figures.values():
        picture = base64.b64encode(as_bytes(figure, "svg")).decode()
        said = escape(str(figure.get_label()))
        drawn.append(
            f'<figure><img alt="{said}" src="data:image/svg+xml;base64,{picture}">'
            f"<figcaption>{said}</figcaption></figure>"
        )
    return f"<div class=figures>{''.join(drawn)}</div>" if drawn else ""


def _protocols(runs: Runs) -> str:
    """The first whole; of each other the rules that differ from it, and whose it is."""
    first, *others = runs.protocols() or [{}]
    told = plain_table(("rule", "value"), first.items()) if first else ""
    datasets = {str(run.metrics.dataset.iloc[0]) for run in runs.runs}
    for protocol in others:
        measured = [run.metrics.iloc[0] for run in runs.runs if protocol_of(run) == protocol]
        whose = dict.fromkeys(f"{one.model} on {one.dataset}" if len(datasets) > 1 else one.model for one in measured)
        rules = [rule for rule in {**first, **protocol} if first.get(rule) != protocol.get(rule)]
        differs = [(rule, protocol.get(rule, "–")) for rule in rules]
        told += plain_table(("rule", "value"), differs, caption=f"Others ({', '.join(whose)}): the same, but")
    return told


def _missing(runs: Runs) -> str:
    rows = [(shown_path(job.folder), " ".join(job.overrides), job.reason) for job in runs.missing]
    return plain_table(("folder", "overrides", "reason"), rows, failed=2) if rows else ""


def _costs(runs: Sequence[Run]) -> str:
    costs = [_named_costs(run) for run in runs if len(run.costs)]
    if not costs:
        return ""
    frame = pd.concat(costs, ignore_index=True)
    rows = []
    for names, group in frame.groupby(["dataset", "model", "cell", "stage"], sort=False):
        computed = group[group.reused.str.lower() != "true"]
        seconds = f"{computed.seconds.mean():.2f}" if len(computed) else "–"
        total = f"{computed.seconds.sum():.1f}"
        peak = f"{group.peak_mb.max():,.0f}" if group.peak_mb.notna().any() else "–"
        rows.append((*map(str, names), seconds, total, peak, str(len(computed)), str(len(group) - len(computed))))
    heads = (
        "dataset",
        "model",
        "attack/defense",
        "stage",
        "mean seconds",
        "total seconds",
        "peak memory, MB",
        "computed",
        "reused",
    )
    return plain_table(heads, rows, numeric_from=4)


def _named_costs(run: Run) -> pd.DataFrame:
    first = run.metrics.iloc[0]
    return run.costs.assign(dataset=first.dataset, model=first.model)


def _commands(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        cells = run.metrics[["dataset", "model", "attack", "defense"]].drop_duplicates()
        named = ", ".join(f"{cell.attack}/{cell.defense}" for cell in cells.itertuples())
        seeds = ", ".join(str(seed) for seed in sorted(run.metrics.seed.unique()))
        command = str(run.about.get("command", "not recorded"))
        if {"-m", "--multirun"} & set(command.split()):  # the whole sweep's; this job's is made of its own overrides
            command = shlex.join(["recpoison", *run.overrides])
        rows.append((f"{cells.dataset.iloc[0]}, {cells.model.iloc[0]}", named, seeds, shown_path(run.folder), command))
    return plain_table(("dataset, model", "cells (attack/defense)", "seeds", "folder", "command"), rows, code_from=3)


def _origins(runs: Sequence[Run]) -> str:
    facts: dict[tuple[str, str], None] = {}
    for run in runs:
        for name in ("versions", "device", "machine", "python"):
            if name in run.about:
                value = run.about[name]
                text = (
                    json.dumps(value)
                    if not isinstance(value, dict)
                    else ", ".join(f"{k} {v}" for k, v in value.items())
                )
                facts[name, text.strip('"')] = None
    return plain_table(("what", "which"), facts) if facts else ""


def plain_table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric_from: int = 99,
    code_from: int = 99,
    failed: int = 99,
    caption: str = "",
) -> str:
    """A table of text; from column ``numeric_from`` on to the right, from ``code_from`` on code, ``failed`` in red."""

    def cell(column: int, text: str) -> str:
        inside = f"<code>{escape(text)}</code>" if column >= code_from else escape(text)
        kind = " class=number" if column >= numeric_from else " class=failed" if column == failed else ""
        return f"<td{kind}>{inside}</td>"

    head = "".join(
        f"<th{' class=number' if c >= numeric_from else ''}>{escape(name)}</th>" for c, name in enumerate(heads)
    )
    body = "\n".join(f"<tr>{''.join(cell(c, text) for c, text in enumerate(row))}</tr>" for row in rows)
    title = f"<caption><span>{escape(caption)}</span></caption>" if caption else ""
    return f"<div class=wide><table>{title}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
