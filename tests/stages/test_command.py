import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recpoison.descriptions import digest
from recpoison.stages import command as store_command
from recpoison.stages.command import main
from recpoison.stages.store import Entry, Store

DAY = 86400


def put(store: Store, number: int, size: int = 1000, days_ago: float = 0.0) -> Entry:
    """An entry of about ``size`` bytes, last used some days ago."""
    inputs = {"number": number}
    _, entry, _ = store.obtain(
        "fit",
        digest(inputs),
        inputs,
        lambda: (b"x" * size, 60.0, 100.0),
        lambda data, folder: (folder / "params").write_bytes(data),
        lambda folder: (folder / "params").read_bytes(),
        f"fit number {number}",
    )
    when = time.time() - days_ago * DAY
    os.utime(store.path(entry) / "entry.json", (when, when))
    return entry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def said(capsys, *arguments: str, code: int = 0) -> str:
    """What the command prints to stdout (to stderr where it fails)."""
    assert main(arguments) == code
    out, error = capsys.readouterr()
    return error if code == 2 else out


def test_ls_lists_what_is_stored_and_what_it_saves(store, capsys):
    entry = put(store, 1, days_ago=3)
    out = said(capsys, "ls", "--store-dir", str(store.folder))
    assert all(text in out for text in ("fit", entry.key[:12], "fit number 1", "60.0 s", "3 d ago", "1 stages in"))


def test_show_takes_the_first_letters_of_a_key(store, capsys):
    entries = [put(store, number) for number in range(20)]
    where = ("--store-dir", str(store.folder))
    out = said(capsys, "show", entries[0].key[:12], *where)
    assert entries[0].key in out
    assert '"number": 0' in out
    assert entries[0].files["params"] in out
    assert "give more of it" in said(capsys, "show", "", *where, code=2)
    assert "recpoison-store ls lists them" in said(capsys, "show", "xyz", *where, code=2)


def test_prune_by_age_counts_from_the_last_use(store, capsys):
    old, used = put(store, 1, days_ago=31), put(store, 2, days_ago=31)
    put(store, 2)  # loaded today
    where = ("--store-dir", str(store.folder))
    os.utime(store.path(used) / "entry.json")
    assert old.key[:12] in said(capsys, "prune", "--older-than", "30d", "--dry-run", *where)
    assert len(store.entries()) == 2
    said(capsys, "prune", "--older-than", "30d", *where)
    assert [entry.key for entry in store.entries()] == [used.key]


def test_loading_an_entry_is_a_use(store):
    entry = put(store, 1, days_ago=31)
    store.obtain("fit", entry.key, {}, pytest.fail, lambda v, f: None, lambda folder: None)
    assert time.time() - store.last_used(entry) < 60


def test_prune_by_size_removes_the_least_recently_used_until_it_fits(store, capsys):
    entries = [put(store, number, 10_000, days_ago=9 - number) for number in range(5)]
    out = said(capsys, "prune", "--keep-size", "25KB", "--store-dir", str(store.folder))
    assert {entry.key for entry in store.entries()} == {entries[3].key, entries[4].key}  # about 10.4 KB each
    assert "3 stages and 0 leftovers" in out


@pytest.mark.parametrize(
    ("option", "text"), [("--older-than", "30y"), ("--older-than", "d"), ("--keep-size", "20XB"), ("--keep-size", "iB")]
)
def test_bad_amounts_are_refused(store, capsys, option, text):
    put(store, 1)
    assert text in said(capsys, "prune", option, text, "--store-dir", str(store.folder), code=2)
    assert len(store.entries()) == 1


@pytest.mark.parametrize(
    ("text", "bytes_"), [("20GB", 20e9), ("1.5k", 1500), ("7", 7), ("2MiB", 2 * 2**20), ("1TiB", 2**40), ("3 tb", 3e12)]
)
def test_sizes(text, bytes_):
    assert store_command._bytes(text) == bytes_


def test_prune_removes_what_the_dead_left_and_spares_the_living(store, capsys):
    put(store, 1)
    fit = store.folder / "fit"
    host = socket.gethostname().replace("-", "_")
    alive = f".draft-alive-{host}-{os.getpid()}-1"
    for name in (f".draft-dead-{host}-99999999-1", alive, ".part-dead", ".part-alive", ".removed-1"):
        (fit / name).mkdir()
        (fit / name / "file").write_text("x")
    where = ("--store-dir", str(store.folder))
    with store.lock("fit", "alive"):
        said(capsys, "prune", *where)
        assert {path.name for path in fit.glob(".*")} == {alive, ".part-alive", ".part-dead"}
        long_ago = time.time() - 31 * DAY
        for path in (
            fit / ".part-dead",
            fit / ".part-dead" / "file",
            fit / ".part-alive",
            fit / ".part-alive" / "file",
        ):
            os.utime(path, (long_ago, long_ago))
        said(capsys, "prune", "--older-than", "30d", *where)
        assert {path.name for path in fit.glob(".*")} == {alive, ".part-alive"}
    assert len(store.entries()) == 1


def test_verify_finds_a_flipped_byte_and_a_changed_description(store, capsys):
    entries = [put(store, number) for number in range(3)]
    where = ("--store-dir", str(store.folder))
    assert "3 stages checked, 0 damaged" in said(capsys, "verify", *where)
    (store.path(entries[0]) / "params").write_bytes(b"y" + b"x" * 999)
    about = store.path(entries[1]) / "entry.json"
    about.write_text(about.read_text().replace('"number": 1', '"number": 7'))
    out = said(capsys, "verify", *where, code=1)
    assert "3 stages checked, 2 damaged" in out
    assert [entry.key for entry in store.entries()] == [entries[2].key]
    assert "1 stages checked, 0 damaged" in said(capsys, "verify", *where)
    assert "2 damaged left behind" in said(capsys, "ls", *where)
    said(capsys, "prune", *where)
    assert not list((store.folder / ".damaged").iterdir())


def test_no_store_is_said_in_one_sentence(tmp_path, capsys):
    assert "there is no store at" in said(capsys, "ls", "--store-dir", str(tmp_path / "none"), code=2)


def test_ctrl_c_is_130(store, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    store.folder.mkdir()
    monkeypatch.setattr(store_command, "_list", interrupt)
    assert main(["ls", "--store-dir", str(store.folder)]) == 130


def test_the_command_imports_no_torch():
    code = "import sys, recpoison.stages.command; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
