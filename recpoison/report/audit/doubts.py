"""Where a figure of an audit deserves doubt, as AutoAttack flags them for robustness on images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import pandas as pd

from recpoison.evaluation.sentences import counted
from recpoison.report.audit.cells import PLACE, attack_name
from recpoison.report.audit.findings import HELPS, LEVELS, Audit, listed, percent, reach
from recpoison.report.runs import Run

LOOKED_FOR = (
    "Looked for: attacks that learned nothing, or less than one that need not learn; seeds that disagree; defenses "
    "that help the attack; jobs without a result."
)


def doubts(audit: Audit) -> list[str]:
    """A sentence for each figure that deserves doubt; none where all is well."""
    found = (_still, _beaten, _disagreement, _helped, _one_seed, _missing)
    return [sentence for rule in found for sentence in rule(audit)]


def _still(audit: Audit) -> Iterator[str]:
    """Learned attacks whose surrogate never moved, or never saw the target rise."""
    told: dict[str, None] = {}
    for run in audit.cells.runs:
        looks = run.curve[run.curve.along == "iterations"]
        objective, hits = (looks[looks.metric == name].groupby("seed").value for name in ("Objective", "HR"))
        name = f"{attack_name(run)} on {run.config.get('attack.targets.rule')} targets"
        if len(objective) and float((objective.max() - objective.min()).max()) == 0:
            told[f"{name}: its objective is the same in all iterations, as with a gradient of zero."] = None
        elif len(hits) and bool((hits.max() <= hits.first()).all()):
            told[f"{name}: its own surrogate never showed the targets to more users than at the start."] = None
    yield from told


def _beaten(audit: Audit) -> Iterator[str]:
    """Attacks that learn through a model of the victim's own kind, and reach less than one that learns nothing."""
    at_most = audit.at(audit.cells.frame, budget=audit.cells.largest)
    at_most = at_most.assign(kind=[_kind(audit.cells.runs[run]) for run in at_most["run"]])
    for names, group in at_most.groupby(PLACE[:2], sort=False):
        victim, bucket = names
        means = group.groupby(["kind", "attack"], sort=False).value.mean()
        blind, seeing = (means[kind] if kind in means else pd.Series(dtype=float) for kind in ("none", "white-box"))
        learned = seeing if len(seeing) else means[means.index.get_level_values(0) != "none"].droplevel(0)
        if len(blind) and len(learned) and not audit.is_noise(victim, bucket, blind.max()):
            what = "white-box attack" if len(seeing) else "attack that learns"
            if blind.max() > learned.max() + _error(group, blind.idxmax()):
                yield (
                    f"{victim}, {bucket} targets: {blind.idxmax()}, which learns nothing, reaches "
                    f"{percent(blind.max())} of users and the best {what}, {learned.idxmax()}, "
                    f"{percent(learned.max())}: the latter can be made stronger."
                )


def _error(group: pd.DataFrame, attack: str) -> float:
    """One standard error of an attack's mean over seeds."""
    error = float(group[group.attack == attack].groupby("seed").value.mean().sem())
    return error if error == error else 0.0


def _kind(run: Run) -> str:
    """``none`` where an attack has no surrogate, ``white-box`` where it is of the victim's class, else ``transfer``."""
    surrogates = {
        value for key, value in run.config.items() if key.startswith("attack.surrogate") and key.endswith("._target_")
    }
    models = {value for value in surrogates if str(value).startswith("recpoison.models.")}
    if not surrogates:
        return "none"
    return "white-box" if run.config.get("model._target_") in (models or surrogates) else "transfer"


def _disagreement(audit: Audit) -> Iterator[str]:
    """Targets on whose worst attack, or on how far it comes, the seeds do not agree, where it matters."""
    for (victim, bucket, _, budget), group in audit.at(audit.worst).groupby([*PLACE, "budget"], sort=False):
        found, place = reach(group), f"{victim}, {bucket} target, {counted(int(budget), 'fake account')}"
        if audit.is_noise(victim, bucket, found.mean):
            continue
        if budget == audit.cells.largest and group.attack.nunique() > 1:
            yield f"{place}: seeds disagree about the strongest attack ({listed(sorted(group.attack.unique()))})."
        if found.sd > found.mean / 2:
            least, most = (percent(end) for end in (group.value.min(), group.value.max()))
            yield f"{place}: seeds disagree about how far it comes, {least} to {most} of users."


def _helped(audit: Audit) -> Iterator[str]:
    """Defenses under which the worst case reaches more users than without: who loses real users may do that."""
    for (victim, bucket), defense in product(audit.pairs, audit.defenses):
        before, after = (audit.worst_at(victim, bucket, audit.cells.largest, name) for name in ("none", defense))
        spread = sum(found.sd for found in (before, after) if found.n > 1)
        if after.mean - before.mean >= max(LEVELS[0], spread) and before.mean < HELPS * after.mean:
            yield (
                f"{victim}, {bucket} target: with {defense} the worst case reaches {percent(after.mean)} of users "
                f"instead of {percent(before.mean)}: here the defense helps the attack."
            )


def _one_seed(audit: Audit) -> Iterator[str]:
    if audit.cells.frame.seed.nunique() == 1:
        yield (
            "One seed: the strongest attack was chosen on the seed it is reported on, which flatters it, and nothing "
            "tells noise from effect (repeats=3)."
        )


def _missing(audit: Audit) -> Iterator[str]:
    if audit.runs.missing:
        yield f"{len(audit.runs.missing)} jobs have no result: what they would have shown is missing here."
