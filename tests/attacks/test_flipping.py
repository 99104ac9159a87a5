"""The budget of attacks on edges, and a plan of which cells use a part."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from recpoison.attacks.flipping import EdgeAttack, Flipping
from recpoison.data.interactions import Edges, Interactions
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import BudgetExceeded, ConfigError, UserError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class FirstZeros(EdgeAttack):
    """Flips zeros in their order, ``more`` than it may."""

    more: int = 0

    def _flip(self, flipping: Flipping) -> EdgeFlips:
        zeros, count = flipping.data.zeros, flipping.n_flips + self.more
        return EdgeFlips(zeros.users[:count], zeros.items[:count], np.ones(count, dtype=np.int64), eligible=0)


def data() -> Interactions:
    """A user with one of eleven items; the others are zeros."""
    return Interactions([0], [10], [1], 1, 11, zeros=Edges(np.zeros(10, dtype=np.int64), np.arange(10)))


def flipped(attack: EdgeAttack) -> EdgeFlips:
    return attack.poison(data(), np.zeros(0, dtype=np.int64), Seeds(0), CPU, Progress())


def test_a_budget_is_a_share_of_the_zeros_and_a_number_wins_over_it() -> None:
    assert len(flipped(FirstZeros(budget=0.3))) == 3
    assert len(flipped(FirstZeros(budget=0.3, n_flips=5))) == 5
    assert flipped(FirstZeros(budget=0.3)).eligible == 10


def test_a_plan_is_crafted_whole_and_used_in_part() -> None:
    two, four = FirstZeros(n_flips=2, plan=6), FirstZeros(budget=0.4, plan=6)
    assert two.planned == four.planned == FirstZeros(n_flips=6)
    whole = flipped(two.planned)
    assert len(whole) == 6
    assert [len(attack.used(whole)) for attack in (two, four)] == [2, 4]
    assert FirstZeros(n_flips=2, plan=0.6).planned == FirstZeros(budget=0.6)
    assert FirstZeros(n_flips=6).planned == two.planned, "so that the last cell of a table shares it too"


@pytest.mark.parametrize("plan", [0.0, -1.0, 2.5, float("nan"), float("inf")])
def test_a_plan_is_a_share_or_a_number_of_flips(plan: float) -> None:
    with pytest.raises(ConfigError, match=r"attack\.plan is .*: give .*a share below 1, or a whole number of flips"):
        FirstZeros(plan=plan)


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (FirstZeros(budget=0.05), r"attack\.budget=0\.05 of 10 zeros is less than one flip: raise it to 0\.1"),
        (FirstZeros(n_flips=11), r"attack\.n_flips=11, but there are 10 zeros to flip: lower it"),
    ],
)
def test_a_budget_that_cannot_be_used_is_refused(attack: EdgeAttack, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        flipped(attack)


def test_more_than_the_budget_is_refused() -> None:
    with pytest.raises(BudgetExceeded, match="flips 4 edges, but its budget allows 3"):
        flipped(FirstZeros(n_flips=3, more=1))


def test_data_without_zeros_name_the_evaluation_that_has_them() -> None:
    plain = replace(data(), zeros=None)
    with pytest.raises(ConfigError, match="evaluation=link_prediction"):
        FirstZeros().poison(plain, np.zeros(0, dtype=np.int64), Seeds(0), CPU, Progress())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, r"_flip gave None: EdgeFlips .* are expected"),
        (EdgeFlips(np.zeros(2), np.zeros(1), np.ones(1), 0), r"different lengths \(rows 2, columns 1, values 1\)"),
        (EdgeFlips(np.array([0.5]), np.zeros(1), np.ones(1), 0), r"gave EdgeFlips with 0\.5 among rows"),
        (EdgeFlips(np.zeros(1), np.array([10]), np.ones(1), 0), "an inserted edge was no zero"),
    ],
)
def test_what_is_no_flip_is_told_in_a_sentence(given: object, message: str) -> None:
    class Odd(FirstZeros):
        def _flip(self, flipping: Flipping) -> EdgeFlips:
            return given  # type: ignore[return-value]

    with pytest.raises(UserError, match=message):
        flipped(Odd(n_flips=3))


@pytest.mark.parametrize(
    "settings",
    [{"budget": 0.0}, {"budget": 1.5}, {"n_flips": 0}, {"plan": -1.0}, {"plan": 2.5}, {"plan": 2, "n_flips": 3}],
)
def test_values_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"attack.{next(iter(settings))} is"):
        FirstZeros(**settings)  # type: ignore[arg-type]
