"""What a run over several seeds keeps in memory, and that what it laid down is the same when it is taken up again."""

import gc
import logging
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.splitting import Splitter
from recpoison.data.synthetic import Synthetic
from recpoison.data.table import OwnTable
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.popularity import Popularity
from recpoison.records import RunRecord, write

ATTACK = RandomAttack(targets=Targets(rule="list", items=(39,)), n_fake_users=2, fillers=3)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def parts_of(n_users: int) -> Parts:
    data = Synthetic("made", n_users, 40, 5, 1.0, Splitter("leave_one_out_random"))
    return Parts(data, Popularity(), ATTACK, evaluation=FullRanking(cutoffs=(5, 30)))


def kept_by(n_users: int, n_seeds: int) -> int:
    """Bytes that a record holds once its run is over."""
    gc.collect()
    tracemalloc.start()
    record = run(parts_of(n_users), range(n_seeds))
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(record.results) == 2 * n_seeds
    return kept


def of_a_seed(record: RunRecord, seed: int) -> int:
    seen = [result.seen.arrays() for result in record.results if result.cell.seed == seed]
    return sum(array.nbytes for arrays in seen for array in arrays.values())


def test_what_is_kept_of_a_seed_does_not_grow_with_its_users() -> None:
    """Ten times the users: ten times the ranks (over 250 kB a seed), and no more memory for each seed more."""
    ranks = of_a_seed(run(parts_of(1000), [0, 1]), 0)
    assert ranks > 250_000
    run(parts_of(40), [0, 1])  # what is loaded once
    few, many = ((kept_by(n_users, 4) - kept_by(n_users, 2)) / 2 for n_users in (100, 1000))
    assert abs(many - few) < 20_000
    assert many < 0.1 * ranks


def test_a_record_of_several_seeds_has_the_same_ranks_changes_and_files(tmp_path: Path) -> None:
    alone = [run(parts_of(60), [seed]) for seed in (0, 1)]
    together = run(parts_of(60), [0, 1])
    apart = [result for record in alone for result in record.results]
    for mine, other in zip(together.results, apart, strict=True):
        seen, expected = mine.seen.arrays(), other.seen.arrays()
        assert seen.keys() == expected.keys()
        assert all(np.array_equal(seen[name], expected[name]) for name in seen)
        assert (mine.change is None) == (other.change is None)
        if mine.change is not None:
            assert np.array_equal(mine.change.items, other.change.items)
    write(together, tmp_path / "run", "", [])
    with np.load(tmp_path / "run" / "ranks.npz", allow_pickle=False) as ranks:
        assert len(ranks.files) == 4 * len(together.results[0].seen.arrays())
        name = "seed=1/attack=RandomAttack/defense=none/lists"
        assert np.array_equal(ranks[name], alone[1].results[1].seen.lists)
    fakes = (tmp_path / "run" / "fake_users.csv").read_text()
    assert fakes == together.fake_users().to_csv(index=False)
    assert fakes.splitlines()[0] == "seed,fake_user,item,value"
    assert [line[0] for line in fakes.splitlines()[1:]] == ["0"] * 8 + ["1"] * 8  # 2 fake users, 3 fillers, a target


def test_ids_that_all_seeds_share_are_in_memory_once(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(
        "user,item\n" + "".join(f"u{n % 30},i{n * n % 41}\n" for n in range(400)), encoding="utf-8"
    )
    data = OwnTable("rows", path=str(tmp_path / "rows.csv"), user="user", item="item")
    record = run(Parts(data, Popularity(), evaluation=FullRanking(cutoffs=(5,))), [0, 1])
    assert record.item_ids[0] is not None
    assert record.item_ids[0] is record.item_ids[1]


def test_the_folder_goes_with_the_record_and_that_of_a_dead_process_with_the_next_run(
    own_temporary_folder: Path,
) -> None:
    record = run(parts_of(40), [0, 1])
    (folder,) = own_temporary_folder.iterdir()
    assert len(list(folder.iterdir())) == 6  # four cells, two of them with a change
    dead = folder.rename(folder.with_name(folder.name.replace(f"-{os.getpid()}-", "-4194305-")))  # no such process
    again = run(parts_of(40), [0, 1])
    assert not dead.exists()
    del record, again
    gc.collect()
    assert not list(own_temporary_folder.iterdir())


def test_where_nothing_can_be_written_ranks_stay_in_memory_and_that_is_said_once(
    own_temporary_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_temporary_folder.rmdir()
    own_temporary_folder.write_text("")
    with caplog.at_level(logging.WARNING):
        record = run(parts_of(40), [0, 1])
    (said,) = [message for message in caplog.messages if "stay in memory" in message]
    assert said.endswith("set TMPDIR to where there is room")
    assert len(record.results[3].seen.list_users) == 40


def test_one_seed_stays_in_memory(own_temporary_folder: Path) -> None:
    record = run(parts_of(40), [0])
    assert not list(own_temporary_folder.iterdir())
    assert record.results[0].seen is record.results[0].seen
