"""Robustness improvement by hand, from the paper's table, and where there is nothing to undo."""

import pytest

from recpoison.evaluation.base import Measure
from recpoison.evaluation.robustness import robustness_improvement


def rates(**by_cutoff: float) -> list[Measure]:
    """HR of the targets, beside numbers that have no part in it."""
    others = [Measure("test", "HR", 50, 0.9, 100), Measure("target", "NDCG", 50, 0.9, 100)]
    return others + [Measure("target", "HR", int(k[1:]), value, 100) for k, value in by_cutoff.items()]


def test_the_papers_numbers():
    """APT, table 2, filmtrust, average: origin 0.1290, attack 0.3126, AT 0.1308 and APT 0.1119."""
    for defended, want in ((0.1308, 0.9902), (0.1119, 1.0931), (0.3126, 0.0), (0.4, -0.4760)):
        found, left_out = robustness_improvement(rates(k50=0.1290), rates(k50=0.3126), rates(k50=defended))
        assert not left_out
        assert [(m.subject, m.metric, m.k, m.n) for m in found] == [("target", "RobustnessImprovement", 50, 100)]
        assert found[0].value == pytest.approx(want, abs=1e-4)


def test_each_cutoff_has_its_own_and_none_where_nothing_rose():
    found, left_out = robustness_improvement(rates(k5=0.0, k50=0.1), rates(k5=0.0, k50=0.5), rates(k5=0.2, k50=0.2))
    assert [(m.k, m.value) for m in found] == [(50, pytest.approx(0.75))]
    assert left_out == [
        "no RobustnessImprovement@5, because the attack without a defense did not raise the targets' HR@5"
    ]


def test_without_rates_of_targets_there_is_nothing():
    assert robustness_improvement(rates(), rates(), rates()) == ([], [])
