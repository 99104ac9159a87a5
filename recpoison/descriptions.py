"""What a part is, as plain values, and which code it runs: both decide whether a result can be reused."""

from __future__ import annotations

import ast
import contextlib
import csv
import dataclasses
import hashlib
import importlib.util
import json
import os
import sys
import sysconfig
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, packages_distributions, version
from pathlib import Path
from typing import Any

import platformdirs

# Metadata of a part's field that cannot change a number, such as a memory limit or where a file lies.
NO_EFFECT = {"affects": False}
# Code that tells of a result and cannot change it.
_SILENT = {"recpoison.errors", "recpoison.progress"}
# Libraries whose release changes numbers.
_NUMERIC = ("torch", "numpy", "scipy", "pandas", "numba")
# Sources to remember before starting anew.
_MOST = 5000
_PYTHON = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
# Folders of installed libraries: of this Python, of the user, of the system, wherever they lie.
_INSTALLED = {"site-packages", "dist-packages"}


def describe(value: Any) -> Any:
    """Plain values that say everything about a part: dataclasses become mappings with their class under ``_target_``.

    Raises:
        TypeError: If something inside is neither a plain value nor a dataclass.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"_target_": _class_name(value), **fields}
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a part holds {type(value).__name__}, which cannot be described in plain values")


def identity(part: Any) -> Any:
    """The description of a part without the fields that cannot change a number: what a stage's key is made of.

    Such a field is marked where it is declared: ``field(default=16, metadata=NO_EFFECT)``.
    """
    if isinstance(part, Mapping):
        return {str(key): identity(item) for key, item in part.items()}
    if isinstance(part, list | tuple):
        return [identity(item) for item in part]
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return describe(part)
    kept = [field.name for field in dataclasses.fields(part) if field.metadata.get("affects", True)]
    return {"_target_": _class_name(part)} | {name: identity(getattr(part, name)) for name in kept}


def digest(value: Any) -> str:
    """sha256 of a plain value, the same whatever the order of its keys; 1 and 1.0 are the same number."""
    return hashlib.sha256(json.dumps(_plain(value), sort_keys=True, allow_nan=True).encode()).hexdigest()


def code_version(*parts: Any) -> str:
    """Digest of the code that the parts run: their modules, and all modules of ours or the user's that those import.

    Comments, docstrings and layout do not count. Installed libraries count by their release, not by their files: of
    those that our own code imports the numerical ones, of those that the user's code imports all. What belongs to no
    installed distribution counts by its files, as do editable installs, and the packages of the parts themselves.

    Code that is in no file (a class written in a notebook) is a new version each time: its results are never reused,
    because nobody could tell that it was edited.

    Args:
        parts: Dataclasses, nested parts included, or functions and classes that a stage also runs.
    """
    return code_of(sorted({name for part in parts for name in _modules(part)}))


def code_of(names: Sequence[str]) -> str:
    """As ``code_version``, for modules given by name; none is imported."""
    modules = {module for name in names for module in _reachable(name)}
    code = {module: _read(module).code or uuid.uuid4().hex for module in modules}
    releases = {library: _installed(library) for module in modules for library in _libraries(module)}
    _remember()
    return digest([code, {library: release for library, release in releases.items() if release is not None}])


@dataclasses.dataclass(frozen=True)
class _Source:
    """A module's code without what cannot matter, and every name it might import; no code if it is in no file."""

    code: str = ""
    imports: frozenset[str] = frozenset()


def _class_name(part: Any) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _modules(part: Any) -> set[str]:
    """Where the classes of a part and of the parts inside it are written."""
    if isinstance(part, Mapping):
        return set().union(*map(_modules, part.values()))
    if isinstance(part, list | tuple):
        return set().union(*map(_modules, part))
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        inside = (_modules(getattr(part, field.name)) for field in dataclasses.fields(part))
        return {type(part).__module__}.union(*inside)
    return {part.__module__} if callable(part) else set()


@cache
def _reachable(module: str) -> frozenset[str]:
    own = _package(module)
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or (name != module and _path(name) is None):
            continue
        found.add(name)
        packages = ((other, _package(other)) for other in _read(name).imports)
        waiting += [other for other, package in packages if package in (own, "recpoison") or _follows(name, package)]
    return frozenset(found - _SILENT)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _follows(module: str, package: str) -> bool:
    """Whether what ``module`` imports from ``package`` is code to be read; recpoison itself imports only libraries."""
    return _package(module) != "recpoison" and _is_ours(package)


@cache
def _libraries(module: str) -> frozenset[str]:
    """The packages a module imports whose release counts."""
    imported = {_package(name) for name in _read(module).imports}
    if _package(module) == "recpoison":
        return frozenset(imported.intersection(_NUMERIC))
    return frozenset(package for package in imported if package != "recpoison" and not _is_ours(package))


@cache
def _is_ours(package: str) -> bool:
    """Whether its source may change between two runs: it is no part of Python and of no installed distribution."""
    path = _path(package)
    if path is None or package in _NUMERIC:
        return False
    if _INSTALLED.intersection(path.parts):
        return not _owners(package)
    return not any(map(path.is_relative_to, _PYTHON)) and not any(_brought(owner, path) for owner in _owners(package))


@cache
def _owners(package: str) -> tuple[Distribution, ...]:
    """The installed distributions that say they bring a package."""
    return tuple(distribution(name) for name in sorted(set(_distributions().get(package, ()))))


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _brought(owner: Distribution, path: Path) -> bool:
    """Whether an installer copied the file from there: an editable install names a package and leaves it in place."""
    record = csv.reader((owner.read_text("RECORD") or "").splitlines())
    return any(Path(str(owner.locate_file(row[0]))).resolve() == path.resolve() for row in record if row)


@cache
def _path(name: str) -> Path | None:
    """The file of a module, found without importing it; None where there is none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    parent, _, stem = name.rpartition(".")
    if file is None and parent:
        package = _path(parent)
        if package is None or package.name != "__init__.py":
            return None
        found = [package.parent / f"{stem}.py", package.parent / stem / "__init__.py"]
        return next((path for path in found if path.is_file()), None)
    if file is None:
        spec = importlib.util.find_spec(name) if name not in sys.modules else None
        file = spec.origin if spec else None
    return Path(file) if file and file.endswith(".py") else None


@cache
def _read(name: str) -> _Source:
    path = _path(name)
    if path is None:
        return _Source()
    text = path.read_bytes()
    key = hashlib.sha256(name.encode() + b"/" + path.name.encode() + b"/" + text).hexdigest()
    known = _parsed()
    if key not in known:
        known[key] = _parse(text, name, path.name == "__init__.py")
        _unsaved.add(key)
    return known[key]


def _parse(text: bytes, name: str, is_package: bool) -> _Source:
    tree = ast.parse(text)
    package = name if is_package else name.rpartition(".")[0]
    parents = {name[:dot] for dot, letter in enumerate(name) if letter == "."}
    imports = parents.union(*_imports(tree, package))
    return _Source(hashlib.sha256(ast.dump(tree).encode()).hexdigest(), frozenset(imports))


_unsaved: set[str] = set()


def _memory() -> Path:
    """Where parsed sources are remembered: parsing 50 of them again in each run would take a tenth of a second."""
    return platformdirs.user_cache_path("recpoison") / "sources.json"


def _rules() -> str:
    """What the memory depends on besides the sources: this file, and Python's own grammar."""
    return hashlib.sha256(sys.version.encode() + Path(__file__).read_bytes()).hexdigest()


@cache
def _parsed() -> dict[str, _Source]:
    try:
        memory = json.loads(_memory().read_text(encoding="utf-8"))
        if memory["rules"] == _rules() and len(memory["sources"]) < _MOST:
            return {key: _Source(code, frozenset(names)) for key, (code, names) in memory["sources"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # None yet, or not ours.
    return {}


def _remember() -> None:
    if not _unsaved:
        return
    sources = {key: (source.code, sorted(source.imports)) for key, source in _parsed().items()}
    draft = _memory().with_name(f".sources-{uuid.uuid4().hex[:8]}")
    with contextlib.suppress(OSError):
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({"rules": _rules(), "sources": sources}), encoding="utf-8")
        os.replace(draft, _memory())
    _unsaved.clear()


def _imports(block: ast.AST, package: str) -> Iterator[set[str]]:
    """What each import statement in ``block`` might bring; a name among it may be no module. Drops docstrings."""
    if isinstance(block, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        block.body = block.body[ast.get_docstring(block, clean=False) is not None :]
    hints = isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
    for name in ("orelse",) if hints else ("body", "orelse", "finalbody", "handlers", "cases"):
        inside = getattr(block, name, ())
        for node in inside if isinstance(inside, list) else ():
            if isinstance(node, ast.Import):
                yield {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
                start = ".".join([*above, *([node.module] if node.module else [])])
                yield {start, *(f"{start}.{alias.name}" for alias in node.names)}
            elif hasattr(node, "body") or hasattr(node, "cases"):
                yield from _imports(node, package)


@cache
def _installed(package: str) -> str | None:
    """The releases of the distributions that bring a package; None where there are none, as for Python's own."""
    if package in _NUMERIC:
        try:
            return version(package)
        except PackageNotFoundError:
            return ""
    return ", ".join(f"{owner.metadata['Name']} {owner.version}" for owner in _owners(package)) or None
