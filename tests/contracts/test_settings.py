"""No setting of any YAML's class takes what its type and range exclude: a constructor refuses it in a sentence."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from recpoison.errors import ConfigError
from recpoison.models.popularity import Popularity
from recpoison.ranges import ranges_of

CONF = Path(__file__).parents[2] / "conf"
GROUPS = ("dataset", "model", "attack", "defense", "evaluation")
NUMBERS = {int, float}
NEVER = (math.nan, math.inf, -math.inf, True)


def built() -> dict[type, Any]:
    """One part of each class that an option or a part inside it names."""
    found: dict[type, Any] = {}
    for file in sorted(path for group in GROUPS for path in (CONF / group).glob("*.yaml")):
        node = OmegaConf.load(file)
        if "queried" in node:
            node.queried = {"_target_": f"{Popularity.__module__}.Popularity"}
        for name in [name for name in node if OmegaConf.is_missing(node, name)]:
            node[name] = "given"
        for part in parts_of(instantiate(node, _convert_="all")):
            found.setdefault(type(part), part)
    return found


def parts_of(part: Any) -> Iterator[Any]:
    yield part
    for item in fields(part):
        value = getattr(part, item.name)
        inside = value.values() if isinstance(value, dict) else [value]
        for child in inside:
            if hasattr(child, "__dataclass_fields__"):
                yield from parts_of(child)


PARTS = built()


def kinds_of(hint: Any) -> tuple[set[Any], set[Any]]:
    """Types of a plain value and of an element of a list that an annotation allows."""
    alternatives = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    lists = [kind for kind in alternatives if get_origin(kind) in (tuple, Sequence)]
    elements = {kind for each in lists for inner in get_args(each) for kind in get_args(inner) or (inner,)}
    return set(alternatives) - set(lists), elements - {Ellipsis}


def settings() -> Iterator[Any]:
    for cls in PARTS:
        for name, hint in get_type_hints(cls).items():
            if name in {item.name for item in fields(cls) if item.init} and NUMBERS & set.union(*kinds_of(hint)):
                yield pytest.param(cls, name, *kinds_of(hint), id=f"{cls.__name__}.{name}")


def refused(part: Any, name: str, value: Any) -> str:
    """What is said of it; empty where it is taken."""
    try:
        replace(part, **{name: value})
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("cls", "name", "plain", "elements"), list(settings()))
def test_what_is_no_number_of_its_kind_is_refused_by_name(cls, name, plain, elements):
    assert name in ranges_of(cls)
    wrong = [*NEVER, *([] if type(None) in plain else [None]), *([] if str in plain else ["x"])]
    if plain & NUMBERS == {int}:
        wrong.append(1.5)
    if elements:
        each = [*NEVER, None, *([] if str in elements else ["x"]), *([] if float in elements else [1.5])]
        wrong += [[value] for value in each] + [1]
    for value in wrong:
        said = refused(PARTS[cls], name, value)
        assert f".{name} is " in said, value
        assert "give " in said


def test_every_option_and_what_is_inside_it_is_looked_at():
    names = {cls.__name__ for cls in PARTS}
    assert {"OwnTable", "Planted", "CopyAttack", "Labels", "OuterOptimizer", "EdgeTrainer", "Splitter"} <= names
    assert len(list(settings())) > 200


def test_words_and_null_are_taken_where_the_type_says_so():
    by_name = {cls.__name__: part for cls, part in PARTS.items()}
    assert refused(by_name["OwnTable"], "rating", "stars") == refused(by_name["OwnTable"], "rating", None) == ""
    assert refused(by_name["RandomAttack"], "fillers", "mean") == ""
    assert refused(by_name["RandomAttack"], "n_fake_users", 1.0) == (
        "attack.n_fake_users is 1.0: give a whole number, 1 or more, or null for the share in budget, or attack=none"
    )
