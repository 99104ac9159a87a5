"""The theorems' figure shows the theorems' numbers, and says where they promise nothing."""

import numpy as np
import pytest

from recpoison.evaluation.tolerated_poison import drawn, tolerated, tolerated_by_apt
from recpoison.report.tolerated_figure import SIZES, draw_tolerated


@pytest.fixture(scope="module")
def panels():
    return draw_tolerated(spreads=(1.0, 2.0, 4.0)).axes


def lines(axes) -> dict[str, tuple[list[float], list[float]]]:
    shown = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in shown}


def test_the_numbers_are_the_bounds(panels):
    plain, _, with_erm = panels
    n = SIZES["ml_100k"]
    found = drawn(n, 64, 1.0, np.random.default_rng(0))
    places, values = lines(plain)["sigma 1 (P ≥ 0.96)"]
    own = {"n": n, "d": 64, "sigma": 1.0, "beta": 0.05, "alpha": found["alpha"], "gamma": found["gamma"]}
    assert values[places.index(n)] == pytest.approx(tolerated(**own) / n)
    places, values = lines(with_erm)["sigma 1 (P ≥ 0.96)"]
    expected = tolerated_by_apt(**own, n_star=0.05 * n, tau=found["tau"]) / n
    assert values[places.index(0.05)] == pytest.approx(expected)


def test_where_nothing_is_promised_is_said(panels):
    for axes in panels:
        (said,) = (text.get_text() for text in axes.texts if text.get_text().startswith("vacuous"))
        assert "sigma 4 everywhere" in said
        assert "sigma 1 " not in said
        assert not [label for label in lines(axes) if label.startswith("sigma 4")]
