"""Paper and ours, by hand: verdicts, rank agreement and claims."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recpoison.published.comparison import (
    AGREES,
    ATTACKS,
    CLEAN,
    DEFENSES,
    DIFFERS,
    UNDECIDED,
    Claims,
    Compared,
    claims,
    compare,
    half_width,
    has_labels,
    judged,
    rank_agreement,
    with_kept,
)
from recpoison.published.kept import Kept
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


def table(*cells: PublishedCell, repeats: int = 30, unit: float = 0.0) -> PublishedTable:
    return PublishedTable("t", "title", "paper", ("attack",), cells, repeats, unit=unit)


def listed(cell: PublishedCell, run: int) -> bool:
    return all(CONFIGS[run].get(key) == value for key, value in cell.settings.items())


def numbers(*rows: tuple[str, int, float, int]) -> pd.DataFrame:
    """HR@50 of targets from (attack, seed, value, run); the clean number is always 0.1."""
    frame = pd.DataFrame(rows, columns=["attack", "seed", "value", "run"])
    k = pd.array([50] * len(frame), dtype="Int64")
    fixed = {"dataset": "filmtrust", "model": "mf", "defense": "none", "subject": "target", "metric": "HR"}
    return frame.assign(**fixed, k=k, clean=0.1)


def verdict(paper: float, values: list[float], repeats: int = 30, unit: float = 0.0, **bounds: float) -> str:
    found = np.array(values)
    sd = float(found.std(ddof=1)) if len(found) > 1 else float("nan")
    wanted = table(cell("random", paper, **bounds), repeats=repeats, unit=unit)
    return judged(wanted, wanted.cells[0], float(found.mean()), sd, len(found)).verdict


@pytest.mark.parametrize(("ours", "wanted"), [(0.31, AGREES), (0.3101, DIFFERS), (0.29, AGREES), (0.2899, DIFFERS)])
def test_a_single_value_has_the_bounds_alone(ours, wanted):
    assert verdict(0.3, [ours], tolerance=0.01) == wanted


def test_both_bounds_must_hold():
    """0.0254 for 0.0424 is within 0.02 and 40% off; 0.95 for 0.99 is within 10% and 0.04 off."""
    assert verdict(0.0424, [0.0254], tolerance=0.02) == AGREES
    assert verdict(0.0424, [0.0254], tolerance=0.02, relative=0.1) == DIFFERS
    assert verdict(0.99, [0.95], relative=0.1) == AGREES
    assert verdict(0.99, [0.95], tolerance=0.02, relative=0.1) == DIFFERS
    assert verdict(0.99, [0.975], tolerance=0.02, relative=0.1) == AGREES


def test_a_printed_zero_agrees_with_what_would_be_printed_so():
    assert verdict(0.0, [0.00004], unit=1e-4, tolerance=0.02, relative=0.1) == AGREES
    assert verdict(0.0, [0.00006], unit=1e-4, tolerance=0.02, relative=0.1) == DIFFERS


def test_the_interval_by_hand():
    """Mean 0.3; sd = sqrt(4 x 0.01 / 3) = 0.11547; t(0.975, 3) = 3.18245; times sqrt(1/4 + 1/12) = 0.57735: 0.21216."""
    values = [0.2, 0.4, 0.4, 0.2]
    assert half_width(0.2 / 3**0.5, 4, 12) == pytest.approx(0.21216, abs=5e-6)
    assert verdict(0.3 + 0.2121, values, 12) == UNDECIDED
    assert verdict(0.3 + 0.2121, values[:2], 12) == DIFFERS, "two values have no interval worth the name"
    assert verdict(0.3 + 0.2122, values, 12) == DIFFERS
    assert verdict(0.3 - 0.2122, values, 12) == DIFFERS
    assert verdict(0.3 + 0.25, values, 12, tolerance=0.25) == AGREES


def test_three_seeds_against_one_run_know_little():
    """t(0.975, 2) = 4.30265 times sqrt(1/3 + 1) = 1.1547: five standard deviations, and the number says so."""
    assert half_width(0.01, 3, 1) == pytest.approx(0.0496828, abs=1e-7)
    assert np.isnan(half_width(0.01, 2, 1))


def test_a_cell_takes_the_numbers_of_its_own_runs():
    """Run 0 has random targets, run 1 unpopular ones: seeds 0 and 1 of run 0 count, with mean 0.3 and sd 0.14142."""
    frame = numbers(("random", 0, 0.2, 0), ("random", 1, 0.4, 0), ("random", 0, 0.9, 1), ("average", 0, 0.8, 0))
    (found,) = compare(table(cell("random", 0.25)), frame, listed)
    assert (found.n, found.runs) == (2, (0,))
    assert found.mean == pytest.approx(0.3)
    assert found.sd == pytest.approx(0.2 / 2**0.5)
    assert found.difference == pytest.approx(0.05)


def test_points_and_falls():
    """A csv in percent of accuracy lost: clean 0.1 minus attacked 0.04 is 6 points."""
    frame = numbers(("random", 0, 0.04, 0))
    (found,) = compare(table(cell("random", 5.0, scale=100.0, drop=True, tolerance=1)), frame, listed)
    assert found.mean == pytest.approx(6)
    assert found.verdict == AGREES


def test_a_share_of_the_printed_number_may_be_the_tolerance():
    frame = numbers(("random", 0, 109.0, 0))
    verdicts = [compare(table(cell("random", 100.0, relative=r)), frame, listed)[0].verdict for r in (0.1, 0.08)]
    assert verdicts == [AGREES, DIFFERS]


def test_cells_without_a_run_say_what_they_need():
    cells = cell("random", 0.5), cell("no_such_attack", 0.5)
    verdicts = [one.verdict for one in compare(table(*cells), numbers(), listed)]
    assert verdicts == ["not run", "needs attack=no_such_attack"]


def test_runs_that_differ_elsewhere_are_not_mixed():
    """Both runs fit the cell, but disagree on seed 0: neither is taken."""
    frame = numbers(("random", 0, 0.2, 0), ("random", 0, 0.3, 1))
    (found,) = compare(table(cell("random", 0.2, settings={"attack.budget": 0.03})), frame, listed)
    assert found.n == 0
    assert found.verdict == "several runs with other settings: name the sweep that is meant"


def test_which_runs_hold_a_cell():
    labels = [{"dataset": "filmtrust", "model": "mf", "attack": "random", "defense": "none"}]
    wanted = cell("random", 0.2)
    assert has_labels(wanted, labels)
    assert not has_labels(wanted, [labels[0] | {"model": "bprmf"}])


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
    found = claims(cells)[ATTACKS]  # c > b and d > b hold; c > a, d > a and d > c do not
    assert (found.hold, found.total) == (2, 5)


def test_a_papers_own_comparisons_are_counted_apart():
    """Clean and two attacks without a defense, one attack with it: of six pairs one is nobody's comparison.

    Clean against a and b holds; a against b does not; a against a defended holds; b against a defended and clean
    against a defended differ in both.
    """
    none = {"dataset": "filmtrust", "model": "mf", "defense": "none"}
    defended = measured("a", 0.2, 0.1, options=none | {"attack": "a", "defense": "apr"})
    cells = [measured("none", 0.1, 0.0), measured("a", 0.5, 0.3), measured("b", 0.4, 0.6), defended]
    found = {kind: (count.hold, count.total) for kind, count in claims(cells).items()}
    assert found == {CLEAN: (2, 2), ATTACKS: (0, 1), DEFENSES: (1, 1)}


def test_claims_compare_within_a_group_only():
    elsewhere = measured("b", 0.2, 0.0, rivals=("ml-100k",))
    assert claims([measured("a", 0.1, 0.1), elsewhere])[ATTACKS].total == 0


def test_misprints_do_not_count():
    cells = [measured("a", 0.1, 0.1), measured("b", 0.2, 0.2)]
    misprint = measured("c", 0.9, 0.0, note="printed 0.9; probably 0.0")
    assert rank_agreement([*cells, misprint]) == (1.0, 2)
    assert claims([*cells, misprint])[ATTACKS] == Claims(1, 1)


def test_a_kept_number_stands_where_no_run_does():
    wanted = table(cell("random", 0.2, tolerance=0.05), cell("average", 0.5))
    measured_one = compare(wanted, numbers(("average", 0, 0.4, 0)), listed)
    kept = {("random", "target HR@50"): Kept(0.23, 0.01, 7), ("average", "target HR@50"): Kept(0.9, 0.01, 7)}
    random, average = with_kept(wanted, measured_one, kept)
    assert (random.source, random.mean, random.n, random.verdict) == ("kept", 0.23, 7, AGREES)
    assert (average.source, average.mean, average.n) == ("run", 0.4, 1)


def test_nothing_measured_is_no_number():
    tau, n = rank_agreement([])
    assert np.isnan(tau)
    assert n == 0
    assert all(count.total == 0 for count in claims([]).values())
