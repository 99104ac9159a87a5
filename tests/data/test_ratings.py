import gzip
from pathlib import Path

import numpy as np
import pytest

from recpoison.data.filtering import Filters
from recpoison.data.named import build_dataset
from recpoison.data.provenance import find
from recpoison.data.ratings import KnownRatings
from recpoison.data.sources import SOURCES
from recpoison.data.splitting import Split, Splitter
from recpoison.errors import ConfigError, DataError
from recpoison.progress import Progress
from recpoison.seeds import Seeds


class Notes(Progress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def load(data_dir: Path, name: str, *overrides: str) -> tuple[Split, list[str]]:
    notes = Notes()
    return build_dataset(name, overrides).load(data_dir, Seeds(0), notes), notes.texts


def counts(split: Split) -> tuple[int, int, int]:
    return split.train.n_users, split.train.n_items, len(split.train) + len(split.test)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("ml_100k", (), (943, 1682, 100_000)),
        ("ml_1m", (), (6040, 3706, 1_000_209)),
        ("filmtrust", (), (796, 2011, 30_880)),
        ("gowalla", (), (13_149, 14_007, 535_610)),
        ("gowalla", ("filters.k_core=0", "split.method=given"), (29_858, 40_981, 1_027_370)),
        ("book_crossing", ("filters.min_user=0", "split.method=ratio"), (1295, 14_684, 62_656)),
        ("book_crossing", ("variant=implicit", "split.method=ratio"), (2946, 17_384, 272_678)),
        ("steam", (), (1698, 1397, 84_424)),
        ("lastfm_2k", ("filters.min_user=0", "split.method=ratio"), (1892, 17_632, 92_834)),
        ("anime", ("filters.min_user=0", "filters.min_item=0", "filters.sample_users=null"), (5000, 7390, 520_609)),
    ],
)
def test_counts(data_dir: Path, name: str, overrides: tuple[str, ...], expected: tuple[int, int, int]):
    split, _ = load(data_dir, name, *overrides)
    assert counts(split) == expected


@pytest.mark.data
@pytest.mark.parametrize("name", [name for name in SOURCES if SOURCES[name].variants and name != "cora"])
def test_every_variant_has_the_counts_it_promises(data_dir: Path, name: str):
    folder = data_dir / SOURCES[name].folder
    held = {v: about for v, about in SOURCES[name].variants.items() if all(find(folder, file) for file in about.files)}
    if not held:
        pytest.skip(f"{name} is not in {data_dir}")
    for variant, about in held.items():
        notes = Notes()
        data = KnownRatings(name, name, variant, Filters(), Splitter()).read(data_dir, Seeds(0), notes)
        assert len(data) > 0
        assert notes.texts == []
        assert about.counts in (None, (data.n_users, data.n_items, len(data)))
        assert (data.scale is None) == (about.layout.scale is None)


def test_gowalla_check_ins_have_times(tmp_path: Path):
    """Columns user, time, latitude, longitude, place, newest first; of several visits to a place the last counts."""
    (tmp_path / "gowalla").mkdir()
    visits = [
        (3, 21, "0:04", 9),
        (3, 20, "9:00", 5),
        (3, 19, "23:59", 7),
        (3, 1, "8:00", 9),
        (8, 2, "8:00", 7),
        (8, 1, "8:00", 5),
        (8, 1, "7:00", 9),
    ]
    lines = [f"{user}\t2010-10-{day:02}T{hour:0>5}:00Z\t30.2\t-97.7\t{place}\n" for user, day, hour, place in visits]
    (tmp_path / "gowalla" / "loc-gowalla_totalCheckins.txt").write_text("".join(lines))
    split, notes = load(
        tmp_path, "gowalla", "variant=checkins", "filters.k_core=2", "split.method=ratio_last", "split.test=0.34"
    )
    assert notes == ["7 rows are 6 distinct pairs of user and item: duplicates merged"]
    assert (split.test.user_labels.tolist(), split.test.item_labels.tolist()) == ([3, 8], [5, 7, 9])
    assert split.test.items.tolist() == [2, 1]
    with pytest.raises(DataError, match=r"loc-gowalla_totalCheckins.txt.*snap.stanford.edu/data/loc-gowalla.html"):
        load(tmp_path / "elsewhere", "gowalla", "variant=checkins")


@pytest.mark.data
def test_steam_counts_rows_and_pairs(data_dir: Path):
    dataset = KnownRatings("steam", "steam", "both", Filters(), Splitter())
    raw = dataset.read(data_dir, Seeds(0), Progress())
    notes = Notes()
    kept, _ = Filters(k_core=20, count="rows", duplicates="keep").apply(raw, Seeds(0), notes)
    assert (kept.n_users, kept.n_items, len(kept), kept.n_pairs) == (1698, 1397, 132_831, 84_424)
    assert notes.texts == [
        f"filters (k_core=20) keep 132,831 of 200,000 rows, 1,698 of 12,393 users, 1,397 of {raw.n_items:,} items",
        "132,831 rows are 84,424 distinct pairs of user and item: duplicates kept",
    ]
    pairs, _ = Filters(k_core=20).apply(raw, Seeds(0), notes)
    assert (pairs.n_users, pairs.n_items) == (1111, 1055)


@pytest.mark.data
def test_held_out_rows(data_dir: Path):
    ml_100k, _ = load(data_dir, "ml_100k")
    assert (len(ml_100k.train), len(ml_100k.test)) == (99_057, 943)
    before = np.full(943, -np.inf)
    np.maximum.at(before, ml_100k.train.users, ml_100k.train.times)
    assert (before[ml_100k.test.users] <= ml_100k.test.times).all()
    ml_1m, _ = load(data_dir, "ml_1m")
    assert len(ml_1m.test) == 6040
    first = ml_1m.test.users.tolist().index(0)
    assert ml_1m.test.item_labels[ml_1m.test.items[first]] == 48  # line 2 of last_interactions.csv: 1,48,5,978824351
    filmtrust, _ = load(data_dir, "filmtrust")
    assert (len(filmtrust.train), len(filmtrust.test)) == (30_084, 796)
    raw, notes = load(data_dir, "filmtrust", "variant=raw", "split.method=ratio")
    assert counts(raw) == (1508, 2071, 35_494)
    assert notes[0] == "35,497 rows are 35,494 distinct pairs of user and item: duplicates merged"
    few = int((np.bincount(raw.whole.users) < 3).sum())  # a fifth of 2 rows rounds to none
    assert notes[1:] == [f"{few:,} of 1,508 users have no test row: learned from, but not judged"]


@pytest.mark.data
def test_whose_test_row_is_decided_or_lost_is_counted(data_dir: Path):
    split, notes = load(data_dir, "ml_100k")
    whole = split.whole
    tied = 0
    for user in range(whole.n_users):
        times = whole.times[whole.users == user]
        tied += int((times == times.max()).sum() > 1)
    assert tied == 415
    said = "the last time of 415 of 943 users is shared by several rows: file order decides which is the test row"
    assert notes == [said]
    assert split.notes == (said,)
    assert split.held_out == "each user's last row by time (of equal times the last in the file)"
    split, notes = load(data_dir, "ml_1m", "filters.k_core=100")
    assert (split.train.n_users, split.n_judged) == (2828, 2475)
    assert notes[1:] == [
        "filters took the marked last row of 353 of the 2,828 users who stay",
        "353 of 2,828 users have no test row: learned from, but not judged",
    ]


@pytest.mark.data
@pytest.mark.parametrize("name", ["gowalla", "filmtrust"])
def test_a_test_file_is_not_taken_for_last_rows(data_dir: Path, name: str):
    said = r"leave_one_out_last needs times, but .*leave_one_out_random, or given where the source has test rows"
    with pytest.raises(DataError, match=said):
        load(data_dir, name, "split.method=leave_one_out_last")


def write_ml_1m(folder: Path, times: bool, last: str = "user,movie,rating,timestamp\n1,20,3,9\n2,10,1,9\n") -> None:
    rows = [(1, 20, 3, 9), (1, 10, 5, 8), (2, 10, 1, 7), (2, 30, 2, 7)]
    text = "".join("::".join(map(str, row if times else row[:3])) + "\n" for row in rows)
    (folder / "ml-1m").mkdir()
    (folder / "ml-1m" / "ratings.dat.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "ml-1m" / "last_interactions.csv").write_text(last)


def held(split: Split) -> list[tuple[int, int]]:
    test = split.test
    return [(int(test.user_labels[u]), int(test.item_labels[i])) for u, i in zip(test.users, test.items, strict=True)]


def test_ml_1m_with_times_ignores_the_file_of_last_rows(tmp_path: Path):
    write_ml_1m(tmp_path, times=True)
    split, notes = load(tmp_path, "ml_1m")
    assert held(split) == [(1, 20), (2, 30)]
    assert notes == [
        "ml_1m has (users, items, rows) (2, 3, 4), but (6040, 3706, 1000209) were expected",
        "the last time of 1 of 2 users is shared by several rows: file order decides which is the test row",
    ]


def test_ml_1m_without_times_follows_the_file_of_last_rows(tmp_path: Path):
    write_ml_1m(tmp_path, times=False)
    dataset = build_dataset("ml_1m")
    before = dataset.fingerprint(tmp_path)
    assert held(dataset.load(tmp_path, Seeds(0), Progress())) == [(1, 20), (2, 10)]
    with pytest.raises(DataError, match="no test rows of its own"):
        load(tmp_path, "ml_1m", "split.method=given")
    (tmp_path / "ml-1m" / "last_interactions.csv").unlink()
    assert dataset.fingerprint(tmp_path) != before
    with pytest.raises(DataError, match="needs times"):
        dataset.load(tmp_path, Seeds(0), Progress())


def test_marked_rows_that_filters_take_are_counted(tmp_path: Path):
    """User 1's last row has 3 stars, user 2's has 1: from 2 stars on user 2 has no last row, and 30 alone to learn."""
    write_ml_1m(tmp_path, times=False)
    split, notes = load(tmp_path, "ml_1m", "filters.binarise_at=2", "split.validation=1")
    assert held(split) == [(1, 20)]
    assert split.n_judged == 1
    assert notes[1:] == [
        "filters (binarise_at=2) keep 3 of 4 rows, 2 of 2 users, 3 of 3 items",
        "filters took the marked last row of 1 of the 2 users who stay",
        "1 of 2 users have no test row: learned from, but not judged",
    ]
    assert split.notes == tuple(notes)
    assert split.held_out == (
        "each user's last row, as the source marks it; validation: one random row of each user's rest"
    )


def test_a_last_row_that_does_not_exist(tmp_path: Path):
    write_ml_1m(tmp_path, times=False, last="user,movie,rating,timestamp\n1,20,3,9\n2,20,1,9\n")
    with pytest.raises(DataError, match=r"last_interactions.csv, line 3: user 2 and item 20 are no row"):
        load(tmp_path, "ml_1m")


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_truncated_file_is_named(tmp_path: Path, share: float):
    write_ml_1m(tmp_path, times=True)
    path = tmp_path / "ml-1m" / "ratings.dat.gz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"ratings.dat.gz is cut short or broken"):
        load(tmp_path, "ml_1m")


def write_pair(folder: Path) -> None:
    target = folder / "pinterest-20"
    target.mkdir()
    (target / "pinterest-20.train.rating").write_text("0\t5\t1\t0\n0\t7\t1\t0\n4\t9\t1\t0\n4\t6\t1\t0\n")
    (target / "pinterest-20.test.rating").write_text("4\t7\t1\t0\n0\t9\t1\t0\n")
    (target / "pinterest-20.test.negative").write_text("(4,7)\t5\n(0,9)\t6\n")


def test_ncf_pair_with_given_negatives(tmp_path: Path):
    write_pair(tmp_path)
    split, _ = load(tmp_path, "pinterest")
    assert counts(split) == (2, 4, 6)
    assert held(split) == [(4, 7), (0, 9)]
    assert split.train.item_labels[split.negatives].tolist() == [[5], [6]]
    last, _ = load(tmp_path, "pinterest", "split.method=leave_one_out_last")
    assert held(last) == [(4, 7), (0, 9)], "NCF's test file holds each user's last row"
    filtered, notes = load(tmp_path, "pinterest", "filters.min_item=2")
    assert filtered.negatives is None
    assert any("negatives" in note for note in notes)


def test_missing_files_name_address_command_and_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError) as caught:
        load(tmp_path, "ml_100k")
    for part in ("ml-100k.zip", "recpoison-data fetch ml_100k", "data_dir", "RECPOISON_DATA", str(tmp_path)):
        assert part in str(caught.value)
    monkeypatch.setenv("RECPOISON_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(DataError, match=r"elsewhere"):
        build_dataset("ml_100k").load(None, Seeds(0), Progress())
    with pytest.raises(DataError, match=r"cannot be downloaded .*Kaggle"):
        load(tmp_path, "netflix")


def test_netflix_folder(tmp_path: Path):
    folder = tmp_path / "netflix" / "training_set"
    folder.mkdir(parents=True)
    for movie in (1, 2):
        (folder / f"mv_000000{movie}.txt").write_text(f"{movie}:\n7,3,2005-09-0{movie}\n8,5,2005-05-1{movie}\n")
    split, _ = load(tmp_path, "netflix", "variant=per_movie", "filters.sample_users=2")
    assert held(split) == [(7, 2), (8, 2)]
    assert split.train.scale == (1, 5, 1)


def test_names_are_checked():
    with pytest.raises(ConfigError, match=r"dataset.variant is 'explicit': give one of ratings"):
        KnownRatings("ml_100k", "ml_100k", "explicit", Filters(), Splitter())
    with pytest.raises(ConfigError, match=r"dataset.source is 'ml_10m'"):
        KnownRatings("ml_10m", "ml_10m", "ratings", Filters(), Splitter())
