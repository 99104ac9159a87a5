import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from given_scores import CPU, given
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split
from recpoison.errors import UserError
from recpoison.evaluation.counting import Counts, Rows, count, count_in_bulk
from recpoison.evaluation.ranks import Ranks, block_height, rank_items
from recpoison.models.base import Fitted, Model
from recpoison.progress import Progress

NO_TARGETS = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Factors(Model):
    def fit(self, data, seeds, device, progress, monitor=None):
        raise NotImplementedError

    def scores(self, params, data, users):
        return params["users"].index_select(0, users) @ params["items"].T


def table_of(pairs, n_users: int, n_items: int) -> Interactions:
    users, items = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2).T
    return Interactions(users, items, np.ones(len(users)), n_users, n_items)


def ranked(scores, split: Split, targets=NO_TARGETS, list_length: int = 3, **kwargs) -> Ranks:
    return rank_items(
        given(scores, split), split, np.asarray(targets), CPU, Progress(), list_length=list_length, **kwargs
    )


def test_by_hand():
    """User 0 has seen item 0; item 3 is held out; items 1, 2, 4 compete. User 1 owns target 4."""
    split = Split(table_of([(0, 0), (1, 4)], 2, 5), table_of([(0, 3), (1, 0)], 2, 5))
    scores = torch.tensor([[9.0, 5, 2, 2, 1], [1, 1, 3, 0, 2]])
    found = ranked(scores, split, [4, 2])
    assert found.test.users.tolist() == [0, 1]
    assert found.test.items.tolist() == [3, 0]
    assert found.test.above.tolist() == [1, 1]
    assert found.test.ties.tolist() == [1, 1]
    assert found.test.candidates.tolist() == [4, 4]
    assert found.target.users.tolist() == [0, 0, 1, 1]
    assert found.target.items.tolist() == [4, 2, 4, 2]
    assert found.target.above.tolist() == [3, 1, 1, 0]
    assert found.target.ties.tolist() == [0, 1, 0, 0]
    assert found.target.candidates.tolist() == [4, 4, 5, 4]
    assert found.target.owned.tolist() == [False, False, True, False]
    assert found.lists.tolist() == [[1, 2, 3], [2, 0, 1]]
    assert found.item_counts.tolist() == [1, 0, 0, 0, 1]


def test_seen_items_are_never_recommended_even_where_scores_are_negative():
    """APT's code multiplies a seen item's score by 1 - 99,999, so that a negative one comes out on top."""
    split = Split(table_of([(0, 0), (0, 1)], 1, 5), table_of([(0, 3)], 1, 5))
    scores = torch.tensor([[-4.0, -0.5, -3, -2, -1]])
    multiplied = scores * torch.tensor([1 - 99_999.0, 1 - 99_999, 1, 1, 1])
    assert multiplied.argsort(descending=True)[0, :2].tolist() == [0, 1]
    found = ranked(scores, split, [2])
    assert found.lists.tolist() == [[4, 3, 2]]
    assert found.test.above.tolist() == [1]
    assert found.target.above.tolist() == [2]


def test_validation_items_are_seen_and_held_out_items_always_candidates():
    split = Split(table_of([(0, 0), (0, 1)], 1, 4), table_of([(0, 1)], 1, 4), table_of([(0, 2)], 1, 4))
    found = ranked(torch.tensor([[4.0, 3, 2, 1]]), split, [2])
    assert found.lists.tolist() == [[1, 3, -1]]
    assert (found.test.above[0], found.test.candidates[0], found.test.owned[0]) == (0, 2, True)
    assert (found.target.above[0], found.target.candidates[0], found.target.owned[0]) == (1, 3, True)


def plain_count(scores, pool, allowed, held, queries, k):
    """One user, in plain Python."""
    everything = range(len(scores))
    candidates = (set(pool) if allowed else set(everything) - set(pool)) | set(held)
    rows = []
    for item in queries:
        others = candidates - {item}
        above = sum(scores[other] > scores[item] for other in others)
        ties = sum(scores[other] == scores[item] for other in others)
        rows.append((above, ties, len(others) + 1))
    best = sorted(candidates, key=lambda item: (-scores[item], item))[:k]
    return rows, best + [-1] * (k - len(best))


def random_rows(rng, n_users: int, n_items: int, most: int) -> Rows:
    lists = [rng.choice(n_items, rng.integers(0, min(most, n_items) + 1), replace=False) for _ in range(n_users)]
    starts = np.concatenate([[0], np.cumsum([len(items) for items in lists])])
    return Rows(starts, np.concatenate(lists).astype(np.int32))


@settings(max_examples=60, deadline=None)
@drawn(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 400), st.booleans(), st.sampled_from(["f4", "f8"]))
def test_counting_equals_plain_python(seed, n_users, n_items, allowed, dtype):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-1, rng.integers(1, 60), (n_users, n_items)).astype(dtype)
    if seed % 2:
        scores = scores + rng.normal(size=scores.shape).astype(dtype)
    pool, held, queries = (random_rows(rng, n_users, n_items, most) for most in (n_items, 5, 7))
    k = int(rng.integers(0, n_items + 1))
    for counting in (count, count_in_bulk):
        found = Counts.empty(len(queries.items), n_users, k)
        assert counting(torch.from_numpy(scores), pool, allowed, held, queries, found)
        for user in range(n_users):
            mine = [rows.part(user, user + 1).items.tolist() for rows in (pool, held, queries)]
            rows, best = plain_count(scores[user], mine[0], allowed, mine[1], mine[2], k)
            at = slice(queries.starts[user], queries.starts[user + 1])
            assert list(zip(found.above[at], found.ties[at], found.candidates[at], strict=True)) == rows
            assert found.lists[user].tolist() == best


def random_split(rng, n_users: int, n_items: int) -> Split:
    cells = rng.permutation(n_users * n_items)[: n_users * 12]
    pairs = np.stack([cells // n_items, cells % n_items], axis=1)
    return Split(table_of(pairs[::2].tolist(), n_users, n_items), table_of(pairs[1::2].tolist(), n_users, n_items))


def same(left: Ranks, right: Ranks) -> bool:
    pairs = zip(left.arrays().values(), right.arrays().values(), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("n_users", [1, 63, 64, 65, 201])
def test_memory_does_not_change_ranks(n_users):
    rng = np.random.default_rng(n_users)
    split = random_split(rng, n_users, 2500)
    # Factors on a coarse grid make exact ties, which another rounding would break.
    params = {
        "users": torch.from_numpy(rng.integers(-9, 9, (n_users, 33)) / 7).float(),
        "items": torch.from_numpy(rng.integers(-9, 9, (2500, 33)) / 7).float(),
    }
    fitted = Fitted(Factors(), params, split.train)
    steps, found = [], []
    for memory_mb in (1, 3, 64):
        seen = []
        progress = Progress()
        progress.step = lambda done, total, seen=seen, **figures: seen.append(done)
        found.append(rank_items(fitted, split, np.array([5]), CPU, progress, list_length=20, memory_mb=memory_mb))
        steps.append(seen)
    assert same(found[0], found[1])
    assert same(found[0], found[2])
    assert len(steps[2]) == 1
    assert len(steps[0]) == -(-n_users // 64)


def test_some_users_alone_rank_as_among_all():
    rng = np.random.default_rng(3)
    split = random_split(rng, 150, 40)
    scores = torch.from_numpy(rng.normal(size=(150, 40)))
    everyone, some = ranked(scores, split), ranked(scores, split, users=np.array([2, 70, 149]))
    rows = np.isin(everyone.test.users, [2, 70, 149])
    assert np.array_equal(some.test.above, everyone.test.above[rows])
    assert np.array_equal(some.test.items, everyone.test.items[rows])
    assert np.array_equal(some.lists, everyone.lists[[2, 70, 149]])


def test_fake_users_are_neither_scored_nor_counted():
    split = random_split(np.random.default_rng(0), 70, 30)
    scored = []

    @dataclass(frozen=True)
    class Spy(Model):
        def fit(self, data, seeds, device, progress, monitor=None):
            raise NotImplementedError

        def scores(self, params, data, users):
            assert len(users) == block_height(data.n_items)
            scored.extend(users.tolist())
            return torch.rand(len(users), data.n_items)

    poisoned = split.train.with_fake_users(np.zeros(3, dtype=int), np.array([0, 1, 2]), np.ones(3), 9)
    found = rank_items(Fitted(Spy(), {}, poisoned), split, np.array([1]), CPU, Progress(), list_length=5)
    assert max(scored) == 69
    assert found.list_users.tolist() == list(range(70))
    assert found.item_counts.sum() == split.train.n_pairs


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_no_numbers_are_refused(bad):
    split = random_split(np.random.default_rng(0), 10, 30)
    scores = torch.zeros(10, 30)
    scores[9, 29] = bad
    with pytest.raises(
        UserError,
        match=r"GivenScores\.scores gave (nan|-?inf) for user 9 and item 29",
    ):
        ranked(scores, split)
    nothing = Rows(np.zeros(11, dtype=np.int64), NO_TARGETS)
    assert not count_in_bulk(scores, nothing, False, nothing, nothing, Counts.empty(0, 10, 3))


def test_a_models_own_table_is_not_changed():
    split = random_split(np.random.default_rng(0), 64, 30)
    scores = torch.rand(64, 30)
    before = scores.clone()

    @dataclass(frozen=True)
    class Shared(Model):
        def fit(self, data, seeds, device, progress, monitor=None):
            raise NotImplementedError

        def scores(self, params, data, users):
            return scores[:1].expand(len(users), -1)

    rank_items(Fitted(Shared(), {}, split.train), split, NO_TARGETS, CPU, Progress(), list_length=5)
    assert torch.equal(scores, before)


def test_saved_and_loaded(tmp_path):
    split = random_split(np.random.default_rng(0), 20, 30)
    found = ranked(torch.rand(20, 30), split, [3, 4])
    found.save(tmp_path / "ranks.npz")
    assert same(Ranks.load(tmp_path / "ranks.npz"), found)
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.npz"]
    with np.load(tmp_path / "ranks.npz", allow_pickle=False) as file:
        assert {"test_above", "target_owned", "lists", "item_counts"} < set(file.files)


def test_block_height_depends_on_the_catalogue_alone():
    assert [block_height(n) for n in (5, 14_007, 2**18, 2**20, 2**30)] == [64, 64, 64, 16, 1]


@pytest.mark.slow
@pytest.mark.parametrize("n_users", [13_149, 50_000])
def test_peak_memory_stays_under_a_gigabyte(n_users):
    """The whole process on 14,007 items: interpreter, torch, numba and data included."""
    root = Path(__file__).parents[2]
    command = [sys.executable, str(root / "scripts" / "benchmark_evaluation.py"), "--memory-of", str(n_users)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert json.loads(done.stdout)["peak_mb"] < 1000
