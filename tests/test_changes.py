"""What a shift of embeddings says about its size."""

import numpy as np
import pytest
import torch

from recpoison.changes import Budget, EmbeddingShift, FakeProfiles, least_share
from recpoison.errors import ConfigError

SHIFT = EmbeddingShift(
    {"user": torch.tensor([[3.0, -4.0], [0.0, 0.0]]), "item": torch.tensor([[0.0, 12.0], [1.0, 0.0]])}
)


def test_norms_by_hand():
    assert SHIFT.norms() == {
        "user": {"row_l2": 5.0, "mean_row_l2": 5.0, "linf": 4.0, "rows": 1.0},
        "item": {"row_l2": 12.0, "mean_row_l2": 6.5, "linf": 12.0, "rows": 2.0},
    }
    assert SHIFT.used("row_l2") == 12
    assert SHIFT.used("linf") == 12
    assert SHIFT.used("matrix_l2") == pytest.approx(170**0.5)  # 25 + 144 + 1


def test_arrays_hold_the_shift_and_the_norms():
    arrays = SHIFT.arrays()
    assert arrays["user"].tolist() == [[3, -4], [0, 0]]
    assert arrays["item/mean_row_l2"] == np.array(6.5)


def test_sizes_in_words():
    fakes = FakeProfiles(np.array([0, 0, 1]), np.array([2, 3, 2]), np.ones(3), 2, np.array([2]))
    assert fakes.in_words(1500) == (
        "2 fake users with 1.5 rows each on average, 3 in all: 0.20% of the 1,500 real rows"
    )
    assert SHIFT.in_words(1500) == "the longest shift of a row is 12 (L2), the largest entry 12"


def test_an_unknown_table_is_refused():
    with pytest.raises(ValueError, match="no table item among user"):
        SHIFT.apply({"user": torch.zeros(2, 2)})


@pytest.mark.parametrize("n_users", [1, 7, 60, 796, 900, 943, 6040, 13149])
def test_the_smallest_share_is_enough(n_users):
    share = least_share(n_users)
    assert Budget(share).fake_users(n_users) >= 1
    assert share <= max(1.1 / n_users, 1e-9) or n_users == 1


def test_the_first_fake_users_are_those_of_a_smaller_attack():
    """Three users of one, two and one rows, in no order; their trace is of all three."""
    profile, items = np.array([2, 0, 1, 1]), np.array([4, 1, 2, 3])
    fakes = FakeProfiles(profile, items, np.ones(4), 3, np.array([1]), {"HR": np.array([0.5])}, 10, 0)
    first = fakes.first(2)
    assert (first.n_fakes, first.profile.tolist(), first.items.tolist()) == (2, [0, 1, 1], [1, 2, 3])
    assert (first.trace, first.best) == ({}, None)
    with pytest.raises(ConfigError, match=r"curve_fakes has 4, but the attack makes 3 fake users: raise attack.n_fake"):
        fakes.first(4)
