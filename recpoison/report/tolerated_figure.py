"""The theorems of APT drawn: the poison that is tolerated over the users, the perturbation and the ERM users."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from recpoison.evaluation.tolerated_poison import (
    confidence,
    drawn,
    tolerated,
    tolerated_by_adversarial_training,
    tolerated_by_apt,
)
from recpoison.report.drawing import RECORDED, STYLE, legend_above, line_style, new_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES = {"filmtrust": 796, "ml_100k": 943, "ml_1m": 6040, "yelp": 14_575}  # users in APT's table 1
SPREADS = (0.5, 1.0, 2.0, 3.0, 4.0)
_USERS = (30, 100, 300, 1000, 3000, 10_000, 30_000)
_PERTURBATIONS = (0.0, 0.03, 0.1, 0.2, 0.3, 0.5)
_SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
Bound = Callable[[float, float], float]


def draw_tolerated(d: int = 64, beta: float = 0.05, spreads: Sequence[float] = SPREADS, seed: int = 0) -> Figure:
    """Tolerated poisoning users as a share of all, a line for each spread of the embeddings.

    From left to right: theorem 4.3 over the number of users, with the papers' datasets as marks; theorem 4.4 over
    epsilon and theorem 4.5 over the share of ERM users, both with as many users as ml_100k. ``alpha``, ``gamma`` and
    ``tau`` are those of users drawn from the model. A spread at which a bound promises nothing has no line there and is
    named in the figure.

    Args:
        d: Numbers of an embedding; 64 in APT.
        beta: Share of users judged wrongly that is put up with.
        spreads: Values of sigma; the mean's numbers are 1.
        seed: Of the drawn users.
    """
    import matplotlib

    n = SIZES["ml_100k"]
    named = {size: name for name, size in SIZES.items()}
    users: dict[float, str] = {size: named.get(size, "") for size in sorted({*_USERS, *named})}
    of_n = {(size, s): drawn(int(size), d, s, np.random.default_rng(seed)) for size in users for s in spreads}

    def plain(size: float, s: float) -> float:
        found = of_n[int(size), s]
        return tolerated(n=size, d=d, sigma=s, beta=beta, alpha=found["alpha"], gamma=found["gamma"]) / size

    def trained(epsilon: float, s: float) -> float:
        return tolerated_by_adversarial_training(n=n, d=d, sigma=s, beta=beta, epsilon=epsilon, **of_n[n, s]) / n

    def with_erm(share: float, s: float) -> float:
        return tolerated_by_apt(n=n, d=d, sigma=s, beta=beta, n_star=share * n, **of_n[n, s]) / n

    with matplotlib.rc_context({**STYLE, **RECORDED}):
        figure, (panels,) = new_panels(1, 3, width=3.4, height=3.0)
        _lines(panels[0], users, plain, d, spreads, f"no defense (theorem 4.3), d = {d}, beta = {beta:g}", "users n")
        _lines(
            panels[1],
            {one: f"{one:g}" for one in _PERTURBATIONS},
            trained,
            d,
            spreads,
            f"AT (theorem 4.4), n = {n}",
            "perturbation epsilon",
        )
        _lines(
            panels[2],
            {one: f"{one:g}" for one in _SHARES},
            with_erm,
            d,
            spreads,
            f"APT (theorem 4.5), n = {n}",
            "ERM users n* / n",
        )
        panels[0].set_xscale("log")
        for name, size in SIZES.items():
            left = name == "filmtrust"  # ml_100k stands close to its right
            panels[0].axvline(size, color="#bbbbbb", linewidth=0.8, zorder=0)
            panels[0].annotate(
                name,
                (size, 1),
                (-2 if left else 2, 0),
                ("data", "axes fraction"),
                "offset points",
                rotation=90,
                fontsize=6.5,
                color="#555555",
                ha="right" if left else "left",
                va="top",
            )
        panels[0].set_ylabel("tolerated poisoning users n' / n")
        panels[0].set_ylim(bottom=0, top=1.25 * panels[0].get_ylim()[1])
        figure.set_label(
            f"Poisoning users that a Gaussian recommender tolerates with at most {beta:.0%} of users judged wrongly, "
            f"by APT's theorems, d = {d}; alpha, gamma and tau of drawn users; P: the bound's own probability"
        )
        legend_above(figure, *panels)
    return figure


def _lines(
    axes: Axes, places: Mapping[float, str], bound: Bound, d: int, spreads: Sequence[float], title: str, x: str
) -> None:
    """A line a spread where the bound is above 0 and holds with a probability above 0; where not is said.

    Args:
        axes: Where to.
        places: From left to right, with what to call one where nothing is promised; an empty name is not told of.
        bound: The tolerated share at a place and a spread.
        d: Numbers of an embedding.
        spreads: Values of sigma.
        title: Of the panel.
        x: Of the horizontal axis.
    """
    vacuous = []
    for number, s in enumerate(spreads):
        sure = confidence(d, s)
        values = [bound(place, s) if sure > 0 else -math.inf for place in places]
        shown = [value if value > 0 else math.nan for value in values]
        if max(values) > 0:
            axes.plot(list(places), shown, label=f"sigma {s:g} (P ≥ {sure:.2f})", markersize=4, **line_style(number))
        lacking = [name for name, value in zip(places.values(), values, strict=True) if name and value <= 0]
        if lacking:
            where = "everywhere" if max(values) <= 0 else f"at {', '.join(lacking)}"
            vacuous.append(f"sigma {s:g} {where}")
    if vacuous:
        said = "\n".join(["vacuous, no poison is promised for:", *vacuous])
        axes.text(0.98, 0.33, said, transform=axes.transAxes, ha="right", fontsize=6.5, backgroundcolor="white")
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel(x)
