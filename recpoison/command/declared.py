"""What a class declares: its fields with their types, and what data it works on; from its source, or once imported."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_type_hints

_PACKAGE = Path(__file__).resolve().parents[1]
_TYPES: tuple[type, ...] = (bool, int, float, str, tuple, list, dict, Path, Mapping, Sequence)
_KNOWN: dict[str, Any] = {kind.__name__: kind for kind in _TYPES} | {"Literal": Literal}
_NOTHING = dataclasses.MISSING


@dataclass(frozen=True)
class Declared:
    """What is known of a class before anything is built.

    Args:
        name: Of the class.
        fields: What its constructor takes, with the annotations; ``Any`` where the source alone does not tell.
        required: Those without a default.
        constants: What it works on (``works_on``), and what kind of data it is (``kind``), where it says so.
    """

    name: str
    fields: Mapping[str, Any]
    required: frozenset[str]
    constants: Mapping[str, Any]


def of_class(cls: type) -> Declared:
    """What an imported dataclass declares."""
    hints = get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cls) if field.init]
    required = frozenset(field.name for field in fields if field.default is field.default_factory is _NOTHING)
    constants = {name: getattr(cls, name) for name in ("kind", "works_on") if hasattr(cls, name)}
    return Declared(cls.__name__, {field.name: hints[field.name] for field in fields}, required, constants)


@cache
def of_source(target: str) -> Declared | None:
    """What a class of this package declares; nothing is imported, so that no torch is waited for.

    Args:
        target: Dotted name, such as ``recpoison.models.bprmf.BPRMF``.

    Returns:
        None where there is no such class in that very file.
    """
    module, _, name = target.rpartition(".")
    imports, found = _class(module, name)
    if found is None:
        return None
    fields: dict[str, Any] = {}
    required: frozenset[str] = frozenset()
    constants: dict[str, Any] = {}
    for base in reversed(found.bases):
        base = base.value if isinstance(base, ast.Subscript) else base
        above = of_source(_imported(imports, module, ast.unparse(base)))
        if above is not None:
            fields, constants = {**fields, **above.fields}, {**constants, **above.constants}
            required |= above.required
    for node in found.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            _take(node, node.target.id, fields, constants)
            required = required - {node.target.id} if _has_default(node.value) else required | {node.target.id}
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            _keep(node.targets[0].id, node.value, constants)
    return Declared(name, fields, required.intersection(fields), constants)


def _take(node: ast.AnnAssign, name: str, fields: dict[str, Any], constants: dict[str, Any]) -> None:
    """One annotated line of a class: a field, unless it belongs to the class or the constructor does not take it."""
    if ast.unparse(node.annotation).startswith("ClassVar"):
        _keep(name, node.value, constants)
    elif node.value is None or "init=False" not in ast.unparse(node.value):
        fields[name] = _type(node.annotation)


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        return any((keyword.arg or "").startswith("default") for keyword in value.keywords)
    return value is not None


def _keep(name: str, value: ast.expr | None, constants: dict[str, Any]) -> None:
    if name in ("kind", "works_on") and isinstance(value, ast.Constant):
        constants[name] = value.value


class _Names(dict[str, Any]):
    """Names in an annotation; one that is not known fits everything."""

    def __missing__(self, name: str) -> Any:
        return Any


def _type(annotation: ast.expr) -> Any:
    with suppress(Exception):  # such as Any[int], of a name that is not known
        code = compile(ast.Expression(annotation), "annotation", "eval")
        return eval(code, {"__builtins__": {}}, _Names(_KNOWN))
    return Any


def _class(module: str, name: str) -> tuple[list[ast.stmt], ast.ClassDef | None]:
    """What stands at the start of a module, and a class in it; the rest, which would take longest, is not parsed."""
    path = _PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    if module.partition(".")[0] != _PACKAGE.name or not path.is_file():
        return [], None
    text = path.read_text(encoding="utf-8")
    found = re.search(rf"^class {re.escape(name)}\b.*?(?=^[^\s)]|\Z)", text, re.MULTILINE | re.DOTALL)
    start = re.split(r"^(?:@|class |def )", text, maxsplit=1, flags=re.MULTILINE)[0]
    body = ast.parse(found[0]).body if found else []
    return ast.parse(start).body, next((node for node in body if isinstance(node, ast.ClassDef)), None)


def _imported(imports: list[ast.stmt], module: str, name: str) -> str:
    """The dotted name of a class that a module calls ``name``."""
    for node in imports:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
    return f"{module}.{name}"
