"""The number that ``objective`` names: which one it is, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeping import SMALL

from recpoison.command.cells import identify
from recpoison.command.config import check
from recpoison.command.objective import read_objective
from recpoison.command.overrides import compose_root
from recpoison.errors import ConfigError
from recpoison.train_attack_eval import main

ROWS = """dataset,model,attack,defense,seed,subject,metric,k,value,n
toy,mf,none,none,0,test,HR,10,0.5,4
toy,mf,none,none,0,test,AUC,,0.75,4
toy,mf,bad,none,0,test,HR,10,0.4,4
toy,mf,bad,none,0,surrogate,HR,10,0.9,4
toy,mf,bad,apr,0,test,HR,10,0.45,4
toy,mf,none,none,1,test,HR,10,0.7,4
toy,mf,none,none,1,test,AUC,,0.25,4
toy,mf,bad,none,1,test,HR,10,0.2,4
toy,mf,bad,none,1,surrogate,HR,10,0.7,4
toy,mf,bad,apr,1,test,HR,10,0.55,4
toy,mf,bad,apr,1,target,RobustnessImprovement,10,,0
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [("test.HR@10", (0.45 + 0.55) / 2), ("surrogate.HR@10", (0.9 + 0.7) / 2), ("test.AUC", (0.75 + 0.25) / 2)],
)
def test_it_is_the_mean_over_seeds_in_the_last_square_that_has_it(tmp_path, name, value):
    (tmp_path / "metrics.csv").write_text(ROWS)
    assert read_objective(name, tmp_path) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "test.HR@1",
            "the run measured no test.HR@1; did you mean test.HR@10?; it has test.HR@10, test.AUC, ",
        ),
        ("target.RobustnessImprovement@10", "RobustnessImprovement@10 is not defined in this run"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(tmp_path, name, said):
    (tmp_path / "metrics.csv").write_text(ROWS)
    with pytest.raises(ConfigError, match=name) as told:
        read_objective(name, tmp_path)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("HR@50", "objective is HR@50: write SUBJECT.METRIC@K, such as target.HR@50, with one of target, test, "),
        ("tset.HR@50", "objective is tset.HR@50: write SUBJECT.METRIC@K"),
        ("test.HR@5", "objective is test.HR@5, but evaluation.cutoffs has no 5: it has 10, 50"),
        ("test.Recall@10", "but evaluation.metrics has no Recall: it has HR, NDCG, AUC, MeanRank, RankShift"),
    ],
)
def test_what_can_be_seen_before_a_run_is_refused_before_it(name, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([f"objective={name}"]) == 2
    assert said in capsys.readouterr().err
    assert not Path("outputs/store").exists()


def test_improvement_of_a_defense_is_known_by_the_run_alone():
    check(compose_root(["objective=target.RobustnessImprovement@50"]))


def test_it_is_outside_the_hash():
    plain, named = compose_root([]), compose_root(["objective=target.HR@50"])
    assert plain.objective is None
    assert identify(plain, {}) == identify(named, {})


def test_a_single_run_prints_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, "objective=target.HR@5", "hydra.run.dir=outputs/a"]) == 0
    assert f"objective target.HR@5: {read_objective('target.HR@5', Path('outputs/a')):.6g}\n" in capsys.readouterr().out
