"""A paper's claim for one column: counted in print, in ours, and its stars by the paper's own test."""

import math

import numpy as np
import pytest
from scipy import stats

from recpoison.published.bouts import bouts_of, count, with_stars
from recpoison.published.comparison import NOT_RUN, Compared, judged
from recpoison.published.contest import Contest
from recpoison.published.tables import load
from recpoison.report.contests import claim_in_words, contest_table

OURS = {  # HR of three seeds
    "PCMF": [0.30, 0.31, 0.35],
    "AT": [0.21, 0.20, 0.24],
    "APT-rand": [0.25, 0.40, 0.30],
    "APT": [0.11, 0.15, 0.10],
}


def row(values=OURS, place=("ml-100k", "random", "Average")) -> list[Compared]:
    """Table 2 with one row measured."""
    table = load("apt_table_2")

    def one(cell):
        if cell.names[:3] != place or cell.names[3] not in values:
            return Compared(cell, NOT_RUN)
        numbers = np.array(values[cell.names[3]])
        found = judged(table, cell, float(numbers.mean()), float(numbers.std(ddof=1)), len(numbers))
        return Compared(cell, found.verdict, found.mean, found.sd, found.n, values=dict(enumerate(numbers)))

    return [one(cell) for cell in table.distinct]


def champion(compared: list[Compared]) -> Compared:
    return next(one for one in compared if one.n and one.cell.names[3] == "APT")


def test_table_2_in_print():
    """Counted by hand: 30 of 40 rows, all of filmtrust, 8 of ml-100k, 5 of ml-1m, 7 of yelp."""
    table = load("apt_table_2")
    counts = count(bouts_of(table, [Compared(cell, NOT_RUN) for cell in table.distinct]))
    assert {name: part[:2] for name, part in counts.items()} == {
        "all": (30, 40), "filmtrust": (10, 10), "ml-100k": (8, 10), "ml-1m": (5, 10), "yelp": (7, 10),
    }  # fmt: skip
    assert {part[2:] for part in counts.values()} == {(0, 0)}


def test_table_3_in_print_is_against_the_clean_model():
    """APT recommends better than the unperturbed model everywhere but on filmtrust."""
    table = load("apt_table_3")
    counts = count(bouts_of(table, [Compared(cell, NOT_RUN) for cell in table.distinct]))
    assert {name: part[:2] for name, part in counts.items()} == {
        "all": (30, 40), "filmtrust": (0, 10), "ml-100k": (10, 10), "ml-1m": (10, 10), "yelp": (10, 10),
    }  # fmt: skip


def test_the_test_is_against_the_best_rival_by_our_means_and_is_not_corrected():
    table, compared = load("apt_table_2"), row()
    found = champion(with_stars(table, compared))
    assert found.p == pytest.approx(stats.ttest_rel(OURS["APT"], OURS["AT"]).pvalue)
    shown = contest_table(table, with_stars(table, compared))
    (names,), (entries,) = shown.rows, shown.entries
    assert names == ("ml-100k", "random", "Average", "PCMF", "AT", "both", "*")  # in print the best rival is PCMF
    assert [entry.mean for entry in entries] == pytest.approx([0.0554, 0.0725, 0.12, 0.65 / 3])
    assert entries[2].p == found.p


def test_seeds_that_only_one_has_are_left_out_of_the_test():
    table, compared = load("apt_table_2"), row()
    rival = next(one for one in compared if one.n and one.cell.names[3] == "AT")
    del rival.values[2]
    expected = stats.ttest_rel(OURS["APT"][:2], OURS["AT"][:2]).pvalue
    assert champion(with_stars(table, compared)).p == pytest.approx(expected)


def test_who_is_not_better_has_no_stars():
    table, compared = load("apt_table_2"), row(OURS | {"AT": [0.05, 0.06, 0.07]})
    assert math.isnan(champion(with_stars(table, compared)).p)
    assert contest_table(table, compared).rows[0][5] == "in print"


def test_a_row_counts_with_all_of_its_rivals_alone():
    table = load("apt_table_2")
    (said,) = claim_in_words(table, row({name: OURS[name] for name in ("AT", "APT")}))
    assert said.endswith("yelp 7 of 10); we measured none of them in full.")
    assert contest_table(table, row({name: OURS[name] for name in ("AT", "APT")})) is None
    (said,) = claim_in_words(table, row())
    assert said.startswith("APT is better than the best of PCMF, AT, APT-rand in 30 of 40 rows in print (filmtrust 10")
    assert said.endswith("in 1 of 1 of ours (ml-100k 1 of 1), 39 rows not measured in full.")


def test_equal_numbers_are_no_win():
    contest = Contest("defense", "APT", ("AT",), "lower", "dataset")
    assert not contest.won({"APT": 0.0, "AT": 0.0})
    assert contest.won({"APT": 0.0, "AT": 0.1})
    assert not Contest("defense", "APT", ("AT",), "higher", "dataset").won({"APT": 0.0, "AT": 0.1})


def test_a_table_without_a_claim_has_no_bouts():
    table = load("injection_table_2")
    compared = [Compared(cell, NOT_RUN) for cell in table.distinct]
    assert bouts_of(table, compared) == []
    assert with_stars(table, compared) == compared
    assert claim_in_words(table, compared) == ()
