"""Directions and projections against hand arithmetic."""

import pytest
import torch

from recpoison.algebra.perturbation import direction, project, row_lengths

G = {"user": torch.tensor([[3.0, -4.0], [0.0, 0.0]]), "item": torch.tensor([[0.0, 12.0]])}


@pytest.mark.parametrize(
    ("kind", "user", "item"),
    [
        ("row_l2", [[0.6, -0.8], [0, 0]], [[0, 1]]),
        ("matrix_l2", [[3 / 13, -4 / 13], [0, 0]], [[0, 12 / 13]]),  # sqrt(9 + 16 + 144) = 13, over both tables
        ("sign", [[1, -1], [0, 0]], [[0, 1]]),
        ("value", [[3, -4], [0, 0]], [[0, 12]]),
    ],
)
def test_directions(kind, user, item):
    found = direction(G, kind)
    assert found["user"].tolist() == [pytest.approx(row) for row in user]
    assert found["item"].tolist() == [pytest.approx(row) for row in item]
    assert (found["user"][1] == 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e15])
def test_rows_have_norm_one_whatever_the_scale_of_the_loss(scale):
    found = direction({"user": torch.tensor([[3.0, -4.0]]) * scale}, "row_l2")
    assert found["user"].tolist() == [pytest.approx([0.6, -0.8])]
    assert row_lengths(torch.tensor([[3.0, -4.0]]) * scale).item() == pytest.approx(5 * scale)


def test_projections():
    shift = {"user": torch.tensor([[3.0, -4.0], [0.3, 0.4]])}
    assert project(shift, 1.0, "box")["user"].tolist() == [[1, -1], [pytest.approx(0.3), pytest.approx(0.4)]]
    assert project(shift, 1.0, "row_l2")["user"].tolist() == [
        [pytest.approx(0.6), pytest.approx(-0.8)],
        [pytest.approx(0.3), pytest.approx(0.4)],
    ]
    assert torch.equal(project(shift, 1.0, "none")["user"], shift["user"])
    assert (project(shift, 0.0, "row_l2")["user"] == 0).all()
    assert shift["user"].tolist()[0] == [3, -4]


def test_nothing_is_longer_than_the_ball():
    table = torch.randn(1000, 64, generator=torch.Generator().manual_seed(0))
    assert row_lengths(project({"t": table}, 0.5, "row_l2")["t"].double()).max() <= 0.5 * (1 + 1e-6)


@pytest.mark.parametrize("call", [lambda: direction(G, "l1"), lambda: project(G, 1.0, "l1")])
def test_unknown_names_are_refused(call):
    with pytest.raises(ValueError, match=r"'l1' is no .*choose one of"):
        call()
