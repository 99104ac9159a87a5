"""Numbers in order, held to numpy's own way, and to tables by hand."""

import numpy as np
import pytest

from recpoison.data.pairs import begins, distinct, in_order, present

KEYS = {
    "none": [],
    "one": [7],
    "equal ones": [5, 1, 5, 1, 1, 0],
    "below zero": [3, -1, 3, -9],
    "too large to carry a place": [2**62, 0, 2**62, 5],
    "the largest that carry one": [2**61 - 1, 0, 2**61 - 1, 5],
    "many": np.random.default_rng(0).integers(0, 300, 2000),
}


@pytest.mark.parametrize("keys", KEYS.values(), ids=KEYS)
def test_numbers_in_order_are_those_of_a_stable_sort(keys):
    keys = np.asarray(keys, dtype=np.int64)
    order, ordered = in_order(keys)
    assert order.tolist() == np.argsort(keys, kind="stable").tolist()
    assert ordered.tolist() == sorted(keys.tolist())
    assert order.dtype == ordered.dtype == np.int64
    assert distinct(keys).tolist() == sorted(set(keys.tolist()))
    assert order[begins(ordered)].tolist() == np.unique(keys, return_index=True)[1].tolist()


def test_by_hand():
    order, ordered = in_order(np.array([4, 2, 4, 2, 9]))
    assert order.tolist() == [1, 3, 0, 2, 4]
    assert ordered.tolist() == [2, 2, 4, 4, 9]
    assert begins(ordered).tolist() == [True, False, True, False, True]
    assert distinct(np.array([[4, 2], [2, 9]])).tolist() == [2, 4, 9]
    assert present(np.array([3, 0, 3]), 5).tolist() == [True, False, False, True, False]


def test_smaller_integers_are_put_in_order_too():
    keys = np.random.default_rng(1).integers(0, 2**31, 100_000).astype(np.int32)  # with its place no int32 holds one
    assert np.array_equal(in_order(keys)[0], np.argsort(keys, kind="stable"))
