"""The five sentences that an audit begins with."""

from __future__ import annotations

import pandas as pd

from recpoison.evaluation.sentences import counted
from recpoison.evaluation.subjects import LOST, RECALL, REMOVED
from recpoison.report.audit.cells import attack_name
from recpoison.report.audit.findings import LEVELS, Audit, listed, percent

_NOISE = "retraining with another seed moves as much"


def five(audit: Audit) -> list[str]:
    """How many accounts, which victims, which attack, who would see it, what helps."""
    bucket = audit.buckets[0]  # the least popular one
    return [_accounts(audit, bucket), _victims(audit, bucket), _attack(audit), _detector(audit), _defense(audit)]


def _accounts(audit: Audit, bucket: str) -> str:
    """Of the victim that needs the fewest."""
    most = audit.cells.largest
    needs = {victim: [audit.needed(victim, bucket, level) for level in LEVELS] for victim in _attacked(audit, bucket)}
    victim = min(needs, key=lambda name: [need or 10 * most for need in needs[name]])
    found = [(need, percent(level)) for need, level in zip(needs[victim], LEVELS, strict=True) if need is not None]
    found = list(dict(found).items())  # of shares that need the same number the largest
    missed = [percent(level) for need, level in zip(needs[victim], LEVELS, strict=True) if need is None]
    if not found:
        return (
            f"Up to {_many(audit, most)} put {_an(bucket)} item into the top {audit.cells.k} of fewer than {missed[0]} "
            "of users, whatever the victim and the attack."
        )
    (first, level), *more = found
    told = f"{_many(audit, first)} {'is' if first == 1 else 'are'} enough to put {_an(bucket)} item into the top "
    told += f"{audit.cells.k} of {level} of the users of {victim}"
    told += "".join(f", {_share(audit, need)} for {share}" for need, share in more)
    return f"{told}; {_share(audit, most)} are too few for {listed(missed)}." if missed else f"{told}."


def _attacked(audit: Audit, bucket: str) -> list[str]:
    """The victims on which a target of the bucket was tried."""
    return [victim for victim, own in audit.pairs if own == bucket]


def _many(audit: Audit, count: int) -> str:
    users = audit.cells.n_users
    return f"{counted(count, 'fake account')} ({percent(count / max(1, users))} of {users:,} users)"


def _share(audit: Audit, count: int) -> str:
    return f"{count:,} ({percent(count / max(1, audit.cells.n_users))})"


def _victims(audit: Audit, bucket: str) -> str:
    most = audit.cells.largest
    means = {victim: audit.worst_at(victim, bucket, most).mean for victim in _attacked(audit, bucket)}
    order = sorted(means, key=lambda victim: -means[victim])
    reached = [f"{percent(means[one])} of {one}{_noise(audit, one, bucket, means[one])}" for one in order]
    reached[0] = reached[0].replace(" of ", " of the users of ", 1)
    fragile = f"The most fragile victim is {order[0]}" if len(order) > 1 else f"The victim is {order[0]}"
    return (
        f"{fragile}: {counted(most, 'fake account')} bring {_an(bucket)} item into the top {audit.cells.k} of "
        f"{listed(reached)}."
    )


def _noise(audit: Audit, victim: str, bucket: str, mean: float) -> str:
    return f" (noise: {_NOISE})" if audit.is_noise(victim, bucket, mean) else ""


def _attack(audit: Audit) -> str:
    """The attack that won most often, and how far the next one comes on the same targets."""
    if audit.does_nothing:
        return f"None of the {len(audit.attacks)} attacks ({listed(audit.attacks)}) did anything: {_NOISE}."
    first, won, of = audit.champion
    means = audit.at(audit.cells.frame, budget=audit.cells.largest).groupby("attack", sort=False).value.mean()
    others = means.drop(first)
    beside = f"; the next, {others.idxmax()}, reaches {percent(others.max())}" if len(others) else ""
    return (
        f"The strongest attack is {first}, on {won} of {of} pairs of victim and target: over all of them it reaches "
        f"{percent(means[first])} of users{beside}."
    )


def _detector(audit: Audit) -> str:
    found = detections(audit)
    if found.empty:
        return "No detector was tried: add defense=filter."
    against = found[found.attack == audit.champion[0]]
    best = against.loc[against[RECALL].idxmax()]
    would = "hardly see" if best[RECALL] < 0.1 else "see part of" if best[RECALL] < 0.9 else "see"
    return (
        f"A detector would {would} the accounts of {best.attack}: of {len(against)} tried, {best.defense} suspects the "
        f"most, {percent(best[RECALL])} of them and {percent(best[LOST])} of the real users."
    )


def _defense(audit: Audit) -> str:
    if not audit.defenses:
        return "No defense was tried: add defense=filter."
    after = {name: audit.mean_worst(name) for name in audit.defenses}
    best, before = min(after, key=lambda name: after[name]), audit.mean_worst()
    accuracy = [
        sum(audit.accuracy(victim, name).mean for victim in audit.victims) / len(audit.victims)
        for name in ("none", best)
    ]
    cost = f"HR@{audit.cells.k} of held-out items goes from {accuracy[0]:.3f} to {accuracy[1]:.3f}"
    if audit.does_nothing:
        return f"There is nothing to defend against; with {best} {cost}."
    left = after[best] / before
    verdict = "helps" if left < 0.75 else "helps little" if left < 0.95 else "does not help"
    return (
        f"The best defense here, {best}, {verdict}: the worst case reaches {percent(after[best])} of users instead of "
        f"{percent(before)}, and {cost}."
    )


def detections(audit: Audit) -> pd.DataFrame:
    """Of each attack and defense that takes users out: shares found and lost, means over targets and seeds."""
    frames = [
        run.metrics[(run.metrics.subject == REMOVED) & (run.metrics.attack != "none")].assign(attack=attack_name(run))
        for run in audit.cells.runs
    ]
    numbers = pd.concat(frames)
    if numbers.empty:
        return pd.DataFrame()
    table = numbers.pivot_table(
        index=["attack", "defense"], columns="metric", values="value", aggfunc="mean", sort=False
    )
    return table.reset_index()


def _an(bucket: str) -> str:
    return f"an {bucket}" if bucket[0] in "aeiou" else f"a {bucket}"
