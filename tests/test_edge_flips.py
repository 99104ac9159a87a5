"""Edges that change sides, on users and items and on nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from recpoison.data.graph import NodeGraph
from recpoison.data.interactions import Edges, Interactions, Scale
from recpoison.edge_flips import EdgeFlips
from recpoison.errors import BudgetExceeded, ConfigError


def array(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def data() -> Interactions:
    """Two users, three items: user 0 has items 0 and 1, user 1 item 2; zeros are (0, 2) and (1, 0)."""
    zeros = Edges(array(0, 1), array(2, 0))
    return Interactions([0, 0, 1], [0, 1, 2], [5, 3, 4], 2, 3, Scale(1, 5), times=[1, 2, 3], zeros=zeros)


def graph() -> NodeGraph:
    """A path of three nodes."""
    adjacency = sp.csr_matrix(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.float32))
    return NodeGraph(adjacency, sp.csr_matrix(np.eye(3, dtype=np.float32)), array(0, 1, 0), array(0, 1))


def pairs(edges: Edges) -> set[tuple[int, int]]:
    return set(zip(edges.users.tolist(), edges.items.tolist(), strict=True))


def test_an_inserted_and_a_deleted_edge_change_sides() -> None:
    flips = EdgeFlips(array(1, 0), array(0, 1), array(1, 0), eligible=2)
    before = data()
    flips.check(before, allowed=2)
    flipped = flips.apply(before)
    assert flipped.users.tolist() == [0, 1, 1]
    assert flipped.items.tolist() == [0, 2, 0]
    assert flipped.values.tolist() == [5, 4, 5], "an inserted row holds the best rating"
    assert flipped.times.tolist() == [1, 3, 3]
    assert pairs(flipped.zeros) == {(0, 2), (0, 1)}
    assert pairs(before.zeros) == {(0, 2), (1, 0)}, "what was given stays"
    assert flipped.labelled().labels.tolist() == [1, 1, 1, 0, 0]
    assert flipped.fingerprint != before.fingerprint


def test_all_pairs_of_an_added_user_are_zeros_but_those_it_was_given() -> None:
    flips = EdgeFlips(array(2), array(0), array(1), eligible=4, n_new_users=2, given=Edges(array(3), array(1)))
    flips.check(data(), allowed=1)
    flipped = flips.apply(data())
    assert flipped.n_users == 4
    assert set(zip(flipped.users.tolist(), flipped.items.tolist(), strict=True)) >= {(2, 0), (3, 1)}
    assert pairs(flipped.zeros) == {(0, 2), (1, 0), (2, 1), (2, 2), (3, 0), (3, 2)}


def test_a_pair_of_nodes_changes_both_ways() -> None:
    flips = EdgeFlips(array(0, 1), array(2, 2), array(1, 0), eligible=2)
    before = graph()
    flips.check(before, allowed=2)
    flipped = flips.apply(before)
    assert flipped.adjacency.toarray().tolist() == [[0, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert before.adjacency.toarray().tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]
    assert flipped.fingerprint != before.fingerprint
    assert flipped.n_edges == 2


@pytest.mark.parametrize(
    ("flips", "message"),
    [
        (EdgeFlips(array(0), array(0), array(1), 2), "an inserted edge was no zero"),
        (EdgeFlips(array(0), array(2), array(0), 2), "a deleted edge was no row"),
        (EdgeFlips(array(0, 0), array(2, 2), array(1, 1), 2), "named twice"),
        (EdgeFlips(array(2), array(0), array(1), 2), "no user and item of the data"),
        (EdgeFlips(array(0), array(3), array(1), 2), "no user and item of the data"),
        (EdgeFlips(array(0), array(2), array(2), 2), "neither 0 nor 1"),
        (EdgeFlips(array(2), array(1), array(1), 2, 1, Edges(array(2), array(1))), "an inserted edge was no zero"),
        (EdgeFlips(array(), array(), array(), 2, 1, Edges(array(1), array(0))), "no user and item of the data"),
    ],
)
def test_what_the_data_cannot_hold_is_refused(flips: EdgeFlips, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flips.check(data(), allowed=9)


@pytest.mark.parametrize(
    ("flips", "message"),
    [
        (EdgeFlips(array(1), array(1), array(1), 2), "lower number first"),
        (EdgeFlips(array(2), array(0), array(1), 2), "lower number first"),
        (EdgeFlips(array(0), array(1), array(1), 2), "leaves its pair as it is"),
        (EdgeFlips(array(0), array(2), array(0), 2), "leaves its pair as it is"),
        (EdgeFlips(array(0, 0), array(2, 2), array(1, 1), 2), "named twice"),
    ],
)
def test_what_a_graph_cannot_hold_is_refused(flips: EdgeFlips, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flips.check(graph(), allowed=9)


def test_more_than_the_budget_is_refused() -> None:
    with pytest.raises(BudgetExceeded, match=r"flips 2 edges, but its budget allows 1"):
        EdgeFlips(array(0, 1), array(2, 0), array(1, 1), 2).check(data(), allowed=1)


def test_a_part_is_the_first_in_order() -> None:
    flips = EdgeFlips(array(0, 1), array(2, 0), array(1, 1), eligible=2)
    assert flips.first(1).columns.tolist() == [2]
    assert flips.first(None, 0.5).columns.tolist() == [2]
    assert flips.first(2) is flips
    seen = EdgeFlips(*(np.arange(5),) * 2, np.ones(5), 9, trace={"Accuracy": np.arange(3)}, per_step=2)
    assert [len(seen.first(n).trace["Accuracy"]) for n in (1, 2, 3, 4)] == [1, 1, 2, 2], "looks before these flips"
    with pytest.raises(ConfigError, match=r"attack\.plan holds 2 flips, but 3 are asked for"):
        flips.first(3)


def test_it_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    flips = EdgeFlips(
        array(2), array(0), array(1), 4, 2, Edges(array(3), array(1)), {"Accuracy": np.array([0.5, 0.25])}
    )
    flips.save(tmp_path / "change.npz")
    read = EdgeFlips.load(tmp_path / "change.npz")
    assert read.arrays().keys() == flips.arrays().keys()
    for name, found in read.arrays().items():
        assert np.array_equal(found, flips.arrays()[name]), name
    assert read.facts() == {
        "flips": 1,
        "inserted": 1,
        "deleted": 0,
        "share_of": 4,
        "these_are": "training zeros",
        "new_users": 2,
    }
    assert "25.00% of the 4 training zeros, at 2 added users with 1 edges of their own" in read.in_words(3)


def test_zeros_of_rows_are_refused_beyond_the_sizes() -> None:
    with pytest.raises(ValueError, match="item ids run from 0 to 3, but there are 3 items"):
        replace(data(), zeros=Edges(array(0), array(3)))
