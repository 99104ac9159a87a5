"""Where numba keeps what it compiled."""

import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from recpoison import compiled

ROOT = Path(__file__).parents[1]


def test_a_folder_of_the_users_own_is_left_alone(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    compiled.keep_compiled_code()
    assert compiled.os.environ["NUMBA_CACHE_DIR"] == str(tmp_path)


def test_the_first_place_that_can_be_written_is_taken(monkeypatch, tmp_path: Path):
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(compiled, "_places", lambda: [tmp_path / "file", tmp_path / "folder"])
    compiled.keep_compiled_code()
    chosen = Path(compiled.os.environ["NUMBA_CACHE_DIR"])
    assert chosen.is_relative_to(tmp_path / "folder")
    assert chosen.is_dir()


def refused(place: Path, monkeypatch) -> bool:
    """Whether a place is passed over: the code then goes to a fresh folder that nobody can guess or enter."""
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(compiled, "_places", lambda: [place])
    compiled.keep_compiled_code()
    chosen = Path(os.environ["NUMBA_CACHE_DIR"])
    assert stat.S_IMODE(chosen.stat().st_mode) == 0o700
    fresh = not chosen.is_relative_to(place)
    if fresh:
        chosen.rmdir()
    return fresh


def test_folders_are_made_for_this_user_alone_whatever_the_umask(tmp_path, monkeypatch):
    before = os.umask(0)
    try:
        assert not refused(tmp_path / "place", monkeypatch)
        assert not refused(tmp_path / "place", monkeypatch)  # and found again
    finally:
        os.umask(before)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702, 0o1777])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_place_that_others_can_write_is_passed_over(tmp_path, monkeypatch, which, mode):
    folders = [tmp_path / "place", tmp_path / "place" / "numba", tmp_path / "place" / "numba" / compiled._kernels()]
    for number, folder in enumerate(folders):
        folder.mkdir(mode=0o700)
        if number == which:
            folder.chmod(mode)
    assert refused(tmp_path / "place", monkeypatch)


def test_a_place_in_a_folder_where_others_can_rename_it_is_passed_over(tmp_path, monkeypatch):
    for mode, passed_over in ((0o777, True), (0o1777, False), (0o755, False)):
        (tmp_path / str(mode)).mkdir()
        (tmp_path / str(mode)).chmod(mode)
        assert refused(tmp_path / str(mode) / "place", monkeypatch) == passed_over


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a folder to another")
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_place_of_another_user_is_passed_over(tmp_path, monkeypatch, kind):
    if kind == "folder":
        (tmp_path / "place").mkdir(mode=0o755)
    else:
        (tmp_path / "own").mkdir(mode=0o700)
        (tmp_path / "place").symlink_to(tmp_path / "own")
    os.chown(tmp_path / "place", 65534, 65534, follow_symlinks=False)
    assert refused(tmp_path / "place", monkeypatch)


def test_without_a_home_no_folder_named_after_it_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused(Path("~/.cache/recpoison"), monkeypatch)
    assert not list(tmp_path.iterdir())


class Planted:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.slow
def test_nothing_that_another_left_in_the_shared_temporary_folder_is_unpickled(tmp_path):
    """A fresh process without a cache folder fills one; its files are replaced, and the folder opened to all."""
    shared, mark = tmp_path / "tmp", tmp_path / "mark"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "file").write_text("")
    code = (
        "import os, numpy as np, recpoison; from recpoison.evaluation.sampled import _draw; "
        "one = np.zeros(1, dtype=np.int32); starts = np.zeros(2, dtype=np.int64); "
        "_draw(starts, one, 4, np.random.default_rng(0), np.empty((1, 2), dtype=np.int32)); "
        "print(os.environ['NUMBA_CACHE_DIR'])"
    )
    environment = os.environ | {"TMPDIR": str(shared), "XDG_CACHE_HOME": str(tmp_path / "file")}
    environment |= {"PYTHONPATH": str(ROOT)}
    environment.pop("NUMBA_CACHE_DIR", None)

    def where() -> Path:
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        return Path(done.stdout.strip())

    first = where()
    assert first.is_relative_to(shared)
    assert where() == first
    for folder in (first.parents[1], first):
        folder.chmod(0o777)
    indices = list(first.rglob("*.nbi"))
    assert indices
    for index in indices:
        index.write_bytes(pickle.dumps(Planted(mark)))
    assert not where().is_relative_to(first)
    assert not mark.exists()


def test_the_folder_changes_with_any_kernel(monkeypatch, tmp_path: Path):
    (tmp_path / "one.py").write_text("@njit\ndef one(): return 1\n")
    (tmp_path / "plain.py").write_text("x = 1\n")
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    before = compiled._kernels()
    (tmp_path / "plain.py").write_text("x = 2\n")
    assert compiled._kernels() == before
    (tmp_path / "one.py").write_text("@njit\ndef one(): return 2\n")
    assert compiled._kernels() != before
