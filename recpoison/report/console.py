"""The end of a run on the console: what happened, in numbers, in a sentence, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.box import HORIZONTALS
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recpoison.evaluation.significance import holm, stars
from recpoison.evaluation.subjects import compared_with
from recpoison.report.retyping import kept_flags
from recpoison.report.runs import read_overrides, shown_path
from recpoison.report.tables import STARS

if TYPE_CHECKING:
    from recpoison.records import RunRecord

_HEADLINES = {
    "target": (("HR", 50), ("HR", 10), ("NDCG", 50), ("MeanRank", None)),
    "test": (("HR", 10), ("NDCG", 10), ("AUC", None)),
    "path": (("HR", 10), ("NDCG", 10), ("AUC", None)),
    "fake": (("OutlierAUROC", None), ("PCAClusterAUROC", None), ("PopularityKS", None)),
}
_HEADINGS = {
    "target": "promoted items (targets)",
    "test": "held-out items (quality)",
    "path": "held-out items, mean over steps",
    "fake": "fake users (AUROC 0.5 is chance)",
    "link": "edges",
    "node": "nodes",
}


def show(record: RunRecord, folder: Path, console: Console) -> None:
    """Print the two-by-two of a run: clean, attacked and difference, once without and once with the defense if one ran.

    Stars are the paired t-test's over seeds, Holm-corrected over all that is printed. One seed gets none: over users
    the test would ask whether two fits differ, and two fits always do.

    Args:
        record: What the run found.
        folder: Where its files are.
        console: Where to print.
    """
    summary = _corrected(_headlines(record.summary()))
    first = summary.iloc[0]
    attacks = [name for name in summary.attack.unique() if name != "none"]
    seeds = f"{first.n} seeds" if first.n > 1 else "1 seed"
    console.print()
    console.print(Text.assemble((f"{first.dataset}, {first.model}", "bold"), f": {_attack_in_words(attacks)}, {seeds}"))
    defenses = list(summary.defense.unique())
    for defense in defenses:
        table = _two_columns(summary[summary.defense == defense], attacks)
        if len(defenses) > 1:
            table.title = "without defense" if defense == "none" else f"with defense {defense}"
        console.print(Padding(table, (1, 0, 0, 1)))
    console.print()
    for sentence in _story(summary, attacks):
        console.print(Padding(Text(sentence), (0, 0, 1, 1)))
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _footer(record, summary, folder):
        facts.add_row(Text(name, style="dim"), Text(text, style="dim"))
    console.print(Padding(facts, (0, 0, 0, 1)))
    question, command = _next_command(summary, folder, attacks, asked=bool(_curves(record) - {"iterations"}))
    console.print(Text.assemble((" next", "bold"), f"      {question}"))
    console.print(Text(f"   {command}", style="bold"), soft_wrap=True)


def _headlines(summary: pd.DataFrame) -> pd.DataFrame:
    """The few metrics a reader looks at first, the targets' before the others; the files hold the rest."""
    chosen = []
    for subject in [s for s in _HEADINGS if s in set(summary.subject)]:
        own = summary[summary.subject == subject]
        names = [(m, None if pd.isna(k) else int(k)) for m, k in zip(own.metric, own.k, strict=True)]
        wanted = [name for name in _HEADLINES.get(subject, ()) if name in names] or list(dict.fromkeys(names))[:3]
        chosen += [own[[name == want for name in names]] for want in wanted]
    return pd.concat(chosen, ignore_index=True)


def _corrected(summary: pd.DataFrame) -> pd.DataFrame:
    p = np.where(summary.paired_over == "users", np.nan, summary.p.to_numpy(float))
    tested = np.isfinite(p)
    p[tested] = holm(p[tested]) if tested.any() else p[tested]
    return summary.assign(p=p)


def _two_columns(summary: pd.DataFrame, attacks: Sequence[str]) -> Table:
    table = Table(
        box=HORIZONTALS, show_edge=False, pad_edge=False, header_style="bold", title_justify="left", title_style="bold"
    )
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


def _story(summary: pd.DataFrame, attacks: Sequence[str]) -> list[str]:
    """What the attack did to the first metric of each subject, in words."""
    sentences = []
    for defense in summary.defense.unique() if attacks else ():
        part = summary[summary.defense == defense]
        attacked = part[part.attack != "none"].drop_duplicates("subject")
        told = [text for _, row in attacked.iterrows() if (text := _told(part, row))]
        start = "" if defense == "none" else f"With defense {defense}: "
        if told:
            sentence = start + "; ".join(told) + "."
            sentences.append(sentence[0].upper() + sentence[1:])
    return sentences


def _told(part: pd.DataFrame, after: pd.Series) -> str:
    before = _same(part[part.attack == "none"], after.metric, after.k, after.subject)
    if before is None or not np.isfinite(after.difference):
        return ""
    whose = {"target": "the targets' ", "test": "held-out "}.get(after.subject, f"{after.subject} ")
    verb = "rose" if after.difference > 0 else "fell" if after.difference < 0 else "stayed"
    change = f"from {_number(before['mean'])} to {_number(after['mean'])}"
    tested = f" ({_p(after.p)} over {after.n} seeds)" if np.isfinite(after.p) else ""
    chance = ", which chance can explain" if np.isfinite(after.p) and after.p >= 0.05 and verb != "stayed" else ""
    change = f"at {_number(after['mean'])}" if verb == "stayed" else change
    return f"{whose}{_label(after.metric, after.k)} {verb} {change}{chance}{tested}"


def _footer(record: RunRecord, summary: pd.DataFrame, folder: Path) -> list[tuple[str, str]]:
    spread = "mean ± standard deviation over seeds; " if summary.n.max() > 1 else ""
    tested = f"{STARS}; Holm-corrected" if np.isfinite(summary.p).any() else ""
    curves = ", curves in curve.csv" if _curves(record) else ""
    facts = [
        *(("note", note) for note in record.about.get("notes", [])),
        ("attack", record.about.get("attack_size", "")),
        ("protocol", "; ".join(f"{name}: {fact}" for name, fact in record.protocol.items())),
        ("numbers", (spread + tested).removesuffix("; ")),
        ("files", f"{shown_path(folder)}: all metrics in table.md, every rank in ranks.npz{curves}"),
    ]
    return [fact for fact in facts if fact[1]]


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
    text = Text(_number(mean))
    return text.append(f" ± {_number(sd, mean)}", style="dim") if np.isfinite(sd) else text


def _difference(difference: float, p: float, like: float) -> Text:
    if not np.isfinite(difference):
        return Text("–")
    mark = stars(p) if np.isfinite(p) else ""
    return Text(f"{_number(difference, like, '+'):>9}{mark}", style="bold" if mark else "")


def _number(value: float, like: float | None = None, sign: str = "") -> str:
    size = abs(value if like is None else like)
    return f"{value:{sign}.{4 if size < 10 else 2 if size < 100 else 1}f}"


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.001 else "p < 0.001"
