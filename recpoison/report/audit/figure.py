"""Security curves: the share of users reached over the number of fake accounts, a figure for each bucket."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from recpoison.report.audit.findings import Audit
from recpoison.report.drawing import RECORDED, STYLE, legend_above, line_style, new_figure, room_for_marks, ticks_at

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAID = (
    "Users who have the target in their list under AutoShill, which is on each target the attack that is the strongest "
    "on the other seeds; bars: 95% interval over seeds; dotted, in a shaded band: retraining alone with other seeds "
    "(placebo)"
)
_SIZE = (3.75, 2.7)  # inches: a telephone shows it whole


def security_curves(audit: Audit) -> dict[str, Figure]:
    """A figure for each bucket, by a name that suits a file."""
    import matplotlib

    with matplotlib.rc_context({**STYLE, **RECORDED}):
        return {f"security_curve_{bucket}": _curve(audit, bucket) for bucket in audit.buckets}


def _curve(audit: Audit, bucket: str) -> Figure:
    """A line a victim with its 95% interval, and a band in its ink for what retraining alone does."""
    figure, axes = new_figure(*_SIZE)
    axes.set_xscale("log")
    for number, victim in enumerate(sorted(audit.victims)):
        if (victim, bucket) in audit.pairs:
            _line(axes, audit, victim, bucket, number)
    users = max(1, audit.cells.n_users)
    axes.set_xlabel(f"fake accounts ({users:,} real users)")
    axes.set_ylabel(f"users reached (top {audit.cells.k})")
    axes.set_title(f"{bucket} target", fontsize="medium")
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    left, right = min(audit.budgets), max(audit.budgets)
    axes.set_xlim(left / 1.3, right * 1.3)
    ticks_at(axes, audit.budgets)
    room_for_marks(axes)
    legend_above(figure, axes)
    figure.set_label(f"Users reached by AutoShill, {bucket} target")
    return figure


def _line(axes: Axes, audit: Audit, victim: str, bucket: str, number: int) -> None:
    found = [audit.worst_at(victim, bucket, budget) for budget in audit.budgets]
    style, mean = line_style(number), [one.mean for one in found]
    below = [one.mean - one.low if math.isfinite(one.low) else 0.0 for one in found]
    above = [one.high - one.mean if math.isfinite(one.high) else 0.0 for one in found]
    nudge = 1 + 0.05 * (number - 1)  # bars of victims side by side
    places = [budget * nudge for budget in audit.budgets]
    axes.errorbar(places, mean, [below, above], label=victim, capsize=2, markersize=4.5, linewidth=1.3, **style)
    clean, spread = audit.placebo(victim, bucket)
    axes.axhline(clean, color=style["color"], linestyle=":", linewidth=1.2)
    axes.axhspan(max(0.0, clean - spread), clean + spread, color=style["color"], alpha=0.12, linewidth=0)
