"""How much of what an attack did to the targets a defense undid (APT, section 5.1.4)."""

from __future__ import annotations

from collections.abc import Sequence

from recpoison.evaluation.base import Measure
from recpoison.evaluation.subjects import IMPROVEMENT, share_undone


def robustness_improvement(
    origin: Sequence[Measure], attacked: Sequence[Measure], defended: Sequence[Measure]
) -> tuple[list[Measure], list[str]]:
    """RI = 1 - (HR_defense - HR_origin) / (HR_attack - HR_origin) of the targets, at each cutoff.

    1: the targets are as visible as without an attack; 0: the defense changed nothing; below 0 it helped the attack,
    and above 1 they are less visible than they were. The origin is the model without attack and defense. Where the
    attack did not raise HR there is nothing to undo, and RI is left out.

    Args:
        origin: Numbers of the cell without attack and defense.
        attacked: Of the attack on no defense.
        defended: Of the attack on the defense.

    Returns:
        The measures, and a sentence for each that was left out.
    """
    found, left_out = [], []
    before, undefended = (_target_rates(one) for one in (origin, attacked))
    for k, rate in _target_rates(defended).items():
        if k not in before or k not in undefended:
            continue
        if undefended[k].value <= before[k].value:
            left_out.append(
                f"no {IMPROVEMENT}@{k}, because the attack without a defense did not raise the targets' HR@{k}"
            )
        else:
            undone = share_undone(before[k].value, undefended[k].value, rate.value)
            found.append(Measure("target", IMPROVEMENT, k, undone, rate.n))
    return found, left_out


def _target_rates(measures: Sequence[Measure]) -> dict[int | None, Measure]:
    """HR of the targets by cutoff."""
    return {one.k: one for one in measures if (one.subject, one.metric) == ("target", "HR")}
