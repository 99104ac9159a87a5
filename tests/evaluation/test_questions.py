"""Which cells are compared, which tests belong together, and what a table may claim where nothing happened."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from recpoison.evaluation.questions import Metric, family_of, in_words, primary, summarise, with_counterparts
from recpoison.evaluation.sentences import story
from recpoison.evaluation.significance import holm, paired_t

LABELS = ("HR@50", "HR@10", "NDCG@50", "NDCG@10", "AUC")


def frame_of(cells: dict[tuple[str, str], dict[str, list[float]]]) -> pd.DataFrame:
    """One row a number: ``cells[attack, defense]["target HR@50"]`` has a value for each seed."""
    rows = [
        (
            "d",
            "m",
            attack,
            defense,
            seed,
            subject,
            label.split("@")[0],
            int(label.partition("@")[2]) if "@" in label else None,
            value,
        )
        for (attack, defense), metrics in cells.items()
        for name, values in metrics.items()
        for subject, label in [name.split()]
        for seed, value in enumerate(values)
    ]
    columns = ["dataset", "model", "attack", "defense", "seed", "subject", "metric", "k", "value"]
    return with_counterparts(pd.DataFrame(rows, columns=columns).astype({"k": "Int64"}))


def row(summary: pd.DataFrame, attack: str, defense: str, name: str) -> pd.Series:
    titles = summary.subject + " " + summary.metric + summary.k.map(lambda k: "" if pd.isna(k) else f"@{k}").astype(str)
    return summary[(summary.attack == attack) & (summary.defense == defense) & (titles == name)].iloc[0]


def cauchy(t: float) -> float:
    """The two-sided p of t with one degree of freedom."""
    return 1 - 2 * np.arctan(t) / np.pi


TWO = {
    ("none", "none"): {"target HR@50": [0.1, 0.2], "test HR@10": [0.6, 0.7], "test AUC": [0.8, 0.9]},
    ("bad", "none"): {"target HR@50": [0.4, 0.6], "test HR@10": [0.5, 0.4], "test AUC": [0.7, 0.7]},
}
FILTERED = {
    ("none", "filter"): {"target HR@50": [0.1, 0.1], "test HR@10": [0.5, 0.7], "test AUC": [0.8, 0.9]},
    ("bad", "filter"): {"target HR@50": [0.2, 0.3], "test HR@10": [0.5, 0.6], "test AUC": [0.7, 0.7]},
}


def test_the_primary_metric_of_each_subject():
    known = [Metric("test", "AUC"), Metric("test", "HR", 10), Metric("target", "HR", 10), Metric("target", "HR", 50)]
    assert primary(known) == [Metric("target", "HR", 50), Metric("test", "HR", 10)]
    assert primary(known[:1] + known[2:3]) == [Metric("target", "HR", 10), Metric("test", "AUC")]
    assert family_of([*known, Metric("fake", "PopularityKS"), Metric("surrogate", "HR", 50)]) == primary(known)


def test_an_attack_is_compared_with_the_clean_cell_by_hand():
    """Target differences 0.3, 0.4: t = 7; test -0.1, -0.3: t = 2. Holm over two: 2 p, then p of the larger."""
    summary = summarise(frame_of(TWO))
    target, test = (row(summary, "bad", "none", name) for name in ("target HR@50", "test HR@10"))
    assert (target.difference, target.clean_mean, target.clean_n, target["n"]) == pytest.approx((0.35, 0.15, 2, 2))
    assert target.p == pytest.approx(2 * cauchy(7))
    assert test.p == pytest.approx(cauchy(2))
    assert (target.low, target.high) == pytest.approx((0.35 - 0.05 * 12.7062, 0.35 + 0.05 * 12.7062), abs=1e-5)
    assert target.family == "target HR@50; test HR@10"
    auc = row(summary, "bad", "none", "test AUC")
    assert np.isnan(auc.p)
    assert auc.family == ""
    assert np.isfinite(auc.low)
    assert np.isnan([row(summary, "none", "none", "target HR@50")[name] for name in ("difference", "p", "low")]).all()


def test_a_defense_added_changes_nothing_about_the_undefended_attack():
    alone, both = summarise(frame_of(TWO)), summarise(frame_of(TWO | FILTERED))
    undefended = both[both.defense == "none"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, undefended, check_dtype=False)


def test_a_defense_is_compared_with_none_clean_and_under_the_attack():
    """Under attack: 0.4, 0.6 to 0.2, 0.3: differences -0.2, -0.3, t = 5; test 0.0, 0.2: t = 1."""
    summary = summarise(frame_of(TWO | FILTERED))
    target, test = (row(summary, "bad", "filter", name) for name in ("target HR@50", "test HR@10"))
    assert (target.defense_difference, target.undefended_mean) == pytest.approx((-0.25, 0.5))
    assert target.defense_p == pytest.approx(2 * cauchy(5))
    assert test.defense_p == pytest.approx(max(2 * cauchy(5), cauchy(1)))
    clean = row(summary, "none", "filter", "target HR@50")  # 0.1, 0.2 to 0.1, 0.1: t = 1
    assert clean.defense_difference == pytest.approx(-0.05)
    assert clean.defense_p == pytest.approx(min(1, 2 * cauchy(1)))
    assert np.isnan(clean.p)


def test_one_seed_has_no_p_anywhere():
    one = {cell: {name: values[:1] for name, values in found.items()} for cell, found in (TWO | FILTERED).items()}
    summary = summarise(frame_of(one))
    assert summary[["p", "low", "high", "defense_p", "defense_low", "defense_high"]].isna().all(axis=None)
    told = story(summary)
    assert told[0] == "The targets' HR@50 rose from 0.1000 to 0.4000; held-out HR@10 fell from 0.6000 to 0.5000."
    assert told[-1].startswith("1 seed: too few for any verdict")
    assert "5 seeds (repeats=5) tell a difference from none where it is 1.6 times" in told[-1]


def test_a_number_that_a_seed_lacks_takes_the_pair_out():
    cells = {cell: {name: [*values, 0.5] for name, values in found.items()} for cell, found in TWO.items()}
    cells["none", "none"]["target HR@50"][2] = float("nan")
    found = row(summarise(frame_of(cells)), "bad", "none", "target HR@50")
    assert (found["n"], found.clean_n, found.difference) == (3, 2, pytest.approx(0.35))


def test_equal_numbers_and_equal_differences_are_said_in_words():
    cells = {
        ("none", "none"): {"target HR@50": [0.0, 0.0], "test HR@10": [0.6, 0.7]},
        ("bad", "none"): {"target HR@50": [1.0, 1.0], "test HR@10": [0.6, 0.7]},
    }
    summary = summarise(frame_of(cells))
    assert summary.p.isna().all()
    assert story(summary) == [
        "The targets' HR@50 rose from 0.0000 to 1.0000 (+1.0000 in each of 2 seeds: no spread, so no t-test); "
        "held-out HR@10 stayed at 0.6500 (equal in each of 2 seeds: no spread, so no t-test)."
    ]


def test_the_filter_of_the_readme_is_compared_under_the_attack():
    """0.98 to 0.00 by the filter: not summed up as a target that stayed at 0."""
    cells = {
        (attack, defense): {"target HR@50": values}
        for (attack, defense), values in {
            ("none", "none"): [0.0, 0.0, 0.0],
            ("average", "none"): [0.97, 0.98, 0.99],
            ("none", "filter"): [0.0, 0.0, 0.0],
            ("average", "filter"): [0.0, 0.0, 0.0],
        }.items()
    }
    told = story(summarise(frame_of(cells)))
    assert told[0].startswith("The targets' HR@50 rose from 0.0000 to 0.9800 (+0.9800, 95% interval +0.9552 to +1.0048")
    assert told[3] == (
        "Under attack average, defense filter instead of none: the targets' HR@50 fell from 0.9800 to 0.0000 "
        "(-0.9800, 95% interval -1.0048 to -0.9552, p < 0.001, n = 3 seeds)."
    )


def test_an_open_question_names_the_seeds_that_would_do():
    """Differences 0, 1, 2: mean 1, sd 1, p = 0.2254; one test; the power of t reaches 0.8 at 10 seeds."""
    cells = {("none", "none"): {"test HR@10": [0.0, 0.0, 0.0]}, ("bad", "none"): {"test HR@10": [0.0, 1.0, 2.0]}}
    told = story(summarise(frame_of(cells)))
    assert "p = 0.23, n = 3 seeds; 10 seeds would tell)" in told[0]
    assert told[1].startswith("Seeds that would tell: in four of five experiments")


def test_another_test_only_where_it_is_asked_for():
    cells = {
        ("none", "none"): {"test HR@10": [0.0] * 5},
        ("bad", "none"): {"test HR@10": [0.1, 0.2, 0.3, 0.4, 0.5]},
    }
    found = {
        test: row(summarise(frame_of(cells), test=test), "bad", "none", "test HR@10") for test in ("t", "wilcoxon")
    }
    assert found["t"].p < 0.05
    assert found["wilcoxon"].p == 0.0625
    assert found["wilcoxon"].low == found["t"].low
    told = story(summarise(frame_of(cells), test="wilcoxon"), "wilcoxon")
    assert "5 seeds: too few for any verdict. In a family of 1 test Wilcoxon's signed-rank test" in told[-1]
    assert told[-1].endswith("from 6 seeds on (repeats=6).")


def test_what_a_filter_caught_is_told_and_not_tested():
    clean, attacked = {"target HR@50": [0.1, 0.2]}, {"target HR@50": [0.9, 0.7]}
    lost = {"removed RealUsersLost": [0.05, 0.05]}
    caught = {"removed Precision": [0.5, 0.6], "removed Recall": [1.0, 0.9], "removed RealUsersLost": [0.02, 0.03]}
    caught["removed AUROC"] = [0.9, 0.98]
    cells = {
        ("none", "none"): clean,
        ("bad", "none"): attacked,
        ("none", "filter"): clean | lost,
        ("bad", "filter"): clean | caught,
    }
    summary = summarise(frame_of(cells))
    assert summary[summary.subject == "removed"][["p", "defense_p"]].isna().all(axis=None)
    assert set(summary[summary.subject == "target"].family) == {"target HR@50"}
    told = story(summary)
    assert "Without an attack, defense filter removed users: 0.0500 of the real users lost." in told
    assert (
        "Under attack bad, defense filter removed users: 0.5500 of the removed users are fake (precision); "
        "0.9500 of the fake users caught (recall); 0.0250 of the real users lost; fake users were more suspicious than "
        "real ones in 0.9400 of pairs (AUROC)." in told
    )


def test_an_improvement_compares_cells_already_and_is_not_tested_however_asked_for():
    """It has a mean and a spread over seeds, and the p-values beside it stay what they are without it."""
    rates = {
        ("none", "none"): [0.1, 0.2, 0.15],
        ("bad", "none"): [0.9, 0.7, 0.85],
        ("none", "at"): [0.1, 0.1, 0.1],
        ("bad", "at"): [0.3, 0.4, 0.2],
    }
    cells = {cell: {"target HR@50": values} for cell, values in rates.items()}
    improvement = Metric("target", "RobustnessImprovement", 50)
    before = summarise(frame_of(cells))
    cells["bad", "at"][improvement.title] = [0.75, 0.6, 0.93]
    for wanted in (None, [Metric("target", "HR", 50), improvement]):
        after = summarise(frame_of(cells), wanted=wanted)
        row = after[after.metric == "RobustnessImprovement"].iloc[0]
        assert row["mean"] == pytest.approx(0.76)
        assert row.n == 3
        assert (row.family, np.isnan(row.p), np.isnan(row.defense_p)) == ("", True, True)
        rates_after = after[after.metric == "HR"].reset_index(drop=True)
        pd.testing.assert_frame_equal(rates_after, before)
        said = [sentence for sentence in story(after) if "robustness improvement" in sentence]
        assert said == [
            "Under attack bad, with defense at: robustness improvement@50 of the means is 0.7750 (1: targets as "
            "without the attack; 0: as without the defense)."
        ]


def test_what_stands_beside_the_numbers():
    assert in_words(["target HR@50; test HR@10", ""]) == (
        "p: the paired t-test over seeds; Holm-corrected within each question over 2 tests (target HR@50, test HR@10); "
        "other metrics have intervals, no p; intervals: 95%, of Student's t, each for its one difference"
    )


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("family", [1, 2, 3])
def test_where_nothing_happens_one_question_in_twenty_has_a_p_below_005(n: int, family: int) -> None:
    """A placebo: 2,000 questions about attacks that do nothing, each with a family of tests that go together.

    A single test has a p below 0.05 in exactly 5% of them, and Holm's rule keeps a family at or below that.
    """
    rng, n_questions = np.random.default_rng(n), 2000
    before, after = (
        rng.normal(size=(n_questions, 1, n)) + 0.5 * rng.normal(size=(n_questions, family, n)) for _ in range(2)
    )
    corrected = [
        holm(np.array([paired_t(b, a)[0] for b, a in zip(*question, strict=True)]))
        for question in zip(before, after, strict=True)
    ]
    found = int((np.array(corrected) < 0.05).any(axis=1).sum())
    assert found <= binom.isf(1e-3, n_questions, 0.05)
    assert found >= binom.isf(1 - 1e-3, n_questions, 0.05 if family == 1 else 0.025)


def test_a_table_of_placebos_has_a_p_below_005_in_one_question_of_twenty() -> None:
    """The same from ``metrics.csv`` on: an attack and a defense that do nothing, on 15 datasets, ten metrics a cell."""
    rng, n_datasets, n = np.random.default_rng(0), 15, 3
    names = [f"{subject} {label}" for subject in ("target", "test") for label in LABELS]
    cells = [(attack, defense) for defense in ("none", "filter") for attack in ("none", "bad")]
    frames = [
        frame_of({cell: dict(zip(names, rng.normal(size=(len(names), n)).tolist(), strict=True)) for cell in cells})
        for _ in range(n_datasets)
    ]
    summary = summarise(pd.concat([part.assign(dataset=f"d{place}") for place, part in enumerate(frames)]))
    asked = summary.groupby(["dataset", "attack", "defense"])[["p", "defense_p"]].min().stack().dropna()
    assert len(asked) == 4 * n_datasets
    assert (summary[["p", "defense_p"]].notna().sum() == 2 * 2 * n_datasets).all(), "two tests in each question"
    assert int((asked < 0.05).sum()) <= binom.isf(1e-3, len(asked), 0.05)
