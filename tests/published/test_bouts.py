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


@pytest.mark.parametrize(
    ("name", "won"),
    [
        # unseen edges of the target, a larger fall: row 7 (CF to GMF) 3.3481 against 3.4372, NeuMF 1.0747 against
        # 1.1218 and -0.0941 against 0.8593
        ("metagradient_table_4_13", {"all": (8, 11), "CF": (7, 7), "GMF": (1, 2), "NeuMF": (0, 2)}),
        ("metagradient_table_4_15", {"all": (2, 7), "CF": (2, 4), "GMF": (0, 3)}),  # rows 0 and 6
        # accuracy, which the clean row does not enter; falls count the other way round
        ("metagradient_table_4_7", {"all": (12, 12), "train": (6, 6), "unseen": (6, 6)}),
        ("metagradient_table_4_4", {"all": (3, 5), "netflix": (3, 5)}),  # from 1,200 flips on
    ],
)
def test_the_claims_of_the_metagradient_report_in_print(name, won):
    table = load(name)
    counts = count(bouts_of(table, [Compared(cell, NOT_RUN) for cell in table.distinct]))
    assert {where: part[:2] for where, part in counts.items()} == won


def test_a_paper_without_stars_has_no_column_of_them():
    table = load("metagradient_table_4_7")

    def one(cell):
        found = judged(table, cell, cell.value, math.nan, 1)
        return Compared(cell, found.verdict, found.mean, found.sd, found.n, values={0: cell.value})

    shown = contest_table(table, [one(cell) for cell in table.distinct])
    assert shown.keys == ("n_perturbations_or_drop", "model", "split", "wins")
    assert {row[-1] for row in shown.rows} == {"both"}
    assert shown.notes[0].startswith("lower is better, of a fall higher;")


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
