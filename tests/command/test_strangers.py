"""A user's own code, run by the real command: what is wrong with it is told in one sentence, and is not ours."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import pytest

from recpoison.train_attack_eval import main

NUMBER = itertools.count()
HEAD = """from dataclasses import dataclass
import numpy as np
import torch
from recpoison.attacks.base import EmbeddingAttack, ProfileAttack
from recpoison.attacks.targets import Targets
from recpoison.changes import EmbeddingShift, FakeProfiles
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.models.base import GradientModel, Model
from recpoison.models.bprmf import BPRMF

"""
MODEL = """@dataclass(frozen=True)
class Mine(Model):
    def fit(self, data, seeds, device, progress, monitor=None):
        return {"popularity": torch.from_numpy(data.item_counts.copy()).float()}

    def scores(self, params, data, users):
        return params["popularity"].expand(len(users), -1)
"""
FIT = '{"popularity": torch.from_numpy(data.item_counts.copy()).float()}'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run(source: str, *words: str, group: str = "model", model: str = "popularity") -> int:
    """Run a package that holds ``source``, whose class ``Mine`` is the part of ``group``."""
    package = f"strange_{next(NUMBER)}"
    Path(package).mkdir()
    Path(package, "__init__.py").write_text("")
    Path(package, "parts.py").write_text(HEAD + source)
    Path("my", group).mkdir(parents=True)
    extra = "targets:\n  _target_: recpoison.attacks.targets.Targets\n" if "ProfileAttack" in source else ""
    extra += "cutoffs: [5]\n" if group == "evaluation" else ""
    Path("my", group, "mine.yaml").write_text(f"# Mine\n_target_: {package}.parts.Mine\n{extra}")
    typed = {"model": model, "attack": "none", group: "mine"}
    chosen = [f"{name}={option}" for name, option in typed.items()]
    chosen += [] if group == "evaluation" else ["evaluation.cutoffs=[5]"]
    try:
        typed_for_all = ["--config-dir", "my", "--trust", package, "dataset=planted", "hydra.run.dir=outputs/a"]
        return main([*typed_for_all, "dataset.n_users=40", *chosen, *words])
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            del sys.modules[name]


def told(capsys) -> str:
    """The one line on stderr."""
    (line,) = capsys.readouterr().err.splitlines()
    return line


WRONG_MODELS = {
    "a fit that returns nothing": (
        MODEL.replace(FIT, "None"),
        "Mine.fit gave None: a dict from names to tensors is expected",
    ),
    "a fit that returns the module": (
        MODEL.replace(FIT, "torch.nn.Linear(2, 2)"),
        "Mine.fit gave an object of type Linear: a dict from names to tensors is expected (its state_dict() is one)",
    ),
    "a list among the parameters": (
        MODEL.replace(FIT, '{"popularity": [1, 2]}'),
        "Mine.fit gave 'popularity' as an object of type list: a dense tensor of real numbers on cpu is expected",
    ),
    "a sparse table": (
        MODEL.replace(FIT, '{"popularity": torch.eye(3).to_sparse()}'),
        "Mine.fit gave 'popularity' as a tensor (sparse_coo) of shape (3, 3) and type float32 on cpu: a dense tensor",
    ),
    "a fit that diverged": (
        MODEL.replace(FIT, '{"popularity": torch.tensor([1.0, float("nan")])}'),
        "Mine.fit gave 'popularity' as a tensor of shape (2,) and type float32 on cpu with nan in it: finite numbers "
        "are expected; where a fit diverged, lower its learning rate",
    ),
    "a fit with other arguments": (
        MODEL.replace("seeds, device, progress, monitor=None", "device"),
        "Mine.fit does not take the 5 arguments that it is called with (Mine.fit() takes 3 positional arguments but 6 "
        "were given): define it with those of its base class",
    ),
    "scores of one user": (
        MODEL.replace(".expand(len(users), -1)", ".unsqueeze(0)"),
        "Mine.scores gave a tensor of shape (1, 41) and type float32 on cpu: a row for each of ",
    ),
    "no scores": (
        MODEL[: MODEL.index("    def scores")],
        "model: Can't instantiate abstract class Mine with",
    ),
    "initial values without a table that is named": (
        """@dataclass(frozen=True)
class Mine(BPRMF):
    tables = ("user", "items")
""",
        "Mine.tables names 'items', but Mine.init gave user, item: name tables as the parameters are named",
    ),
    "initial values in whole numbers": (
        """@dataclass(frozen=True)
class Mine(BPRMF):
    def init(self, data, seeds):
        return {"user": np.zeros((data.n_users, 2)), "item": np.zeros((data.n_items, 2), dtype=bool)[0]}
""",
        "Mine.init gave the table 'item' as a tensor of shape (2,)",
    ),
}


@pytest.mark.parametrize("case", WRONG_MODELS)
def test_a_wrong_model_is_told_in_one_sentence(case, capsys):
    source, said = WRONG_MODELS[case]
    assert run(source) == 2
    assert told(capsys).startswith(f"recpoison: {said}")


def test_a_right_one_may_give_arrays_and_gradients(capsys):
    """Popularity by hand: the numbers are those of ours."""
    source = MODEL.replace(FIT, '{"popularity": data.item_counts.astype(np.float64)}').replace(
        "return params", "params = {n: p.clone().requires_grad_() for n, p in params.items()}\n        return params"
    )
    assert run(source) == 0
    assert (
        main(["dataset=planted", "dataset.n_users=40", "model=popularity", "attack=none", "evaluation.cutoffs=[5]"])
        == 0
    )
    lines = [Path("outputs", name, "metrics.csv").read_text().splitlines() for name in ("a", "latest")]
    assert [line.replace(",mine,", ",popularity,") for line in lines[0]] == lines[1]
    assert len(lines[0]) > 3


ATTACK = """@dataclass(frozen=True, kw_only=True)
class Mine(ProfileAttack):
    def _craft(self, crafting):
        targets, n = crafting.targets, crafting.n_fakes
        return {given}
"""
RIGHT = "FakeProfiles(list(range(n)), torch.full((n,), int(targets[0])), [1.0] * n, n, targets)"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[targets]", "gave an object of type list: FakeProfiles (recpoison.changes) are expected"),
        (RIGHT.replace("n, targets)", "float(n), targets)"), "gave FakeProfiles with n_fakes 9.0: a whole number"),
        (RIGHT.replace("[1.0] * n", "[1.0]"), "columns of different lengths (profile 9, items 9, values 1)"),
        (RIGHT.replace("[1.0] * n", "np.full(n, np.nan)"), "gave FakeProfiles with nan among values: finite numbers"),
        (RIGHT.replace("list(range(n))", "np.arange(n) + 0.5"), "gave FakeProfiles with 0.5 among profile: whole"),
        (RIGHT.replace("int(targets[0])", "10**6"), "that the data cannot hold: item ids run to 1000000"),
    ],
)
def test_wrong_fake_users_are_told_in_one_sentence(given, said, capsys):
    assert run(ATTACK.format(given=given), "+attack.n_fake_users=9", group="attack") == 2
    line = told(capsys)
    assert line.startswith("recpoison: Mine._craft gave ")
    assert said in line


def test_fake_users_in_lists_and_tensors_are_taken():
    assert run(ATTACK.format(given=RIGHT), "+attack.n_fake_users=9", group="attack") == 0


SHIFT = """@dataclass(frozen=True, kw_only=True)
class Mine(EmbeddingAttack):
    @property
    def limit(self):
        return None

    def _craft(self, fitted, targets, seeds, progress):
        user = fitted.params["user"]
        return {given}
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("user", "Mine._craft gave a tensor of shape "),
        ("EmbeddingShift({})", "Mine._craft gave an EmbeddingShift of no table: one of user, item is expected"),
        ("EmbeddingShift({'users': user})", "Mine._craft shifts 'users', but the model's tables are user, item"),
        ("EmbeddingShift({'user': user[:1].numpy()})", "Mine._craft shifts 'user' by an array of shape (1, 8) and "),
    ],
)
def test_a_wrong_shift_is_told_in_one_sentence(given, said, capsys):
    small = ["model.embedding_size=8", "model.trainer.epochs=1"]
    assert run(SHIFT.replace("{given}", given), *small, group="attack", model="bprmf") == 2
    assert told(capsys).startswith(f"recpoison: {said}")


def test_a_wrong_look_is_told_in_one_sentence(capsys):
    source = """@dataclass(frozen=True, kw_only=True)
class Mine(FullRanking):
    def look(self, *known):
        return super().look(*known).arrays()
"""
    assert run(source, group="evaluation") == 2
    assert told(capsys) == (
        "recpoison: Mine.look gave an object of type dict: a record with the methods save and arrays is expected, "
        "such as recpoison.evaluation.ranks.Ranks"
    )


def test_what_a_trusted_package_raises_is_its_own(capsys):
    source = (
        MODEL.replace(FIT, "self.deeper(data)") + "\n    def deeper(self, data):\n        return {}['no such key']\n"
    )
    assert run(source) == 2
    line = told(capsys)
    number = (HEAD + source).splitlines().index("        return {}['no such key']") + 1
    package = line.split()[1]
    assert line.startswith(
        f"recpoison: {package} ({package}/parts.py, line {number}) raised KeyError: 'no such key': the"
    )
    assert line.endswith("outputs/a/run.log")
    assert "in deeper" in Path("outputs/a/run.log").read_text()


def test_a_librarys_error_is_that_of_the_package_that_called_it(capsys):
    assert run(MODEL.replace(FIT, "torch.zeros(2) @ torch.zeros(3)")) == 2
    assert "parts.py, line 14) raised RuntimeError: inconsistent tensor size" in told(capsys)


def test_a_constructor_names_its_line(capsys):
    assert run(MODEL + "\n    def __post_init__(self):\n        self.no_such\n") == 2
    assert "parts.py, line 20) raised AttributeError: 'Mine' object has no attribute 'no_such'" in told(capsys)


def test_a_module_that_does_not_import_names_its_line(capsys):
    assert run(MODEL + "\n1 / 0\n") == 2
    assert "does not import: ZeroDivisionError: division by zero in strange_" in (line := told(capsys))
    assert line.endswith("parts.py, line 19)")


def test_the_next_command_keeps_whose_code_and_yaml_it_is(capsys):
    assert run(ATTACK.format(given=RIGHT), "+attack.n_fake_users=9", group="attack") == 0
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert last[0] == "recpoison"
    assert last[last.index("--config-dir") + 1] == "my"
    assert last[last.index("--trust") + 1].startswith("strange_")
    assert last[-1] == "repeats=5"
