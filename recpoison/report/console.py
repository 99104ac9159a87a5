"""The end of a run on the console: what happened, in numbers, in a sentence, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recpoison.evaluation.questions import Metric, in_words, metric_of_each, metrics_in
from recpoison.evaluation.sentences import counted, decimal
from recpoison.evaluation.significance import star_rule, stars
from recpoison.evaluation.subjects import compared_with
from recpoison.report.retyping import kept_flags
from recpoison.report.runs import read_overrides, shown_path
from recpoison.ruled import ruled

if TYPE_CHECKING:
    from recpoison.records import RunRecord

_HEADLINES = {
    "target": (("HR", 50), ("HR", 10), ("NDCG", 50), ("MeanRank", None)),
    "test": (("HR", 10), ("NDCG", 10), ("AUC", None)),
    "path": (("HR", 10), ("NDCG", 10), ("AUC", None)),
    "fake": (("OutlierAUROC", None), ("PCAClusterAUROC", None), ("PopularityKS", None)),
}
_MOST_TARGETS = 5  # that are named
_HEADINGS = {
    "target": "promoted items (targets)",
    "test": "held-out items (quality)",
    "path": "held-out items, mean over steps",
    "fake": "fake users (AUROC 0.5 is chance)",
    "removed": "users removed by the defense",
    "weighed": "users weighed by the defense",
    "link": "edges",
    "node": "nodes",
}


def show(record: RunRecord, folder: Path, console: Console) -> None:
    """Print the two-by-two of a run: clean, attacked and difference, once without and once with the defense if one ran.

    Stars stand where a metric of the question's family has a small p. One seed has none.

    Args:
        record: What the run found.
        folder: Where its files are.
        console: Where to print.
    """
    typed = read_overrides(folder)
    summary = _shown(record.summary(), typed)
    first = summary.iloc[0]
    attacks = [name for name in summary.attack.unique() if name != "none"]
    seeds = counted(first.n, "seed")
    console.print()
    console.print(Text.assemble((f"{first.dataset}, {first.model}", "bold"), f": {_attack_in_words(attacks)}, {seeds}"))
    defenses = list(summary.defense.unique())
    for defense in defenses:
        table = _two_columns(summary[summary.defense == defense], attacks)
        if len(defenses) > 1:
            table.title = "without defense" if defense == "none" else f"with defense {defense}"
        console.print(Padding(table, (1, 0, 0, 1)))
    console.print()
    for sentence in record.story():
        console.print(Padding(Text(sentence), (0, 0, 1, 1)))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _footer(record, summary, folder, typed):
        facts.add_row(Text(name, style="dim"), Text(text, style="dim"))
    console.print(Padding(facts, (0, 0, 0, 1)))
    question, command = _next_command(summary, folder, attacks, asked=bool(_curves(record) - {"iterations"}))
    console.print(Text.assemble((" next", "bold"), f"      {question}"))
    console.print(Text(f"   {command}", style="bold"), soft_wrap=True)


def _shown(summary: pd.DataFrame, typed: Sequence[str]) -> pd.DataFrame:
    """The metrics a reader looks at first, the targets' before the others; the files hold the rest.

    Metrics that were typed are shown, all of them, and so are cutoffs: where they are not the usual ones, all of them
    are shown with the usual metrics.
    """
    asked_metrics, asked_cutoffs = (_asked(typed, name) for name in ("metrics", "cutoffs"))
    chosen = []
    for subject in [s for s in _HEADINGS if s in set(summary.subject)]:
        own = summary[summary.subject == subject]
        names = metrics_in(own)
        usual = [Metric(subject, *name) for name in _HEADLINES.get(subject, ())]
        wanted = [metric for metric in usual if metric in names]
        if asked_metrics:
            wanted = names
        elif asked_cutoffs or all(metric.k is None for metric in wanted):
            labels = list(dict.fromkeys(metric.name for metric in usual))
            wanted = [metric for label in labels for metric in names if metric.name == label]
        own_metrics = pd.Series(metric_of_each(own), index=own.index)
        chosen += [own[own_metrics == metric] for metric in wanted or names[:3]]
    return pd.concat(chosen, ignore_index=True)


def _asked(typed: Sequence[str], name: str) -> bool:
    return any(text.lstrip("+").startswith(f"evaluation.{name}=") for text in typed)


def _two_columns(summary: pd.DataFrame, attacks: Sequence[str]) -> Table:
    table = ruled()
    table.add_column("")
    for name in ("clean", "attacked", "difference") if attacks else ("clean",):
        table.add_column(name, justify="left" if name == "difference" else "right", no_wrap=True)
    clean, attacked = summary[summary.attack == "none"], summary[summary.attack != "none"]
    for subject in summary.subject.unique():
        table.add_row(Text(_HEADINGS[subject], style="dim"))
        for row in summary[summary.subject == subject].drop_duplicates(["metric", "k"]).itertuples():
            before = _same(clean, row.metric, row.k, compared_with(subject))
            cells = [Text("–") if before is None else _spread(before["mean"], before.sd)]
            after = _same(attacked, row.metric, row.k, subject)
            if after is not None:
                cells += [_spread(after["mean"], after.sd), _difference(after.difference, after.p, row.mean)]
            table.add_row(Text(f"  {_label(row.metric, row.k)}"), *cells)
    return table


def _same(summary: pd.DataFrame, metric: str, k: object, subject: str) -> pd.Series | None:
    same_k = summary.k.isna() if pd.isna(k) else (summary.k == k).fillna(False)
    found = summary[(summary.subject == subject) & (summary.metric == metric) & same_k]
    return None if found.empty else found.iloc[0]


def _footer(record: RunRecord, summary: pd.DataFrame, folder: Path, typed: Sequence[str]) -> list[tuple[str, str]]:
    spread = "mean ± standard deviation over seeds" if summary.n.max() > 1 else ""
    tested = summary[summary.p.notna() | summary.defense_p.notna()]
    rule = f"{star_rule()}; {in_words(tested.family, record.paired_test)}" if len(tested) else ""
    curves = ", curves in curve.csv" if _curves(record) else ""
    facts = [
        *(("note", note) for note in record.about.get("notes", [])),
        ("attack", record.about.get("attack_size", "")),
        ("promoted", _promoted(record)),
        ("targets", _without_targets(record, summary) if _asked(typed, "metrics") else ""),
        ("protocol", "; ".join(f"{name}: {fact}" for name, fact in record.protocol.items())),
        ("numbers", "; ".join(text for text in (spread, rule) if text)),
        ("files", f"{shown_path(folder)}: all metrics in table.md, every rank in ranks.npz{curves}"),
    ]
    return [fact for fact in facts if fact[1]]


def _promoted(record: RunRecord) -> str:
    """Which items the attack is about, by their ids in the source, and how many training rows they have."""
    told = dict.fromkeys(
        f"item {target['item'] if target['id'] is None else target['id']} ({counted(target['rows'], 'training row')})"
        for targets in record.about.get("targets", {}).values()
        for target in targets
    )
    more = f"; {len(told) - _MOST_TARGETS} more in run.json" if len(told) > _MOST_TARGETS else ""
    return "; ".join([*told][:_MOST_TARGETS]) + more


def _without_targets(record: RunRecord, summary: pd.DataFrame) -> str:
    """Which of the metrics asked for no promoted item can have, where there are promoted items."""
    if not any(len(getattr(result.change, "targets", ())) for result in record.results):
        return ""
    labels = {subject: list(dict.fromkeys(rows.metric)) for subject, rows in summary.groupby("subject", sort=False)}
    lacking = [label for label in labels.get("test", []) if label not in labels.get("target", [])]
    if not lacking:
        return ""
    remedy = "" if "target" in labels else ": add HR, NDCG, MeanRank or RankShift to see what became of them"
    return f"{', '.join(lacking)}: of held-out items only, promoted items have none{remedy}"


def _curves(record: RunRecord) -> set[str]:
    """What the run drew curves over."""
    return {row[0] for result in record.results for row in result.curve.rows}


def _next_command(
    summary: pd.DataFrame, folder: Path, attacks: Sequence[str], *, asked: bool = False
) -> tuple[str, str]:
    """The question that follows from this run (to see curves where they were ``asked`` for), and its command."""
    typed = [text for text in read_overrides(folder) if not text.startswith(("repeats=", "hydra."))] + kept_flags(
        folder
    )
    report = shlex.join(["recpoison-report", shown_path(folder), "--all", "report"])
    if asked:
        return "what do the curves look like?", report
    if not attacks:
        rest = [text for text in typed if not text.startswith("attack")]
        return "what would an attack do?", shlex.join(["recpoison", *rest, "attack=average"])
    if summary.n.max() == 1:
        return "how much of this is chance?", shlex.join(["recpoison", *typed, "repeats=5"])
    return "tables for a paper, figures, a page:", report


def _attack_in_words(attacks: Sequence[str]) -> str:
    return f"attack {' and '.join(attacks)}" if attacks else "no attack"


def _label(metric: str, k: object) -> str:
    return metric if pd.isna(k) else f"{metric}@{k}"


def _spread(mean: float, sd: float) -> Text:
    text = Text(decimal(mean))
    return text.append(f" ± {decimal(sd, mean)}", style="dim") if np.isfinite(sd) else text


def _difference(difference: float, p: float, like: float) -> Text:
    if not np.isfinite(difference):
        return Text("–")
    mark = stars(p) if np.isfinite(p) else ""
    return Text(f"{decimal(difference, like, '+'):>9}{mark}", style="bold" if mark else "")
