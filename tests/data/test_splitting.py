import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recpoison.data.interactions import Interactions
from recpoison.data.splitting import Split, Splitter
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds


def table(users: list[int], items: list[int], times: list[float] | None = None) -> Interactions:
    n = len(users)
    clock = None if times is None else np.array(times, dtype=float)
    return Interactions(
        np.array(users), np.array(items), np.arange(n) + 1.0, max(users) + 1, max(items) + 1, None, clock
    )


def pairs(data: Interactions | None) -> list[tuple[int, int]]:
    return [] if data is None else list(zip(data.users.tolist(), data.items.tolist(), strict=True))


def split(splitter: Splitter, data: Interactions, given: np.ndarray | None = None, seed: int = 0) -> Split:
    return splitter.split(data, Seeds(seed), Progress(), given)


def test_last_by_time_and_in_a_tie_by_file_order():
    data = table([0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 2, 2], [5, 7, 9, 7, 1, 7])
    parts = split(Splitter("leave_one_out_last"), data)
    assert pairs(parts.test) == [(0, 1), (1, 2)]
    assert pairs(parts.train) == [(0, 0), (1, 0), (1, 1), (0, 2)]
    assert parts.valid is None
    assert parts.test.values.tolist() == [3.0, 6.0]
    assert parts.held_out == "each user's last row by time (of equal times the last in the file)"


class Notes(Progress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def noted(splitter: Splitter, data: Interactions) -> list[str]:
    notes = Notes()
    splitter.split(data, Seeds(0), notes)
    return notes.texts


def test_users_for_whom_file_order_decides_are_counted():
    """User 0's last time is tied; of user 1 the times before the last are; user 2's are all apart."""
    data = table([0, 0, 0, 1, 1, 1, 2, 2, 2], [0, 1, 2] * 3, [1, 5, 5, 3, 3, 4, 1, 2, 3])
    last = "the last time of 1 of 3 users is shared by several rows: file order decides which is the test row"
    valid = (
        "the time where the validation rows begin of 1 of 3 users is shared by several rows: "
        "file order decides which are validation rows"
    )
    assert noted(Splitter("leave_one_out_last"), data) == [last]
    assert noted(Splitter("leave_one_out_last", validation=1), data) == [last, valid]
    two_of_three = "the time where the test rows begin of 1 of 3 users is shared by several rows: "
    assert noted(Splitter("ratio_last", test=0.6), data) == [two_of_three + "file order decides which are test rows"]
    assert noted(Splitter("leave_one_out_random"), data) == []
    apart = table([0, 0, 1, 1], [0, 1, 0, 1], [1, 2, 2, 1])
    assert noted(Splitter("leave_one_out_last"), apart) == []


def test_the_same_pair_twice_at_one_time_decides_nothing():
    assert noted(Splitter("leave_one_out_last"), table([0, 0, 0], [0, 1, 1], [1, 2, 2])) == []


@pytest.mark.parametrize(
    ("splitter", "words"),
    [
        (Splitter("leave_one_out_last", validation=1), "; validation: the last row of each user's rest"),
        (Splitter("ratio_last", validation=0.1), "; validation: the last 10% of the rest"),
        (Splitter("ratio", validation=0.1), "a random 20% of each user's rows; validation: a random 10% of the rest"),
        (
            Splitter("leave_one_out_random", validation=1),
            "one random row of each user; validation: one random row of each user's rest",
        ),
    ],
)
def test_the_protocol_says_how_validation_rows_were_taken(splitter: Splitter, words: str):
    data = table([0] * 20, list(range(20)), list(range(20)))
    assert split(splitter, data).held_out.endswith(words)


def test_without_times_the_source_may_mark_the_last():
    data = table([0, 0, 1, 1], [0, 1, 0, 1])
    parts = split(Splitter("leave_one_out_last"), data, np.array([True, False, False, True]))
    assert pairs(parts.test) == [(0, 0), (1, 1)]
    with pytest.raises(DataError, match=r"needs times.*dataset.split.method=leave_one_out_random"):
        split(Splitter("leave_one_out_last"), data)


def test_validation_by_time_comes_before_the_test_row():
    data = table([0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 0, 1], [4, 3, 2, 1, 1, 2])
    parts = split(Splitter("leave_one_out_last", validation=1), data)
    assert pairs(parts.test) == [(0, 0), (1, 1)]
    assert pairs(parts.valid) == [(0, 1)]  # user 1 has one row left, and keeps it
    assert pairs(parts.train) == [(0, 2), (0, 3), (1, 0)]


def test_random_leave_one_out_is_uniform_and_repeats():
    data = table([0] * 4 + [1] * 4, [0, 1, 2, 3] * 2)
    drawn = [split(Splitter("leave_one_out_random"), data, seed=s) for s in range(400)]
    counts = np.bincount([parts.test.items[0] for parts in drawn], minlength=4)
    assert counts.sum() == 400
    assert ((counts > 60) & (counts < 140)).all()  # 100 expected, standard deviation 8.7
    again = split(Splitter("leave_one_out_random"), data, seed=3)
    assert pairs(again.test) == pairs(drawn[3].test)


@pytest.mark.parametrize(("share", "held"), [(0.2, 2), (0.25, 3), (0.5, 5), (0.99, 9)])
def test_ratio_rounds_half_up_and_never_takes_all(share: float, held: int):
    data = table([0] * 10 + [1], [*range(10), 0])
    parts = split(Splitter("ratio", test=share), data)
    assert len(parts.test) == held
    assert set(parts.test.users.tolist()) == {0}


def test_ratio_last_takes_the_end_of_each_user():
    data = table([0] * 5 + [1] * 5, [0, 1, 2, 3, 4] * 2, [5, 1, 4, 2, 3, 7, 7, 7, 7, 7])
    parts = split(Splitter("ratio_last", test=0.4, validation=0.34), data)
    assert pairs(parts.test) == [(0, 0), (0, 2), (1, 3), (1, 4)]  # of equal times the last in file order
    assert pairs(parts.valid) == [(0, 4), (1, 2)]
    with pytest.raises(DataError, match=r"needs times.*dataset.split.method=ratio"):
        split(Splitter("ratio_last"), table([0, 0], [0, 1]))


def test_validation_share_is_of_the_rest():
    data = table([0] * 10, list(range(10)))
    parts = split(Splitter("ratio", test=0.2, validation=0.25), data)
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (6, 2, 2)


def test_given_rows_may_leave_users_without_training():
    data = table([0, 0, 1], [0, 1, 1])
    parts = split(Splitter("given"), data, np.array([False, True, True]))
    assert pairs(parts.test) == [(0, 1), (1, 1)]
    with pytest.raises(DataError, match=r"method=given, but the source has no test rows"):
        split(Splitter("given"), data)


@pytest.mark.parametrize("method", ["leave_one_out_last", "leave_one_out_random"])
def test_a_user_without_training_rows_is_named(method):
    data = table([0, 0, 1, 2], [0, 1, 1, 1], [1, 2, 3, 4])
    with pytest.raises(DataError, match=r"leaves 2 of 3 users \(the first is 1\) .*dataset.filters.min_user=2"):
        split(Splitter(method), data)


def test_duplicates_of_a_held_out_pair_go_with_it():
    data = table([0, 0, 0, 0], [0, 1, 0, 2], [1, 2, 9, 3])
    parts = split(Splitter("leave_one_out_last"), data)
    assert pairs(parts.test) == [(0, 0)]
    assert parts.test.values.tolist() == [3.0]
    assert pairs(parts.train) == [(0, 1), (0, 2)]
    kept = table([0, 0, 0, 0], [0, 1, 0, 2], [1, 9, 2, 3])
    assert pairs(split(Splitter("leave_one_out_last"), kept).train) == [(0, 0), (0, 0), (0, 2)]


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=40),
    method=st.sampled_from(["leave_one_out_last", "leave_one_out_random", "ratio", "ratio_last"]),
    validation=st.sampled_from([0, 0.3, 1]),
)
def test_no_pair_is_in_two_tables_and_none_is_lost(rows, method, validation):
    users, items, times = (list(column) for column in zip(*rows, strict=True))
    data = table(users, items, times)
    try:
        parts = split(Splitter(method, validation=validation), data)
    except DataError:
        distinct = {u: len({i for v, i in zip(users, items, strict=True) if v == u}) for u in range(max(users) + 1)}
        assert min(distinct.values()) < 2
        return
    tables = [set(pairs(part)) for part in (parts.train, parts.valid, parts.test)]
    assert tables[0] | tables[1] | tables[2] == set(pairs(data))
    assert sum(map(len, tables)) == len(set(pairs(data)))
    assert len(parts.test) == len(tables[2])


@pytest.mark.parametrize(
    ("setting", "value"), [("method", "first"), ("test", 0), ("test", 1), ("validation", -0.1), ("validation", 2)]
)
def test_values_out_of_range_name_the_setting(setting: str, value: object):
    with pytest.raises(ConfigError, match=rf"dataset.split.{setting} is "):
        Splitter(**{setting: value})


def test_the_whole_of_a_split():
    data = table([0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [1, 2, 3, 4, 5])
    whole = split(Splitter("leave_one_out_last", validation=1), data).whole
    assert sorted(pairs(whole)) == sorted(pairs(data))
    assert sorted(whole.times.tolist()) == [1, 2, 3, 4, 5]
