"""All seeds of a run share one reading of their files; what each gets is its own."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from recpoison.data import reading
from recpoison.data.filtering import Filters
from recpoison.data.ratings import Raw
from recpoison.data.reading import read_once
from recpoison.data.splitting import Split
from recpoison.data.table import OwnTable
from recpoison.errors import DataError
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress
from recpoison.seeds import Seeds


class Counted(OwnTable):
    """A table that counts how often its file is read, and knows which readings are still alive."""

    def _raw(self, *arguments) -> Raw:
        raw = super()._raw(*arguments)
        READINGS.append(weakref.ref(raw.data))
        return raw


READINGS: list[weakref.ref] = []


@pytest.fixture(autouse=True)
def readings():
    READINGS.clear()


def table(folder: Path, n_users: int = 9) -> Counted:
    """Each user has rows with 6 of 7 items, one of them twice; rows without a rating are dropped and counted."""
    rows = [f"u{user},i{(user + step) % 7},{1 + step % 5}" for user in range(n_users) for step in (0, 1, 2, 3, 4, 5, 5)]
    (folder / "mine.csv").write_text("\n".join(["user,item,stars", *rows, "u0,i0,99"]) + "\n")
    settings = {"rating": "stars", "low": 1, "high": 5, "missing": (99,), "filters": Filters(k_core=2)}
    return Counted("mine", str(folder / "mine.csv"), **settings)


def arrays(split: Split) -> list[np.ndarray]:
    names = ("users", "items", "values", "user_labels", "item_labels")
    return [getattr(part, name) for part in (split.train, split.test) for name in names]


def same(left: Split, right: Split) -> bool:
    pairs = zip(arrays(left), arrays(right), strict=True)
    return left.notes == right.notes and all(np.array_equal(one, other) for one, other in pairs)


def test_seeds_share_a_reading_and_have_what_they_have_alone(tmp_path: Path):
    dataset = table(tmp_path)
    alone = [dataset.load(None, Seeds(seed), Progress()) for seed in range(8)]
    READINGS.clear()
    with read_once(dataset), ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: dataset.load(None, Seeds(seed), Progress()), range(8)))
        assert len(READINGS) == 1
        raw = READINGS[0]()
        assert not any(np.may_share_memory(one, getattr(raw, name)) for one in arrays(found[0]) for name in RAW)
    assert all(map(same, alone, found))
    assert not same(found[0], found[1])
    assert sum("1 of 64 rows are dropped as not rated" in note for note in found[7].notes) == 1
    del raw
    gc.collect()
    assert READINGS[0]() is None  # nothing is kept after the block


RAW = ("users", "items", "values", "user_labels", "item_labels")


def test_each_hears_the_notes_as_the_first_did(tmp_path: Path):
    dataset, heard = table(tmp_path), []
    with read_once(dataset):
        for seed in range(2):
            progress, mine = Progress(), []
            progress.note = mine.append
            dataset.load(None, Seeds(seed), progress)
            heard.append(mine)
    assert heard[0] == heard[1]
    assert len(heard[0]) >= 3


def test_files_that_changed_are_read_again(tmp_path: Path):
    dataset = table(tmp_path)
    with read_once(dataset):
        before = dataset.load(None, Seeds(0), Progress())
        table(tmp_path, n_users=10)
        after = dataset.load(None, Seeds(0), Progress())
    assert (before.train.n_users, after.train.n_users, len(READINGS)) == (9, 10, 2)


def test_a_large_table_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset = table(tmp_path)
    raw = dataset._raw(None, Progress())
    # 63 rows of users, items and values take 8 bytes each, as do the pointers to 9 + 7 labels; no times, no marks.
    assert raw.nbytes == 8 * (63 * 3 + 9 + 7)
    for most, times in ((raw.nbytes, 1), (raw.nbytes - 1, 3)):
        monkeypatch.setattr(reading, "MOST_BYTES", most)
        READINGS.clear()
        with read_once(dataset):
            found = [dataset.load(None, Seeds(0), Progress()) for _ in range(3)]
        assert len(READINGS) == times
        assert same(found[0], found[2])


def test_a_broken_file_is_told_to_each(tmp_path: Path):
    dataset = table(tmp_path)
    (tmp_path / "mine.csv").write_text("user,item,stars\nu0,i0,77\n")
    with read_once(dataset):
        for _ in range(2):
            with pytest.raises(DataError, match="off the scale"):
                dataset.load(None, Seeds(0), Progress())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_reads_once_for_all_of_its_seeds(tmp_path: Path, workers: int):
    parts = Parts(table(tmp_path), Popularity(), evaluation=FullRanking(metrics=["HR"], cutoffs=[1]))
    record = run(parts, range(4), workers=workers)
    assert len(READINGS) == 1
    alone = [run(parts, [seed]).metrics() for seed in range(4)]
    assert len(READINGS) == 5
    assert record.metrics().value.tolist() == [frame.value[0] for frame in alone]
    assert not reading._open


def test_blocks_of_several_threads_share_one_reading_until_the_last_ends(tmp_path: Path):
    data = table(tmp_path)
    with ExitStack() as first, ExitStack() as second:
        first.enter_context(read_once(data))
        second.enter_context(read_once(data))
        data.load(None, Seeds(0), Progress())
        first.close()
        data.load(None, Seeds(1), Progress())
        assert len(READINGS) == 1
    data.load(None, Seeds(1), Progress())
    assert len(READINGS) == 2
