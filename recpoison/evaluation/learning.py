"""Whether a fit learned anything: whether its loss fell, and what popularity reaches on the same held-out items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from recpoison.data.splitting import Split
from recpoison.evaluation import asking
from recpoison.evaluation.ranking import RankingEvaluation
from recpoison.models.base import Fitted, Model
from recpoison.models.popularity import Popularity
from recpoison.models.random import RandomModel
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

MOST_USERS = 2000  # bounds what asking costs: 0.3 s with 40,000 items


class Losses(NamedTuple):
    """Mean training loss of the first epoch of a fit and of its last."""

    first: float
    last: float


class Rates(NamedTuple):
    """HR on held-out items.

    Args:
        k: Its cutoff.
        model: The model's.
        popularity: Of the same users, where the most popular come first.
        n_users: How many users they are.
        n_judged: How many have held-out items.
    """

    k: int
    model: float
    popularity: float
    n_users: int
    n_judged: int


def beside_popularity(evaluation: object, fitted: Fitted, seen: Any, split: Split, seeds: Seeds) -> Rates | None:
    """HR at the largest cutoff of a model and of popularity; None where the evaluation ranks no held-out items.

    Both are of the same users, evenly spread where there are more than ``MOST_USERS``.

    Args:
        evaluation: The run's.
        fitted: The model without attack and defense.
        seen: What the evaluation saw of it.
        split: The rows to learn from and to be judged by.
        seeds: The seed's streams.
    """
    if not isinstance(evaluation, RankingEvaluation) or isinstance(fitted.model, Popularity | RandomModel):
        return None
    k = max(evaluation.cutoffs)
    asked = replace(evaluation, metrics=("HR",), cutoffs=(k,), select_metric=f"HR@{k}")
    own = next((one for one in asking.measures(asked, seen) if one.subject == "test"), None)
    if own is None or own.units is None or own.per_unit is None or not own.n:
        return None
    step = -(-own.n // MOST_USERS)
    users = own.units[::step]
    popular = Popularity()
    counts = popular.fit(split.train, seeds, torch.device("cpu"), Progress())
    rate = asked.score(Fitted(popular, counts, split.train), _of_users(split, users), seeds)
    return Rates(k, float(own.per_unit[::step].mean()), rate, len(users), own.n)


def _of_users(split: Split, users: np.ndarray) -> Split:
    """The split, judged by ``users`` alone."""
    rows = np.flatnonzero(np.isin(split.test.users, users))
    negatives = None if split.negatives is None else split.negatives[rows]
    return replace(split, test=split.test.take(rows), negatives=negatives)


def learned_nothing(label: str, model: Model, rates: Sequence[Rates], losses: Sequence[Losses]) -> list[str]:
    """A sentence where a model stands below popularity or its loss did not fall, as means over seeds; else nothing.

    Args:
        label: What tables call the model.
        model: The model.
        rates: Of each seed where they are known.
        losses: Of each seed where they are known.
    """
    below, not_fallen = _below(rates), _not_fallen(losses)
    if not below and not not_fallen:
        return []
    if below and (not_fallen or not any(one.model for one in rates)):
        verdict = "learned nothing"
    else:
        verdict = "ranks worse than popularity" if below else "may have learned nothing"
    told = " and ".join([*below, *not_fallen])
    return [f"{label} {verdict}: {told}, without attack and defense; {_remedy(model)}"]


def _below(rates: Sequence[Rates]) -> list[str]:
    own, popular = _mean([one.model for one in rates]), _mean([one.popularity for one in rates])
    if not own < popular:
        return []
    n_users, n_judged = rates[0].n_users, rates[0].n_judged
    some = f" (of {n_users:,} of {n_judged:,} users)" if n_users < n_judged else ""
    return [f"its HR@{rates[0].k} on held-out items is {own:.4f}, below popularity's {popular:.4f}{some}"]


def _not_fallen(losses: Sequence[Losses]) -> list[str]:
    first, last = _mean([one.first for one in losses]), _mean([one.last for one in losses])
    return [f"its loss went from {first:.4g} in the first epoch to {last:.4g} in the last"] if last >= first else []


def _remedy(model: Model) -> str:
    trainer = getattr(model, "trainer", None)
    if not isinstance(trainer, Trainer):
        return "try other settings of the model"
    return (
        f"try another model.trainer.learning_rate (now {trainer.learning_rate:g}) or "
        f"model.trainer.epochs (now {trainer.epochs})"
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
