"""The tables of an audit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recpoison.evaluation.subjects import LOST, PRECISION, RANKED, RECALL
from recpoison.report.audit.autoshill import NAME
from recpoison.report.audit.findings import LEVELS, Audit, Reach, percent, reach
from recpoison.report.audit.sentences import detections
from recpoison.report.audit.stability import stability
from recpoison.report.tables import Entry, Table

_SEEDS = "mean ± standard deviation over n seeds"


def reach_table(audit: Audit) -> Table:
    """Victims by attacks, with the most fake accounts; the strongest single attack of each row in bold."""
    most, rows, entries = audit.cells.largest, [], []
    for victim, bucket in audit.pairs:
        own = audit.at(audit.cells.frame, victim=victim, bucket=bucket, budget=most)
        line = [_entry(reach(own[own.attack == attack])) for attack in audit.attacks]
        best = max((entry.mean for entry in line if entry), default=0.0)
        line = [replace(entry, best=entry.mean == best > 0) if entry else None for entry in line]
        clean = _entry(reach(own.drop_duplicates(["draw", "seed"]), "clean"))
        rows.append((bucket, victim))
        entries.append((*line, _entry(audit.worst_at(victim, bucket, most)), clean))
    columns = [*(("attack", attack) for attack in audit.attacks), ("worst case", NAME), ("no attack", "clean")]
    notes = (
        f"{_SEEDS}; bold: the strongest attack of each row",
        f"{NAME}: on each target the attack that is best on the other seeds, so that luck is not taken for strength",
    )
    title = f"Share of users with the target in their top {audit.cells.k}, {most:,} fake accounts"
    return _table(title, ("bucket", "victim"), rows, columns, entries, notes)


def curve_table(audit: Audit) -> Table:
    """The numbers of the security curves."""
    rows, entries = [], []
    for victim, bucket in audit.pairs:
        clean, spread = audit.placebo(victim, bucket)
        n = audit.worst_at(victim, bucket, audit.cells.largest).n
        rows.append((bucket, victim))
        reached = [_entry(audit.worst_at(victim, bucket, budget)) for budget in audit.budgets]
        entries.append((*reached, Entry(clean, n=n), Entry(spread, n=n)))
    users = max(1, audit.cells.n_users)
    columns = [("fake accounts", f"{budget:,} ({percent(budget / users)})") for budget in audit.budgets]
    columns += [("retraining alone", "mean"), ("retraining alone", "range")]
    notes = (f"{_SEEDS}; retraining alone: the clean victim with each seed, and the range of these numbers",)
    title = f"Share of users reached by {NAME} over the number of fake accounts (share of real users)"
    return _table(title, ("bucket", "victim"), rows, columns, entries, notes)


def needed(audit: Audit) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and rows of text: the least measured number of fake accounts that reaches each share of users."""
    heads = ("bucket", "victim", *(f"{percent(level)} of users" for level in LEVELS))
    rows = []
    for victim, bucket in audit.pairs:
        found = [audit.needed(victim, bucket, level) for level in LEVELS]
        words = [f"more than {audit.cells.largest:,}" if need is None else f"{need:,} or fewer" for need in found]
        rows.append((bucket, victim, *words))
    return heads, rows


def detection_table(audit: Audit) -> Table | None:
    """Whom each detector took out of training; None where none was tried."""
    found = detections(audit)
    if found.empty:
        return None
    names = {RECALL: "fakes found", RANKED: "AUROC", PRECISION: "fakes among suspects", LOST: "real users lost"}
    shown = [name for name in names if name in found.columns]
    n = audit.cells.frame.seed.nunique()
    rows = [(row.attack, row.defense) for row in found.itertuples()]
    entries = [tuple(Entry(float(x), n=n) for x in line) for line in found[shown].to_numpy(float)]
    columns = [("detector", names[name]) for name in shown]
    notes = ("means over targets, victims and seeds; AUROC below 0.5: fake users look more usual than real ones",)
    title = f"What a detector sees of {audit.cells.largest:,} fake accounts"
    return _table(title, ("attack", "defense"), rows, columns, entries, notes)


def defense_table(audit: Audit) -> Table | None:
    """What each defense leaves of the worst case, and what it costs in accuracy; None where none was tried."""
    most, k, rows, entries = audit.cells.largest, audit.cells.k, [], []
    for victim, bucket in audit.pairs:
        for defense in audit.defenses:
            reached = [audit.worst_at(victim, bucket, most, name) for name in ("none", defense)]
            quality = [audit.accuracy(victim, name) for name in ("none", defense)]
            rows.append((bucket, victim, defense))
            entries.append(tuple(_entry(number) for number in (*reached, *quality)))
    if not rows:
        return None
    columns = [(f"reached by {NAME}", "undefended"), (f"reached by {NAME}", "defended")]
    columns += [(f"HR@{k} of held-out items", "undefended"), (f"HR@{k} of held-out items", "defended")]
    notes = (f"{_SEEDS}; the worst case is chosen anew under each defense; accuracy is of clean data",)
    return _table(f"Defenses, {most:,} fake accounts", ("bucket", "victim", "defense"), rows, columns, entries, notes)


def stability_table(audit: Audit) -> Table:
    """How much of everybody's lists moves."""
    k, rows, entries = audit.cells.k, [], []
    for victim, bucket in audit.pairs:
        attacked, clean = stability(audit, victim, bucket)
        rows.append((bucket, victim))
        entries.append(tuple(_over(x) for x in (attacked.overlap, clean.overlap, attacked.shared, clean.shared)))
    names = ("under attack", "other seed")
    columns = [(group, name) for group in (f"RBO@{k}", f"Jaccard@{k}") for name in names]
    notes = (
        "1: the same lists; under attack: the clean list and that under the strongest attack, of the same seed; other "
        "seed: two clean lists of different seeds, whose held-out rows may differ too",
        f"RBO: rank-biased overlap with p = 0.9, divided by its largest value for {k} places; means over users, then "
        "± standard deviation over seeds (over pairs of seeds)",
    )
    title = f"Stability of all users' top {k}, {audit.cells.largest:,} fake accounts"
    return _table(title, ("bucket", "victim"), rows, columns, entries, notes)


def _entry(found: Reach) -> Entry | None:
    return Entry(found.mean, found.sd, found.n, low=found.low, high=found.high) if found.n else None


def _over(values: Sequence[float]) -> Entry | None:
    if not values:
        return None
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return Entry(float(np.mean(values)), sd, len(values))


def _table(
    title: str,
    keys: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    columns: Sequence[tuple[str, str]],
    entries: Sequence[tuple[Entry | None, ...]],
    notes: tuple[str, ...],
) -> Table:
    return Table(title, keys, tuple(rows), tuple(columns), tuple(entries), notes)
