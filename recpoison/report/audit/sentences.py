"""The five sentences that an audit begins with."""

from __future__ import annotations

import math

import pandas as pd

from recpoison.evaluation.sentences import counted
from recpoison.evaluation.subjects import FAKE_WEIGHT, LOST, OF_DEFENSE, REAL_WEIGHT, RECALL
from recpoison.report.audit.cells import attack_name
from recpoison.report.audit.findings import HELPS, LEVELS, Audit, listed, percent

_NOISE = "another seed, or one user, moves as much"


def five(audit: Audit) -> list[str]:
    """How many accounts, which victims, which attack, who would see it, what helps."""
    bucket = audit.buckets[0]  # the least popular one
    return [_accounts(audit, bucket), _victims(audit, bucket), _attack(audit), _detector(audit), _defense(audit)]


def _accounts(audit: Audit, bucket: str) -> str:
    """How many bring the target to how many users, on the victim that needs the fewest."""
    most = audit.cells.largest
    needs = {victim: [audit.needed(victim, bucket, level) for level in LEVELS] for victim in _attacked(audit, bucket)}
    victim = min(needs, key=lambda name: _ease(audit, name, bucket, needs[name]))
    found = [(need, percent(level)) for need, level in zip(needs[victim], LEVELS, strict=True) if need]
    found = list(dict(found).items())  # of shares that need the same number the largest
    missed = [percent(level) for need, level in zip(needs[victim], LEVELS, strict=True) if need is None]
    if not found:
        return _untouched(audit, bucket, needs)
    (first, level), *more = found
    told = f"{_many(audit, first)} {'is' if first == 1 else 'are'} enough to put {_an(bucket)} item into the top "
    told += f"{audit.cells.k} of {level} of the users of {victim}"
    told += "".join(f", {_share(audit, need)} for {share}" for need, share in more)
    return f"{told}; {_share(audit, most)} are too few for {listed(missed)}." if missed else f"{told}."


def _untouched(audit: Audit, bucket: str, needs: dict[str, list[int | None]]) -> str:
    """Where no number of accounts reaches a share of users that is not reached without them."""
    for level, counts in zip(LEVELS, zip(*needs.values(), strict=True), strict=True):
        if not any(count == 0 for count in counts):
            return (
                f"Up to {_many(audit, audit.cells.largest)} do not put {_an(bucket)} item into the top "
                f"{audit.cells.k} of {percent(level)} of users, whatever the victim and the attack."
            )
    victim = next(name for name, counts in needs.items() if counts[-1] == 0)
    where = f"the top {audit.cells.k} of {percent(LEVELS[-1])} of the users of {victim}"
    return f"No fake account is needed to put {_an(bucket)} item into {where}: it is there without an attack."


def _ease(audit: Audit, victim: str, bucket: str, needs: list[int | None]) -> tuple[list[float], float]:
    """Smallest for the victim whose largest share of users takes the fewest accounts; of equals the most is reached."""
    counts = [need or math.inf for need in reversed(needs)]  # 0: so many have it without an attack
    least = int(min(counts)) if min(counts) < math.inf else audit.cells.largest
    return counts, -audit.worst_at(victim, bucket, least).mean


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
    noise = [one for one in order if audit.is_noise(one, bucket, means[one])]
    reached = [f"{percent(means[one])} of {one}{' (noise)' if one in noise else ''}" for one in order]
    reached[0] = reached[0].replace(" of ", " of the users of ", 1)
    fragile = f"The most fragile victim is {order[0]}" if len(order) > 1 else f"The victim is {order[0]}"
    return (
        f"{fragile}: {counted(most, 'fake account')} bring {_an(bucket)} item into the top {audit.cells.k} of "
        f"{listed(reached)}{f'; noise: {_NOISE}' if noise else ''}."
    )


def _attack(audit: Audit) -> str:
    """The attack that comes furthest on average, how far the next one comes, and on how many targets it is best."""
    if not audit.fallen:
        return f"No attack did anything ({listed(audit.attacks)}): {_NOISE}."
    first, *others = audit.means.index
    reached = [f"{percent(audit.means[first])} of users with {first}"]
    reached += [f"{percent(audit.means[others[0]])} with the next, {others[0]}"] if others else []
    won = sum(audit.winner(*pair) == first for pair in audit.fallen)
    return (
        f"The strongest attack is {first}: the mean over all victims and targets is {' and '.join(reached)}; of the "
        f"{counted(len(audit.fallen), 'pair')} of victim and target that any attack moves beyond noise it is best on "
        f"{won}."
    )


def _detector(audit: Audit) -> str:
    found = detections(audit)
    if found.empty:
        return "No detector was tried: add defense=filter."
    against = found[found.attack == audit.means.index[0]]
    removing = against[against[RECALL].notna()]
    if removing.empty:
        best = against.loc[against[FAKE_WEIGHT].idxmin()]
        return f"A detector would {_would(1 - best[FAKE_WEIGHT])} the accounts of {best.attack}: {_weight(best)}."
    best = removing.loc[removing[RECALL].idxmax()]
    if not best[RECALL]:
        return (
            f"A detector would not see the accounts of {best.attack}: of {len(removing)} tried none finds one, and "
            f"each takes real users for fake ones, at least {percent(removing[LOST].min())} of them."
        )
    weighing = against[against[FAKE_WEIGHT].notna()]
    beside = "" if weighing.empty else f"; {_weight(weighing.loc[weighing[FAKE_WEIGHT].idxmin()])}"
    return (
        f"A detector would {_would(best[RECALL])} the accounts of {best.attack}: of {len(removing)} tried, "
        f"{best.defense} finds the most, {percent(best[RECALL])} of them, and takes {percent(best[LOST])} of the real "
        f"users for fake ones{beside}."
    )


def _weight(row: pd.Series) -> str:
    """What a defense makes of fake users that removes nobody."""
    return (
        f"{row.defense}, which removes nobody, leaves them {percent(row[FAKE_WEIGHT])} of a user's weight, and real "
        f"users {percent(row[REAL_WEIGHT])}"
    )


def _would(seen: float) -> str:
    return "hardly see" if seen < 0.1 else "see part of" if seen < 0.9 else "see"


def _defense(audit: Audit) -> str:
    if not audit.defenses:
        return "No defense was tried: add defense=filter."
    best = min(audit.defenses, key=lambda name: _left(audit, name))
    pairs = audit.tried(best)
    victims = list(dict.fromkeys(victim for victim, _ in pairs))
    accuracy = [sum(audit.accuracy(victim, name).mean for victim in victims) / len(victims) for name in ("none", best)]
    plain, defended = (f"{100 * share:.1f}%" for share in accuracy)
    cost = f"accuracy (HR@{audit.cells.k} of held-out items) goes from {plain} to {defended}"
    if not audit.fallen:
        return f"There is nothing to defend against; with {best} {cost}."
    left, after = _left(audit, best)
    verdict = "helps" if left < HELPS else "helps little" if left < 0.95 else "does not help"
    where = "victims and targets" if pairs == audit.pairs else f"the targets of {listed(victims)}, where it was tried,"
    return (
        f"The best defense here, {best}, {verdict}: on average over {where} the strongest attack reaches "
        f"{percent(after)} of users instead of {percent(audit.mean_worst('none', pairs))}, and {cost}."
    )


def _left(audit: Audit, defense: str) -> tuple[float, float]:
    """What a defense leaves of the worst case where it was tried: as a share of that without it, and of all users."""
    pairs = audit.tried(defense)
    before, after = (audit.mean_worst(name, pairs) for name in ("none", defense))
    return (after / before if before else 1.0), after


def detections(audit: Audit) -> pd.DataFrame:
    """What each defense that removes or weighs users made of each attack: means over targets, victims and seeds.

    Its columns are the metrics of both kinds; those of the other kind are nan.
    """
    frames = [
        run.metrics[run.metrics.subject.isin(OF_DEFENSE) & (run.metrics.attack != "none")].assign(
            attack=attack_name(run)
        )
        for run in audit.cells.runs
    ]
    numbers = pd.concat(frames)
    if numbers.empty:
        return pd.DataFrame()
    table = numbers.pivot_table(
        index=["attack", "defense"], columns="metric", values="value", aggfunc="mean", sort=False
    )
    return table.reindex(columns=[*table.columns.union([RECALL, LOST, FAKE_WEIGHT, REAL_WEIGHT])]).reset_index()


def _an(bucket: str) -> str:
    return f"an {bucket}" if bucket[0] in "aeiou" else f"a {bucket}"
