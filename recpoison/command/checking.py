"""Whether plain values fit the constructor that they name, found without building anything."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import shlex
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from recpoison.command.blame import raised_in
from recpoison.command.declared import Declared, of_class
from recpoison.command.shipped import TARGET, given_by, options
from recpoison.errors import ConfigError
from recpoison.nearest import did_you_mean, nearest, nearest_path

MISSING = "???"
_MODEL = "recpoison.models.base.Model"
_WORDS: dict[Any, tuple[str, str]] = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a word", "words"),
    Path: ("a path", "paths"),
    type(None): ("null", "nulls"),
}


def locate(target: Any, trusted: Sequence[str] = ()) -> type:
    """The class that ``_target_`` names.

    Args:
        target: Dotted name, such as ``recpoison.models.bprmf.BPRMF``.
        trusted: Packages besides ``recpoison`` that may be imported.

    Raises:
        ConfigError: If it lies in no trusted package, does not import (with the cause) or is no class.
    """
    if not isinstance(target, str) or "." not in target:
        raise ConfigError(f"{target!r} is no dotted name of a class, such as recpoison.models.bprmf.BPRMF")
    package = target.split(".")[0]
    if not _is_trusted(target, trusted):
        raise ConfigError(f"{target} lies outside recpoison: if you trust it, add --trust {package} to the command")
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as cause:
        place = raised_in(cause, trusted)
        where = f" in {place}" if place else ""
        raise ConfigError(f"{module_name} does not import: {type(cause).__name__}: {cause}{where}") from cause
    found = getattr(module, name, None)
    if not isinstance(found, type):
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise ConfigError(f"{module_name} has no class {name}{did_you_mean(nearest(name, classes))}")
    if not _is_trusted(found.__module__, trusted):
        raise ConfigError(f"{target} comes from {found.__module__}, outside recpoison: name it there and --trust it")
    return found


def _is_trusted(name: str, trusted: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in ("recpoison", *trusted))


class Within(NamedTuple):
    """A part that is looked at.

    Args:
        path: Where it stands.
        target: The class it builds.
    """

    path: str
    target: str

    def given(self, path: str) -> Any:
        """What the file of its option has at ``path`` inside it; None where that is no option, or has nothing there."""
        found: Any = given_by(self.path, self.target)
        for name in path.removeprefix(f"{self.path}.").split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


NOWHERE = Within("", "")


@dataclass(frozen=True)
class Checker:
    """Compares plain values with constructors.

    Args:
        trusted: Packages besides ``recpoison`` that may be imported.
        known: Dotted settings that exist, to find the one that was meant.
        sound: Parts that need not be looked at again, as whoever fills it names them.
    """

    trusted: Sequence[str] = ()
    known: Sequence[str] = ()
    sound: set[str] = field(default_factory=set)

    def part(self, node: Any, path: str, wanted: tuple[type, ...], within: Within = NOWHERE) -> list[str]:
        """What is wrong with names and types of ``node``, which stands at ``path`` and must build one of ``wanted``.

        Args:
            node: What is given.
            path: Where.
            wanted: Classes.
            within: The part whose setting it is.
        """
        if isinstance(node, str) and (fitting := _models(wanted[0])):
            return [_no_name(node, path, fitting, within)]
        if not isinstance(node, Mapping) or TARGET not in node:
            return [f"{path} is {shown(node)}, but it must be a mapping with a {TARGET}"]
        try:
            cls = locate(node[TARGET], self.trusted)
        except ConfigError as error:
            return [f"{path}.{TARGET}: {error}"]
        if not _is_protocol(wanted[0]) and not issubclass(cls, wanted):  # its part says better what a protocol asks
            return [f"{path}.{TARGET} is {cls.__name__}, which is no {wanted[0].__name__}"]
        if not dataclasses.is_dataclass(cls):
            return [f"{path}.{TARGET} is {cls.__name__}, which is no dataclass"]
        return self.fields(node, path, of_class(cls))

    def fields(self, node: Mapping[str, Any], path: str, about: Declared) -> list[str]:
        """What is wrong with the settings of ``node``, which builds the class that ``about`` tells of."""
        known = [*self.known, *(f"{path}.{name}" for name in about.fields)]
        problems = []
        for name, value in node.items():
            if name == TARGET or value == MISSING:
                continue
            if name in about.fields:
                within = Within(path, node.get(TARGET, ""))
                problems += self.value(value, f"{path}.{name}", about.fields[name], within)
            else:
                problems.append(unknown_setting(f"{path}.{name}", known))
        problems += [
            f"{path}.{name} is required by {about.name}: give it as {path}.{name}=VALUE"
            for name in about.fields
            if name in about.required and name not in node
        ]
        return problems

    def value(self, value: Any, path: str, hint: Any, within: Within = NOWHERE) -> list[str]:
        """All that is wrong with one value under its annotation; an annotation not known here fits everything.

        Args:
            value: What is given.
            path: Where.
            hint: Its annotation.
            within: The part whose setting it is.
        """
        origin, inner = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self._union(value, path, inner)
        if isinstance(hint, type) and (
            dataclasses.is_dataclass(hint) or inspect.isabstract(hint) or _is_protocol(hint)
        ):
            return self.part(value, path, (hint,), within)
        if _is_kind(origin, Mapping) and isinstance(value, Mapping) and TARGET not in value:
            return [text for key, v in value.items() for text in self.value(v, f"{path}.{key}", inner[1], within)]
        if _is_kind(origin, Sequence):
            hints = _element_hints(value, origin, inner)
            if hints is not None:
                each = enumerate(zip(value, hints, strict=True))
                return [text for i, (v, kind) in each for text in self.value(v, f"{path}[{i}]", kind)]
        return (
            [] if _fits(value, hint, origin, inner) else [f"{path} is {shown(value)}, but it must be {describe(hint)}"]
        )

    def _union(self, value: Any, path: str, inner: tuple[Any, ...]) -> list[str]:
        found = {hint: self.value(value, path, hint) for hint in inner}
        if not all(found.values()):
            return []
        deep = [problems for hint, problems in found.items() if hint not in _WORDS]
        if isinstance(value, Mapping) and deep:
            return min(deep, key=len)
        return [f"{path} is {shown(value)}, but it must be {' or '.join(map(describe, inner))}"]


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _models(wanted: type) -> dict[str, type]:
    """The options of ``model`` whose class is a ``wanted``; none where that is no model."""
    if not _is_protocol(wanted) and not issubclass(wanted, locate(_MODEL)):
        return {}
    asked = [name for name in vars(wanted) if not name.startswith("_")] if _is_protocol(wanted) else []
    classes = {name: locate(target) for name, target in options("model").items()}
    if not asked:
        return {name: cls for name, cls in classes.items() if issubclass(cls, wanted)}
    has = {name: {*dir(cls), *of_class(cls).fields} for name, cls in classes.items()}
    return {name: cls for name, cls in classes.items() if has[name].issuperset(asked)}


def _no_name(word: str, path: str, fitting: Mapping[str, type], within: Within) -> str:
    """The sentence about a model's name where its settings belong: how an option is put there.

    Args:
        word: The name.
        path: Where it stands.
        fitting: The options that may be there, and their classes.
        within: The part whose setting it is.
    """
    told = f"{path} is {word!r}, but it must be the settings of a model"
    if word not in fitting:
        only = next(iter(fitting)) if len(fitting) == 1 else ""
        if only:
            return f"{told}, here always {only}: set those, such as {path}.{next(iter(of_class(fitting[only]).fields))}"
        return f"{told}, here of {', '.join(fitting)}{did_you_mean(nearest(word, fitting))}"
    before = within.given(path)
    if isinstance(before, str):  # a reference, of which nothing can be kept
        whole = f"{path}={{{TARGET}: {options('model')[word]}}}"
        return f"{told}: write {shlex.quote(whole)}"
    left = [name for name in before or () if name not in (TARGET, *of_class(fitting[word]).fields)]
    return f"{told}: write {shlex.join([f'+model@{path}={word}', *(f'~{path}.{name}' for name in left)])}"


def unknown_setting(path: str, known: Sequence[str]) -> str:
    """The sentence about a setting that does not exist, with the one of ``known`` that may have been meant."""
    return f"{path}: there is no such setting{did_you_mean(nearest_path(path, known))}"


def _is_kind(origin: Any, kind: type) -> bool:
    return isinstance(origin, type) and issubclass(origin, kind)


def _fits(value: Any, hint: Any, origin: Any, inner: tuple[Any, ...]) -> bool:
    if origin is Literal:
        return value in inner
    if hint not in _WORDS:
        return origin is None
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def _element_hints(value: Any, origin: Any, inner: tuple[Any, ...]) -> Sequence[Any] | None:
    """The annotation of each element of ``value``; None where ``value`` is no list of that length."""
    if not isinstance(value, (list, tuple)):
        return None
    if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        return inner if len(value) == len(inner) else None
    return [inner[0]] * len(value)


def describe(hint: Any, plural: bool = False) -> str:
    """An annotation in words, such as ``a list of whole numbers``."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in _WORDS:
        return _WORDS[hint][plural]
    if hint is Any:
        return "values" if plural else "a value"
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(describe(kind, plural) for kind in inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of names to {describe(inner[1], plural=True)}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        if origin is tuple and Ellipsis not in inner:
            return "a list of " + ", ".join(describe(kind) for kind in inner)
        return f"{'lists' if plural else 'a list'} of {describe(inner[0], plural=True)}"
    return ("" if plural else "the ") + f"settings of {getattr(hint, '__name__', hint)}"


def shown(value: Any) -> str:
    """A value as the user types it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)
