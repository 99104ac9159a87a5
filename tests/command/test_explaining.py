"""``recpoison --help GROUP=OPTION``: what stands in it, that it fits 80 columns, and what is said of a slip."""

from __future__ import annotations

import re
import shlex

import pytest
from omegaconf import OmegaConf

from recpoison.attacks.embeddings.bim import BIM
from recpoison.command.arguments import sort_arguments
from recpoison.command.config import BASES, check
from recpoison.command.docstrings import meanings
from recpoison.command.explaining import explain_option
from recpoison.command.help import GROUPS
from recpoison.command.overrides import compose_root
from recpoison.errors import ConfigError
from recpoison.paths import CONF_DIR
from recpoison.train_attack_eval import main

OPTIONS = [(group, file.stem) for group in GROUPS for file in sorted((CONF_DIR / group).glob("*.yaml"))]
PARTS = [one for one in OPTIONS if one[0] in BASES]
FEW = {("attack", "bim"), ("defense", "filter"), ("dataset", "csv"), ("experiment", "injection_figure_4")}
CHECKED = [pytest.param(*one, marks=[pytest.mark.slow] * (one not in FEW)) for one in OPTIONS]


def explained(*words: str) -> str:
    return explain_option(sort_arguments([*words, "--help"]))


@pytest.mark.parametrize(("group", "option"), CHECKED)
def test_each_has_every_setting_and_fits(group, option):
    text = explained(f"{group}={option}")
    assert max(len(line) for line in text.splitlines()) <= 80
    node = OmegaConf.load(CONF_DIR / group / f"{option}.yaml")
    for key in (key for key in node if group in BASES and key != "_target_"):
        assert f"\n  {group}.{key}" in text, key
    assert "\n\nTry: recpoison" in text


def _tried(text: str) -> list[str]:
    command = text.rpartition("Try: recpoison")[2]
    return [word.replace("FILE", "file.csv") for word in shlex.split(command)]


@pytest.mark.parametrize(
    ("group", "option"), [pytest.param(*one, marks=[pytest.mark.slow] * (one not in FEW)) for one in PARTS]
)
def test_the_command_to_try_is_sound(group, option):
    cfg = compose_root(_tried(explained(f"{group}={option}")))
    check(cfg)
    assert OmegaConf.load(CONF_DIR / group / f"{option}.yaml")["_target_"] == cfg[group]["_target_"]


def test_the_range_in_the_help_is_the_one_that_the_constructor_checks():
    text = explained("attack=bim")
    assert "  attack.steps = 25  (1 or more)\n" in text
    with pytest.raises(ConfigError, match=r"attack\.steps is 0: give 1 or more"):
        BIM(steps=0)
    assert "(a finite number above 0, or null for epsilon / 4)" in text
    with pytest.raises(ConfigError, match=r"give a finite number above 0, or null for epsilon / 4"):
        BIM(step_size=0.0)


def test_what_stands_in_the_help_of_an_attack(capsys):
    assert main(["--help", "attack=bim"]) == 0
    text = capsys.readouterr().out
    assert "Anelli et al." in text
    assert "Takes steps up the gradient from a start, and keeps within a bound" in text
    assert meanings(BIM)["epsilon"] == "Size of the shift, in the norm that bounds it."
    assert "      Size of the shift, in the norm that bounds it.\n" in text
    fits = re.search(r"Works with: (.*?)\.\n", text, re.DOTALL)
    assert fits
    models = " ".join(fits[1].split()).partition("model=")[2].split(", ")
    assert {"bprmf", "mf", "wrmf"} <= set(models)
    assert not {"item_knn", "popularity", "gcn"} & set(models)


def test_a_surrogate_is_left_to_its_own_help_and_seconds_are_those_measured():
    assert "recpoison --help model=wrmf" in " ".join(explained("attack=bilevel_wrmf").split())
    assert "Costs: split 0.024 s, change 12.7 s, fit 0.44 s" in explained("experiment=injection_figure_4")
    assert "Costs" not in explained("experiment=apt_table_2")


def test_an_option_of_ones_own_is_explained_under_trust(tmp_path, monkeypatch, capsys):
    (tmp_path / "my/attack").mkdir(parents=True)
    (tmp_path / "my/attack/mine.yaml").write_text("# My own\n_target_: my_bim.Mine\nsteps: 3 # how many\n")
    (tmp_path / "my_bim.py").write_text(
        '"""Mine (nobody 2026)."""\nfrom dataclasses import dataclass\n\n'
        "from recpoison.attacks.embeddings.bim import BIM\n\n\n"
        '@dataclass(frozen=True, kw_only=True)\nclass Mine(BIM):\n    """It does as BIM does."""\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--config-dir", str(tmp_path / "my"), "attack=mine"]
    with pytest.raises(ConfigError, match="if you trust it, add --trust my_bim"):
        explained(*words)
    text = explained(*words, "--trust", "my_bim")
    assert "Mine (nobody 2026)." in text
    assert "It does as BIM does." in text
    assert "  attack.steps = 3  (1 or more)" in text


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("attack=bmi", "attack=bmi: there is no such option; did you mean bim? (attack offers "),
        ("atack=bim", "--help atack=bim: name an option, such as attack=bim; did you mean attack? (the groups are"),
        ("attack", "--help attack: name an option, such as attack=bim"),
    ],
)
def test_a_slip_is_told(word, said, capsys):
    assert main(["--help", word]) == 2
    assert said in capsys.readouterr().err


def test_what_only_a_user_has_is_left_to_the_user():
    assert OmegaConf.is_missing(OmegaConf.load(CONF_DIR / "dataset/csv.yaml"), "path")
    assert "dataset.path = (you give it)" in explained("dataset=csv")
    assert "dataset.path=FILE" in explained("dataset=csv")
