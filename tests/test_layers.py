"""The shape of the code: imports go one way, stems agree, files stay small, torch stays out of what must be quick."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "recpoison"
TESTS = ROOT / "tests"
# A module may import from lines above its own and from its own line, but not in a circle (see below).
LAYERS = [
    ({"border", "errors", "seeds", "progress", "nearest", "compiled", "paths", "ruled"}, "what everyone uses"),
    ({"answering", "memory", "descriptions", "intact", "drafts", "versions", "idle", "ranges"}, "what everyone uses"),
    ({"data"}, "rows: names, readers, filters, splits"),
    ({"changes", "edge_flips"}, "what attacks return"),
    ({"algebra"}, "formulas on arrays, which know no model"),
    ({"models.base"}, "what every model is"),
    ({"training"}, "epoch loops, objectives, kernels"),
    ({"models"}, "one paper, one file"),
    ({"attacks"}, "what crafts a change"),
    ({"defenses"}, "what fits a model otherwise"),
    ({"evaluation"}, "what measures a fitted model"),
    ({"curves", "crafted"}, "numbers along something, and what was crafted"),
    ({"records", "shelf"}, "what a run leaves, and where it lies meanwhile"),
    ({"trackers"}, "who else hears the numbers"),
    ({"parts"}, "what a run is made of"),
    ({"stages"}, "what is computed once, and the store"),
    ({"experiment"}, "the story of a run"),
    ({"published"}, "papers' tables beside ours"),
    ({"report"}, "tables, figures, pages"),
    ({"results"}, "runs in hand, for Python"),
    ({"command"}, "what listens to the user"),
    ({"sweeps"}, "many runs from one command"),
    (
        {"report.presets", "report.published", "report.reproduction", "report.command"},
        "recpoison-report, which composes presets",
    ),
    ({"train_attack_eval", "__main__"}, "the command"),
    ({"api"}, "the same from Python"),
    ({"claims"}, "what anyone can verify"),
]
QUICK = [
    "data",
    "command.understanding",
    "command.help",
    "command.overrides",
    "command.config",
    "command.checking",
    "command.job",
    "paths",
]
QUICK += ["nearest", "errors", "train_attack_eval", "stages.command"]
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Dotted name inside the package, empty for its ``__init__``."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def layer_of(name: str) -> int:
    for wanted in (name, name.split(".")[0]):
        for index, (layer, _) in enumerate(LAYERS):
            if wanted in layer:
                return index
    pytest.fail(f"recpoison/{name} stands in no layer. {where_to_put_it(0)}")


def where_to_put_it(floor: int) -> str:
    """What a failure says: the wings a file may go to, from the layer it needs most on."""
    places = (f"  {', '.join(sorted(layer))}: {what}" for layer, what in LAYERS[floor:])
    return "\n".join(["Put it into the wing that it serves, at or below these lines:", *places])


@cache
def imports_of(path: Path, *, only_at_start: bool = False) -> frozenset[str]:
    """Modules named in import statements; ``only_at_start`` leaves out functions and ``TYPE_CHECKING`` blocks."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = _run_on_import(tree) if only_at_start else ast.walk(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def _run_on_import(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _run_on_import(child)


def own_imports(path: Path) -> set[str]:
    return {name.removeprefix("recpoison.") for name in imports_of(path)} & NAMES - {name_of(path), ""}


def test_there_is_something_to_look_at():
    assert len(MODULES) > 30


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    here = layer_of(name_of(path)) if name_of(path) else len(LAYERS)  # the package itself names what it offers
    wrong = {name for name in own_imports(path) if layer_of(name) > here}
    lowest = max((layer_of(name) for name in wrong), default=0)
    assert not wrong, f"{name_of(path)} may not import {', '.join(wrong)}. {where_to_put_it(lowest)}"


def test_imports_do_not_go_in_circles():
    graph = {name_of(path): own_imports(path) for path in MODULES}
    packages = {name_of(path) for path in MODULES if path.name == "__init__.py"}
    left = {name: {other for other in others if other not in packages} for name, others in graph.items()}
    while left:
        free = {name for name, others in left.items() if not others & left.keys()}
        assert free, f"circle among {sorted(left)}"
        left = {name: others for name, others in left.items() if name not in free}


def test_only_the_command_knows_hydra():
    knows = {name_of(path) for path in MODULES if any(name.startswith("hydra") for name in imports_of(path))}
    assert knows == {
        "command.config",
        "command.grid",
        "command.overrides",
        "command.trying",
        "command.launching",
        "command.words",
        "command.typed",
    }


@pytest.mark.parametrize("part", QUICK)
def test_quick_answers_do_not_import_torch(part):
    """What help, data lists, composing and error paths need: nothing they import at the start may import torch."""
    start = [path for path in MODULES if name_of(path) == part or name_of(path).startswith(f"{part}.")]
    assert start
    files = {name_of(path): path for path in MODULES}
    seen, queue = set(), list(start)
    while queue:
        path = queue.pop()
        found = imports_of(path, only_at_start=True)
        assert not any(name.split(".")[0] == "torch" for name in found), f"{path} imports torch"
        for name in {name.removeprefix("recpoison.") for name in found} & files.keys() - seen:
            seen.add(name)
            queue.append(files[name])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_no_vague_names():
    assert not {path.stem for path in MODULES} & {
        "utils",
        "util",
        "helpers",
        "helper",
        "manager",
        "handler",
        "common",
        "misc",
    }


def parts() -> list[Path]:
    """YAML files of parts. Datasets are left out: many share a reader, so their stem names the data, not a module."""
    return [
        file
        for group in ("model", "attack", "defense", "evaluation")
        for file in (ROOT / "conf" / group).glob("*.yaml")
    ]


@pytest.mark.parametrize("file", parts(), ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_stems_agree(file):
    target = OmegaConf.load(file)["_target_"]
    assert target.split(".")[-2] == file.stem, f"{file} builds {target}"
    tests = list(TESTS.rglob(f"test_{file.stem}.py"))
    assert file.stem == "none" or tests, f"there is no test_{file.stem}.py"
