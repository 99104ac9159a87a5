import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy
import pytest

from recpoison.descriptions import NO_EFFECT, code_version, describe, digest, identity

MODULES = {
    "__init__.py": "",
    "parts.py": "from dataclasses import dataclass\nfrom mylab import inner\nfrom .sibling import two\n"
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mylab import hints\n\n"
    '@dataclass(frozen=True)\nclass Part:\n    """Says."""\n    x: int = 1\n\n'
    "    def f(self):\n        from mylab import late\n",
    "inner.py": "import mylab.deep.deepest\nX = 1\n",
    "sibling.py": "two = 2\n",
    "late.py": "Y = 1\n",
    "hints.py": "Z = 1\n",
    "unrelated.py": "W = 1\n",
    "deep/__init__.py": "",
    "deep/deepest.py": "V = 1\n",
}
ASK = "from mylab.parts import Part; from recpoison.descriptions import code_version; print(code_version(Part()))"


@dataclass(frozen=True)
class Inner:
    a: int = 1


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    rate: float = 0.5
    memory_mb: int = field(default=16, metadata=NO_EFFECT)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / "mylab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def asked(*folders: Path) -> str:
    """The code version as a fresh process sees it."""
    path = ":".join(map(str, (*folders, Path(__file__).parents[1])))
    environment = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folders[0])}
    return subprocess.run(
        [sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env=environment
    ).stdout


def test_a_part_is_described_by_its_class_and_all_fields():
    inner = {"_target_": f"{__name__}.Inner", "a": 1}
    assert describe(Outer()) == {"_target_": f"{__name__}.Outer", "inner": inner, "rate": 0.5, "memory_mb": 16}
    assert describe({"a": (1, Path("x"))}) == {"a": [1, "x"]}
    with pytest.raises(TypeError, match="object"):
        describe(object())


def test_identity_leaves_out_what_cannot_matter():
    assert identity(Outer(memory_mb=16)) == identity(Outer(memory_mb=99))
    assert identity(Outer()) != identity(Outer(rate=0.6))
    assert identity([Outer(Inner(2))]) != identity([Outer()])


def test_digest_knows_numbers_not_their_spelling():
    assert digest({"a": 1, "b": 2.0}) == digest({"b": 2, "a": 1.0})
    assert digest(1.5) != digest(1)
    assert digest(True) != digest(1)
    assert digest(None) != digest("None")
    assert digest([1, 2]) != digest([2, 1])


def test_the_code_version_knows_every_imported_module_and_no_other(package):
    before = asked(package)
    assert asked(package) == before
    for name in ("parts.py", "inner.py", "sibling.py", "late.py", "deep/deepest.py", "__init__.py"):
        path = package / "mylab" / name
        text = path.read_text()
        path.write_text(text + "NEW = 1\n")
        assert asked(package) != before, name
        path.write_text(text)
    assert asked(package) == before
    for name in ("unrelated.py", "hints.py"):
        (package / "mylab" / name).write_text("NEW = 1\n")
    assert asked(package) == before


def test_the_memory_of_parsed_sources_changes_nothing(package):
    """Without one, with one, with a broken one and in a folder that cannot be written."""
    said = set()
    for text in (None, None, "[]", "{", '{"rules": 1, "sources": {}}'):
        memory = package / ".cache" / "recpoison" / "sources.json"
        if text is not None:
            assert memory.is_file()
            memory.write_text(text)
        said.add(asked(package))
    memory.unlink()
    memory.mkdir()
    said.add(asked(package))
    assert len(said) == 1


def test_comments_docstrings_and_layout_are_no_code(package):
    before = asked(package)
    path = package / "mylab" / "parts.py"
    path.write_text("# a comment\n" + path.read_text().replace('"""Says."""', '"""Says more."""\n'))
    (package / "mylab" / "inner.py").write_text('"""New."""\nimport mylab.deep.deepest\n\n\nX = (\n    1\n)\n')
    assert asked(package) == before


def test_where_the_code_lies_does_not_matter(package, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (package / "mylab").rename(other / "mylab")
    moved = asked(other)
    (other / "mylab").rename(package / "mylab")
    assert asked(package) == moved


def test_only_numerical_libraries_that_are_imported_count(package, monkeypatch):
    from recpoison import descriptions
    from recpoison.data.synthetic import Synthetic

    descriptions._installed.cache_clear()
    before = code_version(Synthetic("s"))
    for library, matters in (("numpy", True), ("matplotlib", False)):
        real = descriptions.version
        monkeypatch.setattr(
            descriptions, "version", lambda name, one=library, real=real: real(name) + "x" * (name == one)
        )
        descriptions._installed.cache_clear()
        assert (code_version(Synthetic("s")) != before) == matters, library
        monkeypatch.setattr(descriptions, "version", real)
    descriptions._installed.cache_clear()


def test_code_in_no_file_is_never_the_same_twice(monkeypatch):
    """A class written in a notebook may have been edited since."""
    made = dataclass(frozen=True)(type("Made", (), {"__module__": "__nowhere__"}))
    monkeypatch.setitem(sys.modules, "__nowhere__", type(sys)("__nowhere__"))
    assert code_version(made()) != code_version(made())
    assert code_version(Inner()) == code_version(Inner())


def test_functions_count_by_their_module():
    from recpoison.changes import Budget
    from recpoison.data.saving import load_split

    assert code_version(Budget(), load_split) != code_version(Budget())


LIBRARY_PART = {
    "__init__.py": "",
    "parts.py": "from dataclasses import dataclass\nimport helping\n\n@dataclass(frozen=True)\nclass Part:\n"
    "    x: int = 1\n",
}


def installed(site: Path, package: Path, *, release: str = "1.0", record: bool = True) -> None:
    """Leave the metadata that pip or a distributor leaves in ``site`` for the package ``helping``."""
    metadata = site / "helping-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: helping\nVersion: {release}\n")
    (metadata / "top_level.txt").write_text("helping\n")
    files = [f"helping/{path.name}" for path in package.iterdir()] if package.parent == site else ["__editable__.pth"]
    if record:
        (metadata / "RECORD").write_text("".join(f"{name},,\n" for name in files))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("site", "source", "record", "by_release"),
    [
        ("venv/lib/python3.12/site-packages", None, True, True),
        (".local/lib/python3.12/site-packages", None, True, True),  # pip install --user
        ("usr/lib/python3/dist-packages", None, False, True),  # a system's own packages keep no RECORD
        ("libraries", None, True, True),  # pip install --target
        ("venv/lib/python3.12/site-packages", "checkout", True, False),  # pip install --editable
        ("venv/lib/python3.12/site-packages", None, None, False),  # a file put there by hand
        ("checkout", None, None, False),
    ],
)
def test_a_library_counts_by_its_release_and_local_code_by_its_files(tmp_path, site, source, record, by_release):
    site = tmp_path / site
    package = (tmp_path / source if source else site) / "helping"
    for folder, files in ((tmp_path / "mylab", LIBRARY_PART), (package, {"__init__.py": "import helping.deep\n"})):
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    (package / "deep.py").write_text("X = 1\n")
    if record is not None:
        installed(site, package, record=record)
    folders = (tmp_path, site, package.parent)
    before = asked(*folders)
    (package / "deep.py").write_text("X = 2\n")
    assert (asked(*folders) == before) == by_release
    if by_release:
        installed(site, package, release="2.0", record=record)
        assert asked(*folders) != before


def test_a_part_in_a_library_counts_by_its_files(package):
    """Parts that were installed with pip are still what decides a number."""
    site = package / "site-packages"
    site.mkdir()
    (package / "mylab").rename(site / "mylab")
    before = asked(site)
    (site / "mylab" / "sibling.py").write_text("two = 3\n")
    assert asked(site) != before


@pytest.fixture
def borrowing(tmp_path: Path) -> Path:
    """The Python of an environment whose libraries lie in another one, as with ``--system-site-packages``."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    site = next((tmp_path / "venv").glob("lib/*/site-packages"))
    (site / "borrowed.pth").write_text(f"{Path(numpy.__file__).parents[1]}\n{Path(__file__).parents[1]}\n")
    return tmp_path / "venv" / "bin" / "python"


@pytest.mark.slow
def test_libraries_of_another_environment_are_no_code_of_ours(borrowing):
    """Whatever was imported before the question."""
    ask = "from recpoison.descriptions import code_of; print(code_of(['recpoison.experiment']))"
    said = {
        subprocess.run([python, "-c", before + ask], capture_output=True, text=True, check=True).stdout
        for python in (borrowing, sys.executable)
        for before in ("", "import scipy.stats, torch; ")
    }
    assert len(said) == 1


@pytest.mark.slow
def test_a_run_finds_its_stages_again_where_libraries_are_borrowed(borrowing, tmp_path):
    reused = []
    for folder in ("first", "second"):
        line = f"{borrowing} -m recpoison.train_attack_eval hydra.run.dir={folder} store_dir={tmp_path}/store"
        subprocess.run(line.split(), cwd=tmp_path, capture_output=True, check=True)
        reused.append([stage["reused"] for stage in json.loads((tmp_path / folder / "run.json").read_text())["stages"]])
    assert reused == [[False] * 6, [True] * 6]
