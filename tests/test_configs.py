"""Every YAML composes, passes ``check`` and says in its first line what it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import MISSING, DictConfig, OmegaConf

from recpoison.command.checking import locate
from recpoison.command.config import BASES, build, check
from recpoison.command.help import GROUPS, described, everyday
from recpoison.models.wrmf import WRMF
from recpoison.paths import CONF_DIR

OPTIONS = [(group, file) for group in BASES for file in sorted((CONF_DIR / group).glob("*.yaml"))]
GLOBAL = ("victim", "setting", "experiment")  # groups whose files reach anywhere
PRESETS = [(group, file) for group in GLOBAL for file in sorted((CONF_DIR / group).glob("*.yaml"))]
ON_GRAPHS = {"dataset": "cora", "model": "gcn", "attack": "metattack", "evaluation": "node_accuracy"}  # go together
GIVEN = {"csv": ["dataset.path=ratings.csv"], "given": ["attack.path=fakes.json"]}  # values that only a user can know


@cache
def composed(*overrides: str) -> DictConfig:
    """What several tests look at, and none changes."""
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF_DIR)):
        return compose("train_attack_eval", overrides=list(overrides))


def name(value: object) -> str | None:
    return value.stem if isinstance(value, Path) else None


def test_each_group_has_options():
    assert {group for group, _ in OPTIONS} == set(BASES)


@pytest.mark.parametrize(("group", "file"), OPTIONS, ids=name)
def test_every_option_composes_and_is_sound(group, file):
    given = GIVEN.get(file.stem, []) if group in ("dataset", "attack") else []
    if file.stem in ON_GRAPHS.values():
        given = [f"{one}={option}" for one, option in ON_GRAPHS.items() if one != group]
    check(composed(f"{group}={file.stem}", *given))


def searches(file: Path) -> bool:
    return "/hydra/sweeper: optuna" in file.read_text()


@pytest.mark.parametrize(("group", "file"), PRESETS, ids=name)
def test_every_preset_composes_and_is_sound(group, file):
    check(composed(f"{group}={file.stem}"))


@pytest.mark.parametrize(
    "file", [file for group, file in PRESETS if group == "experiment" and not searches(file)], ids=name
)
def test_every_experiment_that_ranks_keeps_the_ties_of_its_kept_numbers(file):
    """A preset says its rule itself: a default may change, numbers in REPRODUCTION.md may not."""
    evaluation = composed(f"experiment={file.stem}").evaluation
    ranks = "cutoffs" in evaluation
    assert ranks != (file.stem == "injection_figure_5_detection" or file.stem.startswith("metagradient_"))
    if file.stem.startswith("audit"):  # no kept numbers, and the default rule
        assert evaluation.ties == "half"
        return
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


def _differences(node: dict, default: object, path: str) -> Iterator[str]:
    """Every key of a part's YAML that is not the default of the field it sets; ``default`` is a part with defaults."""
    named = f"{type(default).__module__}.{type(default).__qualname__}"
    if node["_target_"] != named:
        yield f"{path} is {node['_target_']}, not {named}"
        return
    for key, value in node.items():
        if key != "_target_":
            yield from _difference(value, getattr(default, key), f"{path}.{key}")


def _difference(value: object, default: object, path: str) -> Iterator[str]:
    if isinstance(value, dict) and "_target_" in value:
        yield from _differences(value, default, path)
    elif isinstance(value, dict) and isinstance(default, dict):
        for key in value.keys() | default.keys():
            yield from _difference(value.get(key), default.get(key), f"{path}.{key}")
    elif (tuple(value) if isinstance(value, list) else value) != default:
        yield f"{path} is {value} in YAML and {default} in the class"


def _without_default(part: type) -> set[str]:
    """Fields that only a YAML or a user can give, as a dataset's name."""
    none = dataclasses.MISSING
    return {item.name for item in dataclasses.fields(part) if item.default is item.default_factory is none}


@pytest.mark.parametrize(("group", "file"), OPTIONS, ids=name)
def test_a_yaml_and_its_class_have_the_same_defaults(group, file):
    """``WRMF()`` is ``model=wrmf``, down to the parts inside; what suits one dataset alone has no default."""
    read = yaml.safe_load(file.read_text()).items()
    node = {key: "given" if value in (MISSING, "${model}") else value for key, value in read}  # or what the victim is
    needed = {key: node[key] for key in _without_default(locate(node["_target_"]))}
    default = build(OmegaConf.create({"_target_": node["_target_"], **needed}))
    assert list(_differences(node, default, group)) == []


def test_a_difference_would_be_seen():
    wrmf = {"_target_": "recpoison.models.wrmf.WRMF", "embedding_size": 16, "trainer": {"_target_": "a.B", "epochs": 1}}
    assert list(_differences(wrmf, WRMF(), "model")) == [
        "model.embedding_size is 16 in YAML and 64 in the class",
        "model.trainer is a.B, not recpoison.training.trainer.Trainer",
    ]


EVERY_TUNED = sorted((CONF_DIR / "tuned").glob("*.yaml"))
OF_APT = [file for file in EVERY_TUNED if file.stem.startswith("apt_")]  # what presets of that paper name
OF_METAGRADIENT = [file for file in EVERY_TUNED if file.stem.startswith("metagradient_")]
OF_VAT = [file for file in EVERY_TUNED if file.stem.startswith("vat_")]
OF_STANDARD = [file for file in EVERY_TUNED if file.stem.startswith("standard_")]
TUNED = [file for file in EVERY_TUNED if file not in (*OF_APT, *OF_METAGRADIENT, *OF_VAT, *OF_STANDARD)]


@pytest.mark.parametrize("file", TUNED, ids=name)
def test_settings_for_a_dataset_stand_for_that_dataset_alone(file):
    dataset, _, model = file.stem.partition("_")
    tuned = composed(f"dataset={dataset}", f"model={model}").model
    own = OmegaConf.load(CONF_DIR / "model" / f"{model}.yaml")
    assert tuned == OmegaConf.merge(own, OmegaConf.load(file).model) != own
    assert composed("dataset=ml_100k", f"model={model}").model == own
    assert composed(f"dataset={dataset}", f"model={model}", "model.trainer.epochs=3").model.trainer.epochs == 3


@pytest.mark.parametrize("file", OF_APT, ids=name)
def test_what_a_paper_gives_a_defense_is_taken_by_its_presets_alone(file):
    """Nothing but settings of the defense, which differ from one dataset to another; a plain run has the defaults."""
    dataset, _, defense = file.stem.removeprefix("apt_").rpartition("_apt")
    defense = f"apt{defense}"
    own = OmegaConf.load(CONF_DIR / "defense" / f"{defense}.yaml")
    assert composed(f"dataset={dataset}", f"defense={defense}").defense == own
    preset = composed("experiment=apt_table_2", f"setting=apt_{dataset}_random", f"defense={defense}")
    given = OmegaConf.load(file)
    assert set(given) <= {"defaults", "defense"}
    assert OmegaConf.merge(preset.defense, given.defense) == preset.defense != own
    assert preset.defense.fillers == {"filmtrust": 100, "ml_100k": 400, "ml_1m": 700, "yelp": 2500}[dataset]
    assert composed("experiment=apt_table_2", f"defense={defense}", "defense.fillers=7").defense.fillers == 7


@pytest.mark.parametrize("file", OF_STANDARD, ids=name)
def test_attacks_of_standard_tables_click_as_often_as_each_other(file):
    experiment, _, attack = file.stem.partition("_bilevel_")
    outer = composed(f"experiment={experiment}", f"attack=bilevel_{attack}").attack.outer
    assert (outer.projection, outer.profile_size) == ("top_n", OmegaConf.load(file).attack.outer.profile_size)
    assert composed(f"experiment={experiment}", "attack=bandwagon").attack.fillers == "mean"


@pytest.mark.parametrize("file", OF_VAT, ids=name)
def test_what_vat_gives_a_defense_is_taken_by_its_preset_alone(file):
    defense = file.stem.removeprefix("vat_gowalla_")
    own, given = OmegaConf.load(CONF_DIR / "defense" / f"{defense}.yaml"), OmegaConf.load(file)
    assert composed("dataset=gowalla", f"defense={defense}").defense == own
    assert (
        composed("experiment=vat_gowalla", f"defense={defense}").defense == OmegaConf.merge(own, given.defense) != own
    )


@pytest.mark.parametrize("name", ["cf", "cf_small", "gmf", "neumf"])
def test_a_surrogate_of_the_metagradient_report_is_the_victim_of_its_name(name):
    surrogate = OmegaConf.load(CONF_DIR / "tuned" / f"metagradient_surrogate_{name}.yaml").attack.surrogate
    victim = OmegaConf.load(CONF_DIR / "victim" / f"metagradient_{name}.yaml").model
    assert OmegaConf.to_container(surrogate) == {
        "_target_": surrogate["_target_"],
        **OmegaConf.to_container(victim),
        "dropout": "${model.dropout}",
    }


def test_every_dataset_of_apt_has_both_of_its_defenses():
    datasets = ("filmtrust", "ml_100k", "ml_1m", "yelp")
    assert {file.stem for file in OF_APT} == {f"apt_{data}_{name}" for data in datasets for name in ("apt", "apt_rand")}


def test_the_demo_is_wrmf_as_tuned_for_its_data():
    """What README shows for a bare ``recpoison``: the injection paper's constants, without any word typed."""
    assert {file.stem for file in TUNED} == {"synthetic_wrmf"}
    model = composed().model
    assert (model.embedding_size, model.trainer.epochs, model.trainer.learning_rate) == (16, 100, 0.5)
