"""Real processes and real damage. Children import no torch, so that each takes a fraction of a second."""

import errno
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from recpoison.descriptions import digest
from recpoison.errors import OutputError
from recpoison.intact import sha256_of
from recpoison.stages import locks
from recpoison.stages.command import main
from recpoison.stages.store import Store, default_store_dir

# obtain.py STORE LOG SECONDS: computes the number of its process, slowly, and notes that it did.
CHILD = """
import logging, os, sys, time
from pathlib import Path
from recpoison.stages.store import Store
logging.basicConfig(level="WARNING", format="%(message)s")
folder, log, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])

def compute():
    with log.open("a") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(seconds)
    return str(os.getpid()), seconds, 1.0

value, _, reused = Store(folder).obtain(
    "fit", "k" * 64, {}, compute, lambda v, f: (f / "value").write_text(v), lambda f: (f / "value").read_text()
)
print(value, reused)
"""


HOST = socket.gethostname().replace("-", "_")


def obtain(store: Store, value: str = "mine", key: str = "k" * 64, load=None) -> tuple[str, bool]:
    got, _, reused = store.obtain(
        "fit",
        key,
        {"a": 1},
        lambda: (value, 2.0, 3.0),
        lambda text, folder: (folder / "value").write_text(text),
        load or (lambda folder: (folder / "value").read_text()),
    )
    return got, reused


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def start(store: Store, log: Path, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", CHILD, str(store.folder), str(log), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_what_was_computed_is_found_with_its_costs(store):
    assert obtain(store) == ("mine", False)
    assert obtain(store, "other") == ("mine", True)
    (entry,) = store.entries()
    assert (entry.stage, entry.seconds, entry.peak_mb, entry.inputs) == ("fit", 2.0, 3.0, {"a": 1})
    assert sorted(path.name for path in store.path(entry).iterdir()) == ["entry.json", "value"]
    assert not list((store.folder / ".locks").iterdir())


def test_of_racing_processes_one_computes_and_the_others_wait_for_it_by_name(store, tmp_path):
    log = tmp_path / "log"
    children = [start(store, log, 1.0) for _ in range(4)]
    ends = [child.communicate(timeout=60) for child in children]
    (computed,) = log.read_text().split()
    assert {out.split()[0] for out, _ in ends} == {computed}
    assert sorted(out.split()[1] for out, _ in ends) == ["False", "True", "True", "True"]
    told = [error for _, error in ends if "waiting" in error]
    assert told
    assert all(f"is being computed by process {computed} on " in error for error in told)


def test_a_lock_and_a_draft_of_a_killed_process_block_nobody(store, tmp_path):
    child = start(store, tmp_path / "log", 60.0)
    wait_for(lambda: (tmp_path / "log").exists())
    draft = store.folder / "fit" / f".draft-{'k' * 64}-{HOST}-99999999-0a1b2c3d"
    draft.mkdir(parents=True)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert list((store.folder / ".locks").iterdir())  # the file stays, the lock does not
    begin = time.monotonic()
    assert obtain(store) == ("mine", False)
    assert time.monotonic() - begin < 1
    assert not draft.exists()
    assert not list((store.folder / ".locks").iterdir())


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "no json", "moved"])
def test_a_damaged_entry_is_set_aside_and_computed_again(store, damage, caplog):
    obtain(store)
    folder = store.path(store.entries()[0])
    if damage == "flip":
        (folder / "value").write_text("mimE")
    elif damage == "cut":
        (folder / "value").write_text("")
    elif damage == "missing":
        (folder / "value").unlink()
    elif damage == "no json":
        (folder / "entry.json").write_text('{"stage": ')
    else:
        entry = json.loads((folder / "entry.json").read_text())
        (folder / "entry.json").write_text(json.dumps(entry | {"key": "z" * 64}))
    assert obtain(store, "again") == ("again", False)
    assert obtain(store, "third") == ("again", True)
    assert len(list((store.folder / ".damaged").iterdir())) == 1
    assert "is damaged" in caplog.text


def test_an_entry_pruned_between_find_and_load_is_computed_again(store):
    obtain(store)

    def load(folder: Path) -> str:
        store.remove(store.entries()[0])
        return (folder / "value").read_text()

    assert obtain(store, "again", load=load) == ("again", False)


def arrays(store: Store, value: float = 1.0) -> tuple[float, bool]:
    """An entry that is read by numpy."""
    got, _, reused = store.obtain(
        "fit",
        digest({"a": 1}),
        {"a": 1},
        lambda: (value, 2.0, 3.0),
        lambda number, folder: np.savez(folder / "value.npz", value=np.array(number)),
        lambda folder: float(np.load(folder / "value.npz", allow_pickle=False)["value"]),
    )
    return got, reused


def replace_entry_file(folder: Path) -> None:
    (folder / "entry.json").unlink()
    (folder / "entry.json").mkdir()


def link_to_itself(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(path.name)


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def say(folder: Path, **changes: object) -> None:
    about = folder / "entry.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | changes))


def under_its_digest(folder: Path, write) -> None:
    """Other contents, with the sha256 of these in ``entry.json``."""
    write(folder / "value.npz")
    say(folder, files={"value.npz": sha256_of(folder / "value.npz")})


def pickled(path: Path) -> None:
    np.savez(path, value=np.array([{"an": "object"}], dtype=object))


def of_other_names(path: Path) -> None:
    np.savez(path, other=np.zeros(1))


UNREADABLE = {
    "entry.json is a folder": replace_entry_file,
    "entry.json is gone": lambda folder: (folder / "entry.json").unlink(),
    "entry.json is a link to itself": lambda folder: link_to_itself(folder / "entry.json"),
    "entry.json is nested too deep": lambda folder: (folder / "entry.json").write_text("[" * 100_000),
    "entry.json is no text": lambda folder: (folder / "entry.json").write_bytes(b"\xff\xfe\x00"),
    "the entry is a file": a_file,
    "the entry is an empty folder": lambda folder: [path.unlink() for path in folder.iterdir()],
    "the entry is a link to itself": link_to_itself,
    "a file is a folder": lambda folder: a_folder(folder / "value.npz"),
    "a file is a link to itself": lambda folder: link_to_itself(folder / "value.npz"),
    "a file is a pipe": lambda folder: ((folder / "value.npz").unlink(), os.mkfifo(folder / "value.npz")),
    "files is null": lambda folder: say(folder, files=None),
    "files is a list": lambda folder: say(folder, files=["value.npz"]),
    "files holds numbers": lambda folder: say(folder, files={"value.npz": 7}),
    "files lie elsewhere": lambda folder: say(folder, files={"../x": "0"}),
    "seconds is a text": lambda folder: say(folder, seconds="2"),
    "created is null": lambda folder: say(folder, created=None),
    "inputs is a list": lambda folder: say(folder, inputs=[1]),
    "an unknown field": lambda folder: say(folder, more=1),
    "pickled objects": lambda folder: under_its_digest(folder, pickled),
    "a broken archive": lambda folder: under_its_digest(
        folder, lambda path: path.write_bytes(b"PK\x03\x04" + b"0" * 99)
    ),
    "an empty archive": lambda folder: under_its_digest(folder, lambda path: path.write_bytes(b"")),
}


@pytest.mark.parametrize("kind", [*UNREADABLE, "other arrays"])
def test_an_entry_that_cannot_be_read_is_set_aside_with_one_warning_and_computed_again(store, kind, caplog):
    harm = UNREADABLE.get(kind, lambda folder: under_its_digest(folder, of_other_names))
    assert arrays(store) == (1.0, False)
    harm(store.path(store.entries()[0]))
    assert arrays(store, 2.0) == (2.0, False)
    assert arrays(store, 3.0) == (2.0, True)
    assert ["is damaged" in record.message for record in caplog.records] == [True]
    assert len(os.listdir(store.folder / ".damaged")) == 1


@pytest.mark.parametrize("kind", UNREADABLE)
def test_verify_names_an_entry_that_cannot_be_read(store, kind, capsys):
    """But for arrays of other names, which only the stage itself can tell."""
    arrays(store)
    UNREADABLE[kind](store.path(store.entries()[0]))
    where = ["--store-dir", str(store.folder)]
    assert main(["ls", *where]) == 0
    assert main(["verify", *where]) == 1
    out = capsys.readouterr().out
    assert "damaged: fit " in out
    assert "1 stages checked, 1 damaged" in out
    assert main(["verify", *where]) == 0
    assert main(["prune", *where]) == 0
    assert not os.listdir(store.folder / ".damaged")


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.EISDIR, errno.ELOOP])
@pytest.mark.parametrize("name", ["entry.json", "value"])
def test_a_file_that_cannot_be_read_is_damage(store, name, code, monkeypatch, caplog, capsys):
    """Named, warned of once and computed again; ``verify`` lists it."""
    real = io.open

    def failing(file, *more, **named):
        if Path(str(file)).parent.parent.name == "fit" and Path(file).name == name:
            raise OSError(code, os.strerror(code), str(file))
        return real(file, *more, **named)

    for _ in range(2):
        obtain(store)
        monkeypatch.setattr(io, "open", failing)
        if not caplog.records:
            assert obtain(store, "again") == ("again", False)
            assert f"is damaged ({name}): set aside as " in caplog.text
        else:
            assert main(["verify", "--store-dir", str(store.folder)]) == 1
            assert f"({name}), set aside" in capsys.readouterr().out
        monkeypatch.setattr(io, "open", real)


def test_running_out_of_memory_while_loading_is_no_damage(store):
    obtain(store)

    def load(folder: Path) -> str:
        raise MemoryError

    with pytest.raises(MemoryError):
        obtain(store, load=load)
    assert len(store.entries()) == 1


def refusing(monkeypatch, store: Store) -> None:
    """Another user's store: what is in it may be read, and nothing in it may change."""
    for name in ("replace", "rename", "mkdir", "unlink", "rmdir", "utime"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda path, *a, real=real, **k: _refused(path, store, real, *a, **k))
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode & os.W_OK))


def _refused(path, store: Store, real, *arguments, **named):
    if not isinstance(path, int) and Path(path).is_relative_to(store.folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return real(path, *arguments, **named)


def test_a_store_that_may_only_be_read_warns_once_a_stage(store, monkeypatch, caplog):
    obtain(store)
    refusing(monkeypatch, store)
    assert obtain(store, "other") == ("mine", True)
    assert not caplog.records
    assert obtain(store, "new", key="z" * 64) == ("new", False)
    (warning,) = caplog.records
    assert "cannot be stored in" in warning.message
    assert "Permission denied" in warning.message


def test_damage_in_a_store_that_may_only_be_read_is_said_once(store, monkeypatch, caplog):
    obtain(store)
    (store.path(store.entries()[0]) / "value").write_text("mimE")
    refusing(monkeypatch, store)
    assert obtain(store, "again") == ("again", False)
    (warning,) = caplog.records
    assert "and stays: " in warning.message


def test_prune_and_verify_of_another_users_store_say_what_stays(store, monkeypatch, capsys):
    obtain(store)
    (store.folder / "fit" / ".removed-1").mkdir()
    refusing(monkeypatch, store)
    where = ["--store-dir", str(store.folder)]
    assert main(["prune", "--keep-size", "0", *where]) == 2
    out, error = capsys.readouterr()
    assert "0 stages and 0 leftovers: freed 0 B" in out
    (said,) = error.splitlines()
    assert said.startswith("recpoison-store: 2 of 2 could not be removed from ")
    assert said.endswith("(Permission denied): run prune as the user who made them")
    assert main(["verify", *where]) == 1  # the key of this entry is not that of its inputs
    assert "(key), cannot be set aside" in capsys.readouterr().out
    assert len(store.entries()) == 1


def test_without_working_locks_work_is_done_twice_and_the_store_stays_whole(store, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    meet = threading.Barrier(2)
    values = []

    def compute(name: str):
        meet.wait(10)
        return name, 1.0, 1.0

    def work(name: str) -> None:
        got = store.obtain(
            "fit",
            "k" * 64,
            {},
            lambda: compute(name),
            lambda text, folder: (folder / "value").write_text(text),
            lambda folder: (folder / "value").read_text(),
        )
        values.append(got[0])

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(values) == ["a", "b"]
    assert obtain(store)[0] in "ab"
    assert not list((store.folder / "fit").glob(".draft-*"))
    assert "cannot be locked (No locks available)" in caplog.text


def test_without_working_locks_a_draft_may_be_of_the_living_and_stays(store, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    draft = store.folder / "fit" / f".draft-{'k' * 64}-{HOST}-{os.getppid()}-0a1b2c3d"
    draft.mkdir(parents=True)
    assert obtain(store) == ("mine", False)
    assert draft.exists()


def test_where_each_host_has_locks_of_its_own_nobody_deletes_what_another_is_writing(store, monkeypatch):
    """As NFS with local locks: both hold the lock, and the second finds the draft of the first."""
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: None)
    elsewhere = store.folder / "fit" / f".draft-{'k' * 64}-elsewhere-1-0a1b2c3d"
    old = elsewhere.with_name(elsewhere.name[:-1] + "e")
    for draft in (elsewhere, old):
        draft.mkdir(parents=True)
    os.utime(old, (1, 1))

    def save(text: str, folder: Path) -> None:
        assert obtain(store, "second") == ("second", False)
        (folder / "value").write_text(text)  # fails if the folder went

    value, entry, _ = store.obtain("fit", "k" * 64, {}, lambda: ("first", 1.0, 1.0), save, lambda folder: "?")
    assert (value, list(entry.files)) == ("first", ["value"])
    assert obtain(store)[0] == "second"
    assert [path.name for path in (store.folder / "fit").glob(".draft-*")] == [elsewhere.name]


def test_checkpoints_of_a_stage_that_is_stored_go_when_it_is_found(store):
    """Their process died after the entry appeared and before it removed them."""
    obtain(store)
    part = store.part("fit", "k" * 64)
    part.mkdir()
    (part / "x.safetensors").write_text("")
    assert obtain(store) == ("mine", True)
    assert not part.exists()


def test_no_two_hold_a_lock_while_its_file_comes_and_goes(tmp_path):
    """Each release removes the file, so that a waiter may hold the lock of a file that is gone."""
    path, counter = tmp_path / "lock", tmp_path / "counter"
    counter.write_text("0")

    def work() -> None:
        for _ in range(100):
            with locks.holding(path, "x"):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "400"
    assert locks.is_free(path)


def test_is_free(tmp_path):
    path = tmp_path / "lock"
    assert locks.is_free(path)
    with locks.holding(path, "x"):
        assert not locks.is_free(path)
        assert path.read_text().startswith(f"process {os.getpid()} on ")
    assert locks.is_free(path)


def test_a_full_disk_costs_the_entry_and_not_the_value(store, caplog):
    def save(text: str, folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    value, _, reused = store.obtain("fit", "k" * 64, {}, lambda: ("mine", 1.0, 1.0), save, lambda folder: "?")
    assert (value, reused) == ("mine", False)
    assert "No space left on device" in caplog.text
    assert "store_dir" in caplog.text
    assert not store.entries()
    assert not list((store.folder / "fit").iterdir())


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_computed(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="set store_dir to another folder or to null"):
        Store(tmp_path / "file").obtain("fit", "k", {}, pytest.fail, lambda v, f: None, lambda f: None)


def test_an_interrupted_save_leaves_nothing(store):
    def save(text: str, folder: Path) -> None:
        (folder / "value").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.obtain("fit", "k" * 64, {}, lambda: ("mine", 1.0, 1.0), save, lambda folder: "?")
    assert not list((store.folder / "fit").iterdir())


def test_others_may_read_a_shared_store_whatever_a_library_thinks(store):
    def save(text: str, folder: Path) -> None:
        (folder / "value").touch(mode=0o600)

    store.obtain("fit", "k" * 64, {}, lambda: ("mine", 1.0, 1.0), save, lambda folder: "?")
    folder = store.path(store.entries()[0])
    assert (folder / "value").stat().st_mode == (folder / "entry.json").stat().st_mode


def test_checkpoints_of_a_stage_go_when_it_is_stored(store):
    store.part("fit", "k" * 64).mkdir(parents=True)
    obtain(store)
    assert not store.part("fit", "k" * 64).exists()


def test_the_default_folder_is_among_the_outputs():
    assert default_store_dir() == Path("outputs/store")
