import numpy as np
import pytest

from recpoison.data.filtering import Filters
from recpoison.data.interactions import Interactions, Scale
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds


class Notes(Progress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


STARS = Scale(1, 5, 1)


def table(rows: list[tuple[float, ...]], scale: Scale | None = STARS) -> Interactions:
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    users, items, values = columns[:3]
    labels = np.array([f"u{n}" for n in range(10)]), np.array([f"i{n}" for n in range(10)])
    times = columns[3] if len(columns) > 3 else None
    return Interactions(users, items, values, 10, 10, scale, times, *labels)


def left(filters: Filters, data: Interactions) -> list[tuple[str, str, float]]:
    kept, rows = filters.apply(data, Seeds(0), Progress())
    assert len(rows) == len(kept)
    assert (data.users[rows] == np.array([int(kept.user_labels[u][1:]) for u in kept.users])).all()
    return [
        (str(kept.user_labels[u]), str(kept.item_labels[i]), float(v))
        for u, i, v in zip(kept.users, kept.items, kept.values, strict=True)
    ]


def test_ids_are_compact_and_keep_their_labels():
    data, rows = Filters().apply(table([(7, 9, 3), (2, 4, 5), (7, 4, 1)]), Seeds(0), Progress())
    assert (data.n_users, data.n_items) == (2, 2)
    assert data.users.tolist() == [1, 0, 1]
    assert data.items.tolist() == [1, 0, 0]
    assert data.user_labels.tolist() == ["u2", "u7"]
    assert data.item_labels.tolist() == ["i4", "i9"]
    assert data.scale == Scale(1, 5, 1)
    assert rows.tolist() == [0, 1, 2]


def test_binarise_keeps_the_threshold_and_forgets_values():
    data, _ = Filters(binarise_at=4).apply(table([(0, 0, 3), (0, 1, 4), (1, 1, 5)]), Seeds(0), Progress())
    assert data.implicit
    assert data.values.tolist() == [1.0, 1.0]
    assert data.n_items == 1


def test_implicit_drops_values_but_no_row():
    data, _ = Filters(implicit=True).apply(table([(0, 0, 3), (0, 1, 4)]), Seeds(0), Progress())
    assert data.implicit
    assert data.values.tolist() == [1.0, 1.0]


def test_counts_of_implicit_data_can_be_binarised_and_become_ones():
    plays = table([(0, 0, 120), (0, 1, 3), (1, 1, 50)], None)
    assert left(Filters(), plays) == [("u0", "i0", 1), ("u0", "i1", 1), ("u1", "i1", 1)]
    assert left(Filters(binarise_at=50), plays) == [("u0", "i0", 1), ("u1", "i1", 1)]


CHAIN = [(0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 2, 1), (2, 2, 1), (3, 5, 1), (3, 6, 1), (4, 5, 1), (4, 6, 1)]


def test_minimum_counts_take_one_pass():
    # user 2 has one row; without it item 2 has one user, and item 0 had one anyway
    assert left(Filters(min_user=2), table(CHAIN)) == left(Filters(), table([row for row in CHAIN if row[0] != 2]))
    kept = left(Filters(min_user=2, min_item=2), table(CHAIN))
    assert [(u, i) for u, i, _ in kept] == [
        ("u0", "i1"),
        ("u1", "i1"),
        ("u3", "i5"),
        ("u3", "i6"),
        ("u4", "i5"),
        ("u4", "i6"),
    ]


def test_k_core_goes_on_until_nothing_changes():
    kept = left(Filters(k_core=2), table(CHAIN))
    assert [(u, i) for u, i, _ in kept] == [("u3", "i5"), ("u3", "i6"), ("u4", "i5"), ("u4", "i6")]


def test_counts_of_rows_or_of_pairs():
    twice = [(0, 0, 1), (0, 0, 1), (1, 0, 1), (1, 1, 1), (2, 1, 1)]
    assert {u for u, _, _ in left(Filters(min_user=2, count="rows"), table(twice))} == {"u0", "u1"}
    assert {u for u, _, _ in left(Filters(min_user=2, count="pairs"), table(twice))} == {"u1"}
    assert len(left(Filters(k_core=2, count="rows", duplicates="keep"), table(twice))) == 2
    with pytest.raises(DataError, match=r"dataset.filters.k_core=2 leaves no row"):
        left(Filters(k_core=2), table(twice))


def test_duplicates_keep_the_last_by_time_then_by_file_order():
    late_first = [(0, 0, 5, 9), (0, 1, 2, 1), (0, 0, 1, 3)]
    assert left(Filters(), table(late_first)) == [("u0", "i0", 5), ("u0", "i1", 2)]
    ties = [(0, 0, 5, 3), (0, 0, 1, 3), (0, 0, 2, 1)]
    assert left(Filters(), table(ties)) == [("u0", "i0", 1)]
    assert left(Filters(), table([row[:3] for row in ties])) == [("u0", "i0", 2)]


def test_what_filters_drop_is_said():
    notes = Notes()
    rows = [(0, 0, 5), (0, 1, 2), (1, 0, 4), (1, 1, 4), (2, 2, 5)]
    Filters(binarise_at=4, min_user=2).apply(table(rows), Seeds(0), notes)
    assert notes.texts == ["filters (binarise_at=4, min_user=2) keep 2 of 5 rows, 1 of 10 users, 2 of 10 items"]
    Filters(min_user=1, k_core=1).apply(table(rows), Seeds(0), notes)
    assert len(notes.texts) == 1, "nothing was dropped"


@pytest.mark.parametrize(("duplicates", "rows"), [("merge", 2), ("keep", 3)])
def test_both_counts_of_duplicates_are_said(duplicates, rows):
    notes = Notes()
    data, _ = Filters(duplicates=duplicates).apply(table([(0, 0, 5), (0, 1, 2), (0, 0, 1)]), Seeds(0), notes)
    assert len(data) == rows
    assert data.n_pairs == 2
    assert notes.texts == [
        f"3 rows are 2 distinct pairs of user and item: duplicates {'merged' if rows == 2 else 'kept'}"
    ]


def test_sampling_users_is_the_same_for_a_seed():
    data = table([(u, u, 3) for u in range(10)])
    chosen = [{u for u, _, _ in left(Filters(sample_users=4), data)} for _ in range(2)]
    assert chosen[0] == chosen[1]
    assert len(chosen[0]) == 4
    others = [Filters(sample_users=4).apply(data, Seeds(s), Progress()).rows.tolist() for s in range(5)]
    assert len({tuple(rows) for rows in others}) > 1
    with pytest.raises(DataError, match=r"sample_users=11, but only 10 users are left"):
        left(Filters(sample_users=11), data)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (Filters(binarise_at=6), r"binarise_at=6 leaves no row \(values run from 1 to 5\): lower it"),
        (Filters(min_user=3), r"min_user=3 leaves no row"),
        (Filters(min_item=9), r"min_item=9 leaves no row"),
        (Filters(k_core=9), r"k_core=9 leaves no row"),
    ],
)
def test_an_empty_result_says_which_filter_to_loosen(filters: Filters, message: str):
    with pytest.raises(DataError, match=message):
        filters.apply(table([(0, 0, 1), (0, 1, 5)]), Seeds(0), Progress())


@pytest.mark.parametrize(
    ("setting", "value"),
    [("k_core", -1), ("min_user", -2), ("sample_users", 0), ("count", "users"), ("duplicates", "drop")],
)
def test_values_out_of_range_name_the_setting(setting: str, value: object):
    with pytest.raises(ConfigError, match=rf"dataset.filters.{setting} is "):
        Filters(**{setting: value})
