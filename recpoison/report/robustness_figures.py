"""Figures of defenses: robustness over the size of an attack, over a setting of theirs, and against what they cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from recpoison.evaluation.questions import primary
from recpoison.report.drawing import (
    INKS,
    MARKERS,
    RECORDED,
    STYLE,
    axis_label,
    file_name,
    legend_above,
    line_style,
    moves_alone,
    new_panels,
    plain,
    room_for_marks,
    setting_label,
    ticks_at,
    with_settings,
)
from recpoison.report.measurements import Measurements
from recpoison.report.robustness import (
    ATTACKED,
    DEFENDED,
    ORIGIN,
    SAFE,
    SAFE_TEST,
    Robustness,
    improvement,
    jackknife,
    robustness_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_robustness(measurements: Measurements) -> dict[str, Figure]:
    """What there is to draw of protected cells under attack, by a name that suits a file; nothing without any."""
    import matplotlib

    chosen = {metric.subject: metric for metric in primary(measurements.metrics())}
    target = chosen.get("target")
    if target is None or target.name != "HR" or not (measurements.frame.defense != "none").any():
        return {}
    found = robustness_of(measurements, target, chosen.get("test"))
    drawn: dict[str, Figure] = {}
    with matplotlib.rc_context({**STYLE, **RECORDED}):
        for key in _numeric(found, "attack."):
            drawn[f"robustness_over_{key.replace('.', '_')}"] = over_attack(found, key)
        for key in _numeric(found, "defense."):
            drawn[f"{file_name(target)}_over_{key.replace('.', '_')}"] = over_defense(found, key)
        if found.test is not None and not drawn and found.frame[[SAFE, SAFE_TEST]].notna().all(axis=1).any():
            drawn["robustness_against_cost"] = against_cost(found)
    return drawn


def over_attack(found: Robustness, key: str) -> Figure:
    """Robustness improvement over a numeric setting of the attack: a panel a dataset, a line an attack and defense.

    Figure 2 of APT over ``attack.budget``. Bars: the jackknife's standard error over seeds.
    """
    figure, panels = _panels(found, key)
    for axes, rows, names in panels:
        for number, name in enumerate(dict.fromkeys(names)):
            line = rows[(names == name).to_numpy()]
            groups = [(float(at), group) for at, group in line.groupby(key, sort=True)]
            points = [(at, improvement(group), jackknife(group, improvement)) for at, group in groups]
            at, mean, error = (list(column) for column in zip(*points, strict=True))
            bars = None if all(map(math.isnan, error)) else error
            axes.errorbar(at, mean, yerr=bars, label=name, capsize=2.5, markersize=5, **line_style(number))
        axes.axhline(1, color="#777777", linewidth=0.8, linestyle=":", label="1: as without an attack")
        ticks_at(axes, rows[key].astype(float))
        axes.set_xlabel(setting_label(key))
    panels[0][0].set_ylabel("robustness improvement\n(1 undone, 0 unchanged)")
    figure.set_label(
        f"Robustness improvement over {key}: RI of the means over seeds, of target {found.target.label}; bars: "
        "standard error (jackknife over seeds)"
    )
    legend_above(figure, *(axes for axes, _, _ in panels))
    return figure


def over_defense(found: Robustness, key: str) -> Figure:
    """The targets' number over a numeric setting of the defense, evenly spaced, 0 being no defense; origin as a line.

    Figure 3 of APT over ``defense.erm_users``. Bars: one standard deviation over seeds.
    """
    figure, panels = _panels(found, key)
    for axes, rows, names in panels:
        values = sorted(rows[key].astype(float).unique())
        for number, name in enumerate(dict.fromkeys(names)):
            line = rows[(names == name).to_numpy()]
            first = line.drop_duplicates(["seed", *(one for one in found.keys if one.startswith("attack."))])
            series = [first[ATTACKED], *(line[line[key].astype(float) == value][DEFENDED] for value in values)]
            spread: Any = [one.std() for one in series]
            bars = None if all(map(math.isnan, spread)) else spread
            mean = [one.mean() for one in series]
            axes.errorbar(
                range(len(series)), mean, yerr=bars, label=name, capsize=2.5, markersize=5, **line_style(number)
            )
        axes.axhline(rows[ORIGIN].mean(), color="black", linewidth=1.0, linestyle=":", label="origin (no attack)")
        axes.set_xticks(range(len(values) + 1), ["none", *map(plain, values)])
        axes.set_xlabel(setting_label(key))
        room_for_marks(axes)
    panels[0][0].set_ylabel(axis_label(found.target).replace(" (", "\n("))
    figure.set_label(f"{found.target.title} under attack over {key}, evenly spaced; bars: one standard deviation")
    legend_above(figure, *(axes for axes, _, _ in panels))
    return figure


def against_cost(found: Robustness) -> Figure:
    """Robustness against clean accuracy lost: ink a defense (or a model), mark an attack; hollow: no defense.

    Robustness is 1 minus what the attack adds to the targets' number beside the model without attack and defense; the
    cost is what held-out items lose without any attack.
    """
    assert found.test is not None
    titles, rows = _parts(found, None)
    rows = _with_own_settings(found, rows)
    parts = list(dict.fromkeys(titles))
    figure, grid = _grid(len(parts), width=4.4, height=3.6, same_y=False)
    attacks, protections = (list(dict.fromkeys(rows[name])) for name in ("attack", "protection"))
    marks = {attack: MARKERS[number % 8] for number, attack in enumerate(attacks)}
    inks = {name: INKS[1 + number % 7] for number, name in enumerate(protections)}
    for axes, part in zip(grid, parts, strict=True):
        inside = rows[(titles == part).to_numpy()]
        for attack, group in inside.groupby("attack", sort=False):
            bare = group.drop_duplicates("seed")
            style: dict[str, Any] = {"marker": marks[attack], "s": 30, "linewidths": 1.0}
            axes.scatter(0, 1 - (bare[ATTACKED] - bare[ORIGIN]).mean(), facecolors="none", edgecolors="black", **style)
            for name, cells in group.groupby("protection", sort=False):
                cost, gain = (cells[SAFE_TEST] - cells[SAFE]).mean(), (cells[DEFENDED] - cells[ORIGIN]).mean()
                axes.scatter(cost, 1 - gain, color=inks[name], **style)
        axes.axvline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel(f"loss of held-out {found.test.label} without an attack")
        axes.set_title(part, fontsize="medium")
        axes.set_ylabel(f"robustness: 1 − rise of target {found.target.label}")
    for attack in attacks:
        grid[0].scatter([], [], marker=marks[attack], color="#777777", s=30, label=attack)
    grid[0].scatter([], [], facecolors="none", edgecolors="black", s=30, label="no defense (hollow)")
    for name in protections:
        grid[0].plot([], [], color=inks[name], linewidth=4, label=name)
    figure.set_label("Robustness of each defense against what it costs held-out items; means over seeds")
    legend_above(figure, grid[0])
    return figure


def _with_own_settings(found: Robustness, rows: pd.DataFrame) -> pd.DataFrame:
    """Attacks and protections under names that tell apart those which differ in a setting of theirs alone."""
    of_attack = [key for key in found.keys if key.startswith("attack.") and not key.startswith("attack.targets")]
    of_protection = [key for key in found.keys if key.startswith(("defense.", "model."))]
    attack = with_settings(rows.attack, rows, [key for key in of_attack if _differs(rows, "attack", key)])
    own = [key for key in of_protection if _differs(rows, "protection", key)]
    return rows.assign(attack=attack, protection=with_settings(rows.protection, rows, own))


def _differs(rows: pd.DataFrame, name: str, key: str) -> bool:
    """Whether a setting has several values within one name of a base."""
    return bool(rows.groupby(["dataset", "base", name])[key].nunique(dropna=False).gt(1).any())


def _grid(n: int, **size: Any) -> tuple[Figure, list[Axes]]:
    """``n`` panels, at most three beside each other."""
    columns = min(n, 3)
    figure, rows = new_panels(math.ceil(n / columns), columns, **size)
    panels = [axes for row in rows for axes in row]
    for axes in panels[n:]:
        axes.remove()
    return figure, panels[:n]


def _numeric(found: Robustness, start: str) -> list[str]:
    """Numeric settings that start so and differ where all others are the same."""
    values = {key: found.frame[key].dropna() for key in found.keys if key.startswith(start)}
    cell = ["dataset", "base", "attack", "protection"]
    return [
        key
        for key, column in values.items()
        if moves_alone(found.frame, key, [*cell, *(other for other in found.keys if other != key)])
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in column)
    ]


def _parts(found: Robustness, key: str | None) -> tuple[pd.Series, pd.DataFrame]:
    """What each row's panel is called: its dataset, its base where a dataset has several, and settings that differ.

    Those are settings of the targets or the data.
    """
    rows = found.frame if key is None else found.frame[found.frame[key].notna()]
    own = [one for one in found.keys if one != key and one.startswith(("attack.targets", "dataset."))]
    varying = [one for one in own if rows.groupby("dataset")[one].nunique(dropna=False).gt(1).any()]
    several = rows.groupby("dataset").base.nunique().gt(1).any()
    return with_settings(rows.dataset + ", " + rows.base if several else rows.dataset, rows, varying), rows


def _panels(found: Robustness, key: str) -> tuple[Figure, list[tuple[Axes, pd.DataFrame, pd.Series]]]:
    """A panel a part, with its rows and what their lines are called."""
    titles, rows = _parts(found, key)
    parts = list(dict.fromkeys(titles))
    figure, grid = _grid(len(parts))
    rest = [one for one in found.keys if one != key and not one.startswith(("attack.targets", "dataset."))]
    panels = []
    for axes, part in zip(grid, parts, strict=True):
        axes.set_title(part, fontsize="medium")
        inside = rows[(titles == part).to_numpy()]
        varying = [
            one for one in rest if inside.groupby(["attack", "protection"])[one].nunique(dropna=False).gt(1).any()
        ]
        panels.append((axes, inside, with_settings(inside.attack + ", " + inside.protection, inside, varying)))
    return figure, panels
