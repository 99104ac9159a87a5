"""The tables of an audit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recpoison.evaluation.subjects import FAKE_WEIGHT, LOST, PRECISION, RANKED, REAL_WEIGHT, RECALL
from recpoison.report.audit.autoshill import NAME
from recpoison.report.audit.findings import LEVELS, Audit, Reach, percent, reach
from recpoison.report.audit.glossary import glossary, said_by
from recpoison.report.audit.sentences import detections
from recpoison.report.audit.stability import stability
from recpoison.report.tables import Entry, Table

_OF_DETECTORS = {
    RECALL: ("taken out, %", "of fakes"),
    PRECISION: ("taken out, %", "fake among them"),
    LOST: ("taken out, %", "of real users"),
    FAKE_WEIGHT: ("weight left, %", "of fakes"),
    REAL_WEIGHT: ("weight left, %", "of real users"),
    RANKED: ("told apart", "AUROC"),
}
_SEEDS = "in %: mean ± standard deviation over n seeds"
_NOISE = "°"
_MEANS_NOISE = (
    f"{_NOISE} noise: no further above the share without an attack than retraining with other seeds moves it, or than "
    "one user weighs"
)


def reach_table(audit: Audit) -> Table:
    """Victims by attacks, with the most fake accounts; the strongest single attack of each row in bold."""
    most, rows, entries = audit.cells.largest, [], []
    for victim, bucket in audit.pairs:
        own = audit.at(audit.cells.frame, victim=victim, bucket=bucket, budget=most)
        line = [_against_noise(audit, victim, bucket, reach(own[own.attack == attack])) for attack in audit.attacks]
        best = max((entry.mean for entry in line if entry), default=0.0)
        line = [replace(entry, best=entry.mean == best and not entry.remark) if entry else None for entry in line]
        clean = _entry(reach(own.drop_duplicates(["draw", "seed"]), "clean"))
        rows.append((bucket, victim))
        worst = _against_noise(audit, victim, bucket, audit.worst_at(victim, bucket, most))
        entries.append((*line, worst, clean))
    columns = [*(("attack", attack) for attack in audit.attacks), ("worst case", NAME), ("no attack", "clean")]
    notes = (
        f"{_SEEDS}; bold: the strongest attack of each row",
        f"{NAME}: on each target the attack that is best on the other seeds, so that luck is not taken for strength",
        _MEANS_NOISE,
        *glossary(audit),
    )
    title = f"Users with the target in their top {audit.cells.k} in %, {most:,} fake accounts"
    return _table(title, ("bucket", "victim"), rows, columns, entries, notes)


def curve_table(audit: Audit) -> Table:
    """The numbers of the security curves."""
    rows, entries = [], []
    for victim, bucket in audit.pairs:
        clean, spread = audit.placebo(victim, bucket)
        n = audit.worst_at(victim, bucket, audit.cells.largest).n
        rows.append((bucket, victim))
        found = [audit.worst_at(victim, bucket, budget) for budget in audit.budgets]
        reached = [_against_noise(audit, victim, bucket, one) for one in found]
        entries.append((*reached, *(Entry(share, n=n, percent=True) for share in (clean, spread))))
    users = max(1, audit.cells.n_users)
    columns = [("fake accounts", f"{budget:,} ({percent(budget / users)})") for budget in audit.budgets]
    columns += [("retraining alone", "mean"), ("retraining alone", "range")]
    alone = "retraining alone: the clean victim with each seed, and the range of these numbers"
    notes = (f"{_SEEDS}; {alone}", _MEANS_NOISE)
    title = f"Users with the target in their top {audit.cells.k} in %, by number of fake accounts (share of real users)"
    return _table(title, ("bucket", "victim"), rows, columns, entries, notes)


def needed(audit: Audit) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Heads and rows of text: between which measured numbers of fake accounts each share of users is reached."""
    heads = ("bucket", "victim", *(f"{percent(level)} of users" for level in LEVELS))
    rows = []
    for victim, bucket in audit.pairs:
        found = [audit.needed(victim, bucket, level) for level in LEVELS]
        rows.append((bucket, victim, *(_between(audit.budgets, need) for need in found)))
    return heads, rows


def _between(budgets: Sequence[int], need: int | None) -> str:
    """``2 to 10`` where 1 and 10 were tried, and 1 was too few."""
    if need is None:
        return f"more than {max(budgets):,}"
    least = 1 + max((budget for budget in budgets if budget < need), default=0)
    return f"{least:,} to {need:,}" if least < need else f"{need:,}"


def detection_table(audit: Audit) -> Table | None:
    """Whom each detector took out of training, or how much it let users weigh; None where none was tried."""
    found = detections(audit)
    if found.empty:
        return None
    shown = [name for name in _OF_DETECTORS if name in found.columns and found[name].notna().any()]
    n = audit.cells.frame.seed.nunique()
    rows = [(row.attack, row.defense) for row in found.itertuples()]
    entries = [
        tuple(
            None if math.isnan(x) else Entry(float(x), n=n, percent=name != RANKED)
            for name, x in zip(shown, line, strict=True)
        )
        for line in found[shown].to_numpy(float)
    ]
    columns = [_OF_DETECTORS[name] for name in shown]
    weights = "; weight: what is left of a user's share in the loss, where nobody is taken out"
    notes = (
        "means over targets, victims and seeds; AUROC: how often a fake user looks more suspicious than a real one, "
        f"0.5 being chance; below it fake users look more usual than real ones{weights * (FAKE_WEIGHT in shown)}",
        *(f"{name}: {said}" for name in audit.defenses if (said := said_by("defense", name))),
        *_said_of_defenses(audit),
    )
    title = f"What a detector sees of {audit.cells.largest:,} fake accounts"
    return _table(title, ("attack", "defense"), rows, columns, entries, notes)


def _said_of_defenses(audit: Audit) -> list[str]:
    """What the runs noted about the settings of their defenses, such as who told a detector whom to look for."""
    told = [
        f"{defense}: {note}"
        for run in audit.cells.runs
        for defense in run.metrics.defense.unique()
        if defense != "none"
        for note in run.about.get("notes") or ()
        if str(note).startswith("defense.")
    ]
    return list(dict.fromkeys(told))


def defense_table(audit: Audit) -> Table | None:
    """What each defense leaves of the worst case, and what it costs in accuracy; None where none was tried."""
    most, k, rows, entries = audit.cells.largest, audit.cells.k, [], []
    for victim, bucket in audit.pairs:
        for defense in audit.defenses:
            if (victim, bucket) not in audit.tried(defense):
                continue
            plain, after = (audit.worst_at(victim, bucket, most, name) for name in ("none", defense))
            quality = [_entry(audit.accuracy(victim, name)) for name in ("none", defense)]
            rows.append((bucket, victim, defense))
            entries.append((_against_noise(audit, victim, bucket, plain), _entry(after), *quality))
    if not rows:
        return None
    columns = [(f"users reached by {NAME} in %", "undefended"), (f"users reached by {NAME} in %", "defended")]
    columns += [(f"HR@{k} of held-out items in %", "undefended"), (f"HR@{k} of held-out items in %", "defended")]
    notes = (f"{_SEEDS}; the worst case is chosen anew under each defense; accuracy is of clean data", _MEANS_NOISE)
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
    return Entry(found.mean, found.sd, found.n, low=found.low, high=found.high, percent=True) if found.n else None


def _against_noise(audit: Audit, victim: str, bucket: str, found: Reach) -> Entry | None:
    """With a sign where what was reached is noise."""
    entry = _entry(found)
    return replace(entry, remark=_NOISE) if entry and audit.is_noise(victim, bucket, found.mean) else entry


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
