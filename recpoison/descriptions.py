"""What a part is, as plain values, and which code it runs: both decide whether a result can be reused."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# Libraries whose release changes numbers.
_NUMERIC = ("torch", "numpy", "scipy", "numba")


def describe(value: Any) -> Any:
    """Plain values that say everything about a part: dataclasses become mappings with their class under ``_target_``.

    Raises:
        TypeError: If something inside is neither a plain value nor a dataclass.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"_target_": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a part holds {type(value).__name__}, which cannot be described in plain values")


def digest(value: Any) -> str:
    """sha256 of a plain value, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=True).encode()).hexdigest()


def code_version(*parts: Any) -> str:
    """Digest of the source of the parts' modules and of every module of their package that those import.

    Nested parts count too. Versions of the numerical libraries are part of it.
    """
    modules: set[str] = set()
    for part in parts:
        for name in _modules(describe(part)):
            modules |= _reachable(name)
    sources = {name: _source_digest(name) for name in sorted(modules)}
    return digest([sources, {name: _installed(name) for name in _NUMERIC}])


def _modules(description: Any) -> set[str]:
    if isinstance(description, dict):
        own = {description["_target_"].rpartition(".")[0]} if "_target_" in description else set()
        return own.union(*(_modules(item) for item in description.values()))
    if isinstance(description, list):
        return set().union(*(_modules(item) for item in description))
    return set()


@cache
def _reachable(module: str) -> frozenset[str]:
    package = module.partition(".")[0]
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or not _is_module(name):
            continue
        found.add(name)
        waiting += [other for other in _imports(name) if other.partition(".")[0] in (package, "recpoison")]
    return frozenset(found)


@cache
def _is_module(name: str) -> bool:
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None) is not None
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


@cache
def _path(name: str) -> Path | None:
    if name in sys.modules:
        file = getattr(sys.modules[name], "__file__", None)
    else:
        spec = importlib.util.find_spec(name)
        file = spec.origin if spec else None
    return Path(file) if file and file.endswith(".py") else None


@cache
def _imports(name: str) -> frozenset[str]:
    path = _path(name)
    if path is None:
        return frozenset()
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


@cache
def _source_digest(name: str) -> str:
    path = _path(name)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""


@cache
def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
