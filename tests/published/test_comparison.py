"""Paper and ours, by hand: verdicts, rank agreement and claims."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recpoison.published.comparison import (
    AGREES,
    DIFFERS,
    UNCLEAR,
    Compared,
    agreement,
    claims,
    compare,
    holds_cells,
    rank_agreement,
)
from recpoison.published.tables import PublishedCell, PublishedTable

CONFIGS = [
    {"attack.budget": 0.03, "attack.targets.rule": "random"},
    {"attack.budget": 0.03, "attack.targets.rule": "unpopular"},
]


def cell(attack: str, value: float, **changes) -> PublishedCell:
    options = {"dataset": "filmtrust", "model": "mf", "attack": attack, "defense": "none"}
    made = PublishedCell(
        (attack,), ("filmtrust",), value, "", options, {"attack.targets.rule": "random"}, "target", "HR", 50
    )
    return replace(made, **changes)


def table(*cells: PublishedCell, repeats: int = 30, tolerance: float = 0.0, relative: float = 0.0) -> PublishedTable:
    return PublishedTable("t", "title", "paper", ("attack",), cells, repeats, tolerance, relative)


def numbers(*rows: tuple[str, int, float, int]) -> pd.DataFrame:
    """HR@50 of targets from (attack, seed, value, run); the clean number is always 0.1."""
    frame = pd.DataFrame(rows, columns=["attack", "seed", "value", "run"])
    k = pd.array([50] * len(frame), dtype="Int64")
    fixed = {"dataset": "filmtrust", "model": "mf", "defense": "none", "subject": "target", "metric": "HR"}
    return frame.assign(**fixed, k=k, clean=0.1)


@pytest.mark.parametrize(("ours", "verdict"), [(0.31, AGREES), (0.3101, DIFFERS), (0.29, AGREES), (0.2899, DIFFERS)])
def test_a_single_value_has_the_tolerance_alone(ours, verdict):
    assert agreement(0.3, np.array([ours]), 30, 0.01) == verdict


def test_chance_by_hand():
    """Mean 0.3; sd = sqrt(4 x 0.01 / 3) = 0.11547; t(0.975, 3) = 3.18245; times sqrt(1/4 + 1/12) = 0.57735: 0.21216."""
    values = np.array([0.2, 0.4, 0.4, 0.2])
    assert agreement(0.3 + 0.2121, values, 12, 0.0) == UNCLEAR
    assert agreement(0.3 + 0.2121, values[:2], 12, 0.0) == DIFFERS, "two values have no interval worth the name"
    assert agreement(0.3 + 0.2122, values, 12, 0.0) == DIFFERS
    assert agreement(0.3 - 0.2122, values, 12, 0.0) == DIFFERS
    assert agreement(0.3 + 0.25, values, 12, 0.25) == AGREES


def test_a_cell_takes_the_numbers_of_its_own_runs():
    """Run 0 has random targets, run 1 unpopular ones: seeds 0 and 1 of run 0 count, with mean 0.3 and sd 0.14142."""
    frame = numbers(("random", 0, 0.2, 0), ("random", 1, 0.4, 0), ("random", 0, 0.9, 1), ("average", 0, 0.8, 0))
    (found,) = compare(table(cell("random", 0.25)), frame, CONFIGS)
    assert (found.n, found.runs) == (2, (0,))
    assert found.mean == pytest.approx(0.3)
    assert found.sd == pytest.approx(0.2 / 2**0.5)
    assert found.difference == pytest.approx(0.05)


def test_points_and_falls():
    """A csv in percent of accuracy lost: clean 0.1 minus attacked 0.04 is 6 points."""
    frame = numbers(("random", 0, 0.04, 0))
    (found,) = compare(table(cell("random", 5.0, scale=100.0, drop=True), tolerance=1), frame, CONFIGS)
    assert found.mean == pytest.approx(6)
    assert found.verdict == AGREES


def test_a_share_of_the_printed_number_may_be_the_tolerance():
    frame = numbers(("random", 0, 109.0, 0))
    verdicts = [compare(table(cell("random", 100.0), relative=r), frame, CONFIGS)[0].verdict for r in (0.1, 0.08)]
    assert verdicts == [AGREES, DIFFERS]


def test_cells_without_a_run_say_what_they_need():
    cells = cell("random", 0.5), cell("no_such_attack", 0.5)
    verdicts = [one.verdict for one in compare(table(*cells), numbers(), [])]
    assert verdicts == ["not run", "not run: needs attack=no_such_attack"]


def test_runs_that_differ_elsewhere_are_not_mixed():
    """Both runs fit the cell, but disagree on seed 0: neither is taken."""
    frame = numbers(("random", 0, 0.2, 0), ("random", 0, 0.3, 1))
    (found,) = compare(table(cell("random", 0.2, settings={"attack.budget": 0.03})), frame, CONFIGS)
    assert found.n == 0
    assert found.verdict == "several runs with other settings: name the sweep that is meant"


def test_which_runs_hold_a_cell():
    labels = [{"dataset": "filmtrust", "model": "mf", "attack": "random", "defense": "none"}]
    wanted = table(cell("random", 0.2))
    assert holds_cells(wanted, labels, CONFIGS[0])
    assert not holds_cells(wanted, labels, CONFIGS[1])
    assert not holds_cells(wanted, [labels[0] | {"model": "bprmf"}], CONFIGS[0])


def measured(attack: str, paper: float, ours: float, **changes) -> Compared:
    return Compared(cell(attack, paper, **changes), AGREES, ours, n=1)


def test_rank_agreement_by_hand():
    """Ours puts 0.3 above 0.4: of six pairs five agree and one does not, (5 - 1) / 6."""
    cells = [measured("a", 0.1, 0.0), measured("b", 0.2, 0.1), measured("c", 0.3, 0.9), measured("d", 0.4, 0.5)]
    tau, n = rank_agreement(cells)
    assert (tau, n) == (pytest.approx(4 / 6), 4)


def test_claims_by_hand():
    """Paper: d > c > b = a, so five claims. Ours: a = c = 0.3, d = 0.2, b = 0.1."""
    cells = [measured("a", 0.1, 0.3), measured("b", 0.1, 0.1), measured("c", 0.3, 0.3), measured("d", 0.4, 0.2)]
    found = claims(cells)  # c > b and d > b hold; c > a, d > a and d > c do not
    assert (found.hold, found.total) == (2, 5)


def test_claims_compare_within_a_group_only():
    elsewhere = measured("b", 0.2, 0.0, rivals=("ml-100k",))
    assert claims([measured("a", 0.1, 0.1), elsewhere]).total == 0


def test_misprints_and_repeated_cells_count_once_or_not_at_all():
    cells = [measured("a", 0.1, 0.1), measured("a", 0.1, 0.1), measured("b", 0.2, 0.2)]
    misprint = measured("c", 0.9, 0.0, note="printed 0.9; probably 0.0")
    assert rank_agreement([*cells, misprint]) == (1.0, 2)
    assert (claims([*cells, misprint]).hold, claims([*cells, misprint]).total) == (1, 1)


def test_nothing_measured_is_no_number():
    tau, n = rank_agreement([])
    assert np.isnan(tau)
    assert n == 0
    assert claims([]).total == 0
