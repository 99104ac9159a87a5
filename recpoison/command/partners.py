"""Which parts an option goes together with, found by putting them together, and a command that runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from recpoison.command.checking import MISSING, TARGET, locate
from recpoison.command.config import BASES, build
from recpoison.command.shipped import options
from recpoison.errors import UserError
from recpoison.paths import CONF_DIR

# What stands around an option, in the order of trying: the demo first, then what asks for least.
_AROUND = tuple(
    dict(zip(BASES, line.split(), strict=True))
    for line in (
        "synthetic wrmf none none full_ranking",
        "synthetic bprmf none none full_ranking",
        "ml_100k mf none none full_ranking",
        "synthetic wrmf bandwagon none detection",
        "synthetic cf random_edges none link_prediction",
        "synthetic cf none none link_prediction",
        "cora gcn none none node_accuracy",
    )
)
_ROOT = {"dataset": "synthetic", "model": "wrmf", "attack": "bilevel_wrmf", "defense": "none"}
_ROOT |= {"evaluation": "full_ranking"}
_FOR = {"attack": ("model",), "defense": ("model",), "model": ("attack", "defense"), "evaluation": ("model",)}


@dataclass(frozen=True)
class Company:
    """What goes with an option.

    Args:
        fits: In words; empty where nothing is known to.
        command: A line to try.
    """

    fits: str
    command: str


def company_of(group: str, option: str, node: Mapping[str, Any], trusted: Sequence[str]) -> Company:
    """What goes with an option, and a command with it.

    Args:
        group: Its group.
        option: Its name.
        node: Its settings.
        trusted: Packages besides ``recpoison`` that may be imported.
    """
    lacking = [f"{group}.{key}" for key, value in node.items() if value == MISSING]
    given = {name.partition(".")[2]: "FILE" for name in lacking}
    part = _built(group, OmegaConf.create({**node, **given}), trusted)
    around = next((one for one in _AROUND if _fits(one, group, part)), None)
    if part is None or around is None:
        return Company("", _command(_ROOT, group, option, lacking))
    names = [
        f"{other}={', '.join(found)}"
        for other in _FOR.get(group, ())
        if (found := [name for name in options(other) if name != "none" and _any_fits(group, part, other, name)])
    ]
    kind = "" if group == "dataset" else _kind(part)
    return Company("; ".join([*([kind] if kind else []), *names]), _command(around, group, option, lacking))


def _kind(part: Any) -> str:
    return {"interactions": "interactions", "graph": "a graph"}.get(str(type(part).works_on), "any data")


def _any_fits(group: str, part: Any, other: str, name: str) -> bool:
    return any(_fits(one | {other: name}, group, part) for one in _AROUND)


def _fits(around: dict[str, str], group: str, part: Any) -> bool:
    """Whether a part goes with the options of the other groups."""
    from recpoison.parts import Parts

    parts = {name: _option(name, choice) for name, choice in around.items()} | {group: part}
    if any(one is None for one in parts.values()):
        return False
    kind = type(parts["dataset"]).kind
    if any(type(one).works_on not in (kind, None) for name, one in parts.items() if name != "dataset"):
        return False
    try:
        Parts(**parts)
    except UserError:
        return False
    return True


@cache
def _option(group: str, name: str) -> Any:
    node = OmegaConf.load(CONF_DIR / group / f"{name}.yaml")
    return _built(group, node, ()) if isinstance(node, DictConfig) else None


def _built(group: str, node: Any, trusted: Sequence[str]) -> Any:
    """The part; None where it wants what only a user has."""
    if TARGET not in node or not any(issubclass(locate(node[TARGET], trusted), locate(base)) for base in BASES[group]):
        return None
    try:
        return build(node, trusted)
    except (UserError, MissingMandatoryValue):
        return None


def _command(around: dict[str, str], group: str, option: str, lacking: Sequence[str]) -> str:
    return shlex.join(["recpoison", *_words(around | {group: option}), *(f"{name}=FILE" for name in lacking)])


def _words(choice: Mapping[str, str]) -> Iterator[str]:
    """The choices that are not the root's own."""
    for group, name in choice.items():
        if _ROOT[group] != name:
            yield f"{group}={name}"
