"""Settings that cannot matter: each part says which of its own do nothing, given its others and the other parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Protocol


class Together(Protocol):
    """The parts of one run, as ``recpoison.parts.Parts`` holds them."""

    @property
    def dataset(self) -> Any:
        """Where rows come from."""

    @property
    def model(self) -> Any:
        """The victim."""

    @property
    def attack(self) -> Any:
        """What is done to it."""

    @property
    def defense(self) -> Any:
        """How it is fitted in the defended cells."""

    @property
    def evaluation(self) -> Any:
        """How it is measured."""


PARTS = ("dataset", "model", "attack", "defense", "evaluation")


class Part:
    """What parts of a run, and parts inside them, have in common: they know what of them cannot matter."""

    def idle(self, parts: Together) -> dict[str, str]:
        """Settings that can change no number, given this part's others and the other ``parts``.

        A part inside another speaks for itself, and the one around it may speak for it.

        Returns:
            From a setting of this part (dotted where it stands in a part inside; a name stands for all below it) to
            the reason, in words that go after "because".
        """
        return {}

    def remarks(self, parts: Together) -> list[str]:
        """Sentences that a reader of this run's numbers must know."""
        return []


def idle_settings(parts: Together) -> dict[str, str]:
    """All settings of ``parts`` that cannot matter, such as ``model.trainer.eps``, with the reason of each."""
    return {path: why for name in PARTS for path, why in _below(getattr(parts, name), name, parts)}


def reason(setting: str, idle: Mapping[str, str]) -> str | None:
    """Why ``setting``, or what it stands in, cannot matter; None where it can."""
    steps = setting.split(".")
    return next((idle[path] for n in range(1, len(steps) + 1) if (path := ".".join(steps[:n])) in idle), None)


def at_rest(part: Any, path: str, idle: Mapping[str, str]) -> Any:
    """``part``, which stands at ``path``, with what cannot matter as its class has it, so that equal runs are equal."""
    if isinstance(part, Mapping):
        return {key: at_rest(inside, f"{path}.{key}", idle) for key, inside in part.items()}
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    changes = {}
    for field in dataclasses.fields(part):
        value, here = getattr(part, field.name), f"{path}.{field.name}"
        changes[field.name] = _default(field, value) if here in idle else at_rest(value, here, idle)
    changed = {name: value for name, value in changes.items() if value is not getattr(part, name)}
    return dataclasses.replace(part, **changed) if changed else part


def _below(part: Any, path: str, parts: Together) -> Iterator[tuple[str, str]]:
    if isinstance(part, Mapping):
        for key, inside in part.items():
            yield from _below(inside, f"{path}.{key}", parts)
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return
    for field in dataclasses.fields(part):
        yield from _below(getattr(part, field.name), f"{path}.{field.name}", parts)
    if isinstance(part, Part):  # the outer one has the last word
        yield from ((f"{path}.{name}", why) for name, why in part.idle(parts).items())


def _default(field: dataclasses.Field[Any], value: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return value if field.default is dataclasses.MISSING else field.default
