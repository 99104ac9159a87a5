"""The commit that a run says, beside git's own word."""

import subprocess
from pathlib import Path

import pytest

from recpoison.versions import commit

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout")
def test_the_commit_is_gits():
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    found = commit()
    assert found is not None
    assert done.stdout.startswith(found.rstrip("+"))
    assert len(found.rstrip("+")) >= 12


def test_a_file_that_differs_is_marked(tmp_path, monkeypatch):
    def git(*words: str) -> None:
        user = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *user, *words], check=True, capture_output=True)

    (tmp_path / "recpoison").mkdir()
    (tmp_path / "conf").mkdir()
    for name in ("recpoison/versions.py", "conf/a.yaml", "README.md"):
        (tmp_path / name).write_text("one\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr("recpoison.versions.__file__", str(tmp_path / "recpoison" / "versions.py"))
    commit.cache_clear()
    first = commit()
    assert first is not None
    assert not first.endswith("+")
    (tmp_path / "README.md").write_text("two\n")
    commit.cache_clear()
    assert commit() == first, "prose computes nothing"
    (tmp_path / "conf" / "a.yaml").write_text("two\n")
    commit.cache_clear()
    assert commit() == first + "+"


def test_outside_of_a_checkout_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr("recpoison.versions.__file__", str(tmp_path / "recpoison" / "versions.py"))
    commit.cache_clear()
    assert commit() is None


@pytest.fixture(autouse=True)
def _forget():
    yield
    commit.cache_clear()
