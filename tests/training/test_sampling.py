"""Negatives: exact, uniform, and decided by seed and epoch alone."""

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.errors import DataError
from recpoison.seeds import Seeds
from recpoison.training.sampling import DevicePairs, Pairs, unseen_items


def implicit(users: list[int], items: list[int], n_users: int, n_items: int) -> Interactions:
    return Interactions(np.array(users), np.array(items), np.ones(len(users)), n_users, n_items)


def test_the_rth_unseen_item_by_hand():
    """User 0 of two saw 0, 2, 3 of six items: its unseen items are 1, 4, 5. User 1 saw 5: 0 to 4 are left."""
    pairs = Pairs.of(implicit([0, 0, 0, 1], [3, 0, 2, 5], 2, 6))
    shares = np.array([0.0, 0.34, 0.67, 0.999999])
    users = np.zeros(4, dtype=np.int32)
    tables = (pairs.indptr, pairs.gaps, pairs.n_unseen)
    assert unseen_items(users, shares, *tables).tolist() == [1, 4, 5, 5]
    assert unseen_items(users + 1, np.array([0.0, 0.2, 0.5, 0.999]), *tables).tolist() == [0, 1, 2, 4]
    on_device = DevicePairs.of(pairs, torch.device("cpu"))
    assert on_device.negatives(torch.zeros(4).long(), torch.from_numpy(shares)).tolist() == [1, 4, 5, 5]


def test_every_unseen_item_is_equally_likely_and_no_seen_one_comes(seeds):
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((300, 23)) < 0.5)
    data = Interactions(users, items, np.ones(len(users)), 300, 23)
    pairs, seen = Pairs.of(data), data.seen.toarray() > 0
    expected, counts = np.zeros(23), np.zeros(23)
    for epoch in range(40):
        negatives = pairs.negatives(pairs.draws(seeds, epoch)[1])
        assert not seen[pairs.users, negatives].any()
        counts += np.bincount(negatives, minlength=23)
    for user, n in zip(*np.unique(pairs.users, return_counts=True), strict=True):
        expected += 40 * n * ~seen[user] / (~seen[user]).sum()
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 60, "22 degrees of freedom: more than 60 happens once in 50,000"


def test_numba_and_torch_find_the_same_items(planted, seeds):
    pairs = Pairs.of(planted.train)
    order, uniforms = pairs.draws(seeds, 3)
    users, items, negatives = DevicePairs.of(pairs, torch.device("cpu")).epoch(seeds, 3)
    assert torch.equal(negatives, torch.from_numpy(pairs.negatives(uniforms)[order]).long())
    assert torch.equal(users, torch.from_numpy(pairs.users[order]).long())
    assert torch.equal(items, torch.from_numpy(pairs.items[order]).long())


def test_an_epoch_visits_each_pair_once_and_depends_on_seed_and_epoch(planted):
    pairs = Pairs.of(planted.train)
    first, uniforms = pairs.draws(Seeds(0), 0)
    assert np.array_equal(np.sort(first), np.arange(len(pairs)))
    again, other_epoch, other_seed = (pairs.draws(Seeds(s), e)[1] for s, e in ((0, 0), (0, 1), (1, 0)))
    assert np.array_equal(uniforms, again)
    assert not np.intersect1d(uniforms, other_epoch).size
    assert not np.intersect1d(uniforms, other_seed).size
    assert len(np.unique(uniforms)) == len(uniforms), "one stream for the whole epoch, no repeats between batches"


def test_negatives_do_not_depend_on_how_pairs_are_divided(planted, seeds):
    pairs = Pairs.of(planted.train)
    _, uniforms = pairs.draws(seeds, 0)
    parts = [
        unseen_items(u, x, pairs.indptr, pairs.gaps, pairs.n_unseen)
        for u, x in zip(np.array_split(pairs.users, 7), np.array_split(uniforms, 7), strict=True)
    ]
    assert np.array_equal(np.concatenate(parts), pairs.negatives(uniforms))


def test_duplicate_rows_count_once_and_their_order_is_no_matter():
    one = Pairs.of(implicit([1, 0, 0], [2, 1, 0], 2, 4))
    other = Pairs.of(implicit([0, 0, 1, 0], [0, 1, 2, 0], 2, 4))
    assert np.array_equal(one.users, other.users)
    assert np.array_equal(one.items, other.items)
    assert one.users.tolist() == [0, 0, 1]


def test_a_user_who_has_seen_everything_is_left_out():
    pairs = Pairs.of(implicit([0, 0, 1, 2], [0, 1, 1, 0], 3, 2))
    assert pairs.users.tolist() == [1, 2]
    assert pairs.negatives(np.array([0.5, 0.5])).tolist() == [0, 1]
    assert DevicePairs.of(pairs, torch.device("cpu")).negatives(
        torch.tensor([1, 2]), torch.tensor([0.5, 0.5]).double()
    ).tolist() == [0, 1]


def test_nothing_to_contrast_is_an_error():
    with pytest.raises(DataError, match="no user has both"):
        Pairs.of(implicit([0, 0], [0, 1], 1, 2))


def test_draws_by_users_are_of_their_pairs_and_of_nothing_seen():
    """User 0 has seen all, so has no negative; users 1 and 3 have pairs, user 2 has none."""
    data = implicit([0, 0, 0, 0, 1, 3, 3, 3], [0, 1, 2, 3, 2, 0, 1, 3], 4, 4)
    pairs = DevicePairs.of(Pairs.of(data), torch.device("cpu"))
    draws = [pairs.epoch_by_users(Seeds(0), epoch) for epoch in range(600)]
    users, items, negatives = (torch.cat(column) for column in zip(*draws, strict=True))
    assert len(users) == 600 * len(pairs.users)
    seen = torch.from_numpy(data.seen.toarray() > 0)
    assert seen[users, items].all()
    assert not seen[users, negatives].any()
    shares = torch.zeros(4, 4).index_put_((users, items), torch.ones(len(users)), accumulate=True) / len(users)
    want = torch.tensor([[0, 0, 0, 0], [0, 0, 1 / 2, 0], [0, 0, 0, 0], [1 / 6, 1 / 6, 0, 1 / 6]])
    torch.testing.assert_close(shares, want, atol=0.025, rtol=0)
    assert negatives[users == 1].unique().tolist() == [0, 1, 3]
    assert all(torch.equal(a, b) for a, b in zip(draws[3], pairs.epoch_by_users(Seeds(0), 3), strict=True))
