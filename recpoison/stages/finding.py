"""What one seed of a run shows: its squares, measured, and what a reader asks about its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recpoison.changes import FakeProfiles
from recpoison.crafted import Holders, holders
from recpoison.curves import of_trace, on_surrogate, points
from recpoison.data.characteristics import characterise
from recpoison.data.graph import NodeSplit
from recpoison.data.splitting import Split
from recpoison.defenses.none import NoDefense
from recpoison.edge_flips import EdgeFlips
from recpoison.evaluation import asking
from recpoison.evaluation.learning import Losses, Rates, beside_popularity
from recpoison.evaluation.robustness import robustness_improvement
from recpoison.evaluation.suspicion import of_defense
from recpoison.parts import squares_of
from recpoison.records import Cell, CellResult
from recpoison.stages.base import Obtain
from recpoison.stages.squares import craft, measure
from recpoison.stages.trial import Trial


@dataclass(frozen=True, eq=False)
class Found:
    """What one seed showed.

    Args:
        results: One entry a square.
        facts: What a reader asks first about its data.
        notes: Sentences about its data and its squares.
        promoted: Its targets: item, id in the source, rows.
        item_ids: ``(n_items,)`` ids in the source, None where they are not known.
        held_out: Which rows its test rows are, in words.
        attack_size: How large the attack is, in words; empty without one.
        rates: HR of the victim without attack and defense beside popularity's, where they are known.
        losses: Of the same fit, where they are known.
        holders: Who of the fake users has a promoted item; None without fake users.
    """

    results: list[CellResult]
    facts: dict[str, Any]
    notes: tuple[str, ...]
    promoted: list[dict[str, Any]]
    item_ids: np.ndarray | None
    held_out: str
    attack_size: str
    rates: Rates | None
    losses: Losses | None
    holders: Holders | None


def find(trial: Trial, obtain: Obtain) -> Found:
    """Measure the squares of the two-by-two for one seed.

    Fake users are crafted before anything is fitted, so that a setting they cannot be made with costs no fit.

    Args:
        trial: The seed.
        obtain: Gives the value of a stage.
    """
    parts, squares = trial.parts, squares_of(trial.parts)
    crafted = next((craft(trial, square, obtain) for square in squares if not square.clean), None)
    results: list[CellResult] = []
    notes: list[str] = []
    clean = rates = losses = None
    curve_fakes = getattr(parts.evaluation, "curve_fakes", ())
    for square in squares:
        fakes = None if square.clean else crafted
        seen, change, curve, fit = measure(trial, square, fakes, obtain)
        if square.clean and isinstance(square.defense, NoDefense):
            losses, rates = fit.losses, beside_popularity(parts.evaluation, fit.fitted, seen, trial.split, trial.seeds)
        measures = asking.measures(parts.evaluation, seen, None if square.clean else clean) + curve.mean_over_steps()
        clean = seen if square.clean else clean
        measures += of_defense(fit.fitted, 0 if fakes is None else fakes.n_fakes)
        if fakes is not None and fakes.trace and isinstance(square.defense, NoDefense):  # the same for every defense
            curve += of_trace(fakes)
            measures += [] if fakes.best is None else on_surrogate(fakes, trial.split.train.n_users)
        if isinstance(fakes, EdgeFlips) and getattr(parts.evaluation, "curve_flips", None) is not None:
            curve = points("flips", 0, results[-1].measures) + curve + points("flips", len(fakes), measures)
        if curve_fakes and fakes is not None and isinstance(square.defense, NoDefense):
            every = asking.measures(parts.evaluation, seen)
            curve = points("fake_users", 0, results[-1].measures) + curve + points("fake_users", fakes.n_fakes, every)
        if not (square.clean or isinstance(square.defense, NoDefense)):
            gained, notes = robustness_improvement(results[0].measures, results[1].measures, measures)
            measures += gained
        cell = Cell(
            parts.label("dataset"), parts.label("model"), square.attack_label, square.defense_label, trial.seeds.seed
        )
        results.append(CellResult(cell, measures, seen, change, curve))
    facts = _facts(trial.split)
    sizes = (result.change.in_words(facts["train_rows"]) for result in results if result.change is not None)
    return Found(
        results,
        facts,
        (*trial.split.notes, *notes),
        _promoted(trial),
        getattr(trial.split.train, "item_labels", None),
        trial.split.held_out,
        next(sizes, ""),  # the undefended square's
        rates,
        losses,
        holders(crafted, trial.targets) if isinstance(crafted, FakeProfiles) else None,
    )


def _promoted(trial: Trial) -> list[dict[str, Any]]:
    """The targets of a seed by number and by their source's id (None where that is not known), and their rows."""
    if not len(trial.targets):
        return []
    train = trial.split.train
    ids = [None] * train.n_items if train.item_labels is None else train.item_labels
    return [
        {"item": int(item), "id": None if ids[item] is None else str(ids[item]), "rows": int(train.item_counts[item])}
        for item in trial.targets
    ]


def _facts(split: Split | NodeSplit) -> dict[str, Any]:
    """What a reader asks first about the data of a seed."""
    if isinstance(split, NodeSplit):
        return split.facts() | {"fingerprint": split.fingerprint}
    shape, zeros = characterise(split.train), split.train.zeros
    return {
        "users": shape.n_users,
        "items": shape.n_items,
        "train_rows": len(split.train),
        **({} if zeros is None else {"train_zeros": len(zeros.users)}),
        "test_rows": len(split.test),
        "ratings": None if split.train.scale is None else list(split.train.scale),  # lowest, highest, step
        "users_judged": split.n_judged,
        "density": shape.density,
        "size": shape.size,
        "shape": shape.shape,
        "fingerprint": split.fingerprint,
    }
