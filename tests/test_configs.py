"""Every YAML composes, passes ``check`` and says in its first line what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from recpoison.command.config import BASES, check
from recpoison.command.help import GROUPS, described, everyday
from recpoison.paths import CONF_DIR

OPTIONS = [(group, file) for group in BASES for file in sorted((CONF_DIR / group).glob("*.yaml"))]
GLOBAL = ("victim", "setting", "experiment")  # groups whose files reach anywhere
PRESETS = [(group, file) for group in GLOBAL for file in sorted((CONF_DIR / group).glob("*.yaml"))]
GIVEN = {"csv": ["dataset.path=ratings.csv"]}  # values that only a user can know


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF_DIR)):
        return compose("train_attack_eval", overrides=list(overrides))


def name(value: object) -> str | None:
    return value.stem if isinstance(value, Path) else None


def test_each_group_has_options():
    assert {group for group, _ in OPTIONS} == set(BASES)


@pytest.mark.parametrize(("group", "file"), OPTIONS, ids=name)
def test_every_option_composes_and_is_sound(group, file):
    given = GIVEN.get(file.stem, []) if group == "dataset" else []
    if group == "dataset" and yaml.safe_load(file.read_text())["_target_"].startswith("recpoison.data.graphs"):
        pytest.skip("no model works on graphs yet")
    check(composed(f"{group}={file.stem}", *given))


@pytest.mark.parametrize(("group", "file"), PRESETS, ids=name)
def test_every_preset_composes_and_is_sound(group, file):
    check(composed(f"{group}={file.stem}"))


@pytest.mark.parametrize("file", [file for group, file in PRESETS if group == "experiment"], ids=name)
def test_every_experiment_that_ranks_keeps_the_ties_of_its_kept_numbers(file):
    """A preset says its rule itself: a default may change, numbers in REPRODUCTION.md may not."""
    evaluation = composed(f"experiment={file.stem}").evaluation
    ranks = "cutoffs" in evaluation
    assert ranks != (file.stem == "injection_figure_5_detection")
    assert evaluation.get("ties") == ("against" if ranks else None)
    if ranks:
        other = composed("evaluation.ties=for", f"experiment={file.stem}").evaluation
        assert other.ties == "for"  # the command line still has the last word
    content = [yaml.safe_load(path.read_text()) for path in _ancestry(file)]
    assert any(one.get("evaluation", {}).get("ties") == "against" for one in content) == ranks


def _ancestry(file: Path) -> list[Path]:
    """A preset's file and those it builds on."""
    bases = [base for base in yaml.safe_load(file.read_text()).get("defaults", []) if isinstance(base, str)]
    return [file] + [path for base in bases if base != "_self_" for path in _ancestry(file.with_name(f"{base}.yaml"))]


@pytest.mark.parametrize(("group", "file"), OPTIONS + PRESETS, ids=name)
def test_every_yaml_starts_with_one_short_sentence(group, file):
    lines = file.read_text(encoding="utf-8").splitlines()
    assert (lines[0] == "# @package _global_") == (group in GLOBAL)
    first = next(line for line in lines if not line.startswith("# @"))
    assert first.startswith("# ")
    assert 5 < len(first) < 120
    assert (file.stem, first.removeprefix("# ")) in described(group)


def test_a_preset_wins_over_defaults_and_the_command_line_over_a_preset(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "setting").mkdir()
    (tmp_path / "setting" / "a.yaml").write_text("# @package _global_\nseed: 5\nrepeats: 4\n")
    (tmp_path / "experiment" / "quick.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /attack: random\nseed: 7\nattack:\n  budget: 0.02\n"
    )
    path = f"hydra.searchpath=[file://{tmp_path}]"
    assert composed().seed == 0
    preset = composed(path, "setting=a", "experiment=quick")
    assert (preset.seed, preset.repeats, preset.attack.budget) == (7, 4, 0.02)
    assert preset.attack._target_.endswith("RandomAttack")
    typed = composed(path, "experiment=quick", "seed=9", "attack=bandwagon")
    assert typed.seed == 9
    assert typed.attack._target_.endswith("BandwagonAttack")


def test_help_shows_the_root_as_it_is():
    defaults = {key: yaml.safe_load(value) for key, value, _ in everyday()}
    cfg = composed()
    assert defaults == {key: cfg[key] for key in cfg if key not in (*BASES, "sweep")}  # help lists it by hand
    assert list(GROUPS[:5]) == list(BASES)
