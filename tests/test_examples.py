"""The example in the docstring of every class that a YAML names, and of the Python API's entry points, is executed."""

from __future__ import annotations

import doctest
import inspect
import io
import re
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from recpoison.command.config import BASES
from recpoison.models.base import Fitted
from recpoison.paths import CONF_DIR
from recpoison.progress import Progress

_TARGET = re.compile(r"_target_: *(recpoison[\w.]+)")
NAMED = {
    group: {n for f in (CONF_DIR / group).glob("*.yaml") for n in _TARGET.findall(f.read_text())} for group in BASES
}
API = [
    "recpoison.attacks.profiles.outer.OuterOptimizer",
    "recpoison.attacks.targets.Targets",
    "recpoison.changes.Budget",
    "recpoison.changes.EmbeddingShift",
    "recpoison.changes.FakeProfiles",
    "recpoison.data.filtering.Filters",
    "recpoison.data.graph.NodeGraph",
    "recpoison.data.interactions.Edges",
    "recpoison.data.interactions.Interactions",
    "recpoison.data.interactions.Scale",
    "recpoison.data.splitting.Splitter",
    "recpoison.edge_flips.EdgeFlips",
    "recpoison.experiment.run",
    "recpoison.parts.Parts",
    "recpoison.seeds.Seeds",
    "recpoison.stages.store.Store",
    "recpoison.training.edges.trainer.EdgeTrainer",
    "recpoison.training.trainer.Trainer",
]
ENTRIES = sorted({*API}.union(*NAMED.values()))


def found(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


@pytest.fixture(scope="module")
def at_hand() -> dict[str, Any]:
    """Names that an example need not import, besides those of its own file: all that have one, and a few arguments."""
    entries = {name.rpartition(".")[2]: found(name) for name in ENTRIES}
    return entries | {"np": np, "sp": sp, "torch": torch, "Fitted": Fitted, "Progress": Progress}


def test_every_group_names_classes():
    assert {"dataset", "model", "attack", "defense", "evaluation"} <= {group for group, names in NAMED.items() if names}


@pytest.mark.parametrize("name", ENTRIES, ids=lambda name: name.rpartition(".")[2])
def test_the_example_is_right(name, at_hand):
    thing = found(name)
    names = {**vars(inspect.getmodule(thing)), **at_hand}
    example = doctest.DocTestFinder(recurse=False, exclude_empty=False).find(thing, name, globs=names)[0]
    if not any(line.want for line in example.examples):
        pytest.fail(
            f"{thing.__name__} shows no example: end its docstring in {inspect.getsourcefile(thing)} with a section "
            "'Example:' of 2 to 6 lines that begin with '>>>', and a result that is right by hand"
        )
    said = io.StringIO()
    outcome = doctest.DocTestRunner().run(example, out=said.write)
    assert not outcome.failed, said.getvalue()
