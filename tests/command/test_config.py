"""``check`` finds everything wrong at once, ``build`` builds what is right and trusts nobody else."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from recpoison.command.checking import Checker, describe, locate
from recpoison.command.config import build, check
from recpoison.command.shipped import options
from recpoison.errors import ConfigError
from recpoison.nearest import nearest, nearest_path
from recpoison.paths import CONF_DIR

HERE = (__name__.split(".")[0],)


@dataclass(frozen=True)
class Inner:
    epochs: int = 3
    learning_rate: float = 0.1

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError(f"model.inner.epochs is {self.epochs}: give 1 or more")


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    cutoffs: tuple[int, ...] = (10,)
    pair: tuple[int, str] | None = None
    items: Sequence[int | str] = ()
    kept: list[int] = field(default_factory=list)
    rule: Literal["box", "row_l2"] = "box"
    flag: bool = False
    fillers: int | str = "mean"
    members: Mapping[str, Inner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name == "bug":
            raise ValueError("no such name")


def node(cls: type = Outer, **values: object) -> DictConfig:
    return OmegaConf.create({"_target_": f"{__name__}.{cls.__name__}", **values})


def run_config(*overrides: str) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF_DIR)):
        return compose("train_attack_eval", overrides=list(overrides))


def complaints(cfg: DictConfig) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(cfg)
    return str(caught.value).splitlines()


def test_build_makes_nested_parts_with_tuples():
    inner = {"_target_": f"{__name__}.Inner", "epochs": 7}
    part = build(node(name="a", inner=inner, cutoffs=[1, 2], items=[3, "x"], kept=[4], members={"m": inner}), HERE)
    assert part == Outer("a", Inner(7), (1, 2), None, (3, "x"), [4], members={"m": Inner(7)})
    assert isinstance(part.cutoffs, tuple)
    assert isinstance(part.kept, list)


def test_build_refuses_what_is_not_trusted():
    with pytest.raises(ConfigError, match=f"lies outside recpoison.*--trust {HERE[0]}"):
        build(node(name="a"))
    with pytest.raises(ConfigError, match=r"os\.system lies outside recpoison"):
        build(OmegaConf.create({"_target_": f"{__name__}.Outer", "name": {"_target_": "os.system"}}), HERE)


def test_an_attribute_of_our_modules_is_no_way_round_trust():
    assert locate("recpoison.changes.FakeProfiles").__name__ == "FakeProfiles"
    with pytest.raises(ConfigError, match=r"comes from pathlib.*outside recpoison"):
        locate("recpoison.changes.Path")
    with pytest.raises(ConfigError, match="has no class np"):
        locate("recpoison.changes.np")


def test_locate_names_cause_and_nearest():
    with pytest.raises(ConfigError, match=r"recpoison\.nowhere does not import: ModuleNotFoundError: No module named"):
        locate("recpoison.nowhere.Thing")
    with pytest.raises(ConfigError, match="has no class FakeProfile; did you mean FakeProfiles"):
        locate("recpoison.changes.FakeProfile")
    with pytest.raises(ConfigError, match="is no dotted name"):
        locate(3)


def test_build_passes_on_what_constructors_say():
    with pytest.raises(ConfigError, match=r"^model.inner.epochs is 0: give 1 or more$"):
        build(node(name="a", inner={"_target_": f"{__name__}.Inner", "epochs": 0}), HERE)
    with pytest.raises(ConfigError, match="no such name"):
        build(node(name="bug"), HERE)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": 3}, "model.name is 3, but it must be a word"),
        ({"flag": 1}, "model.flag is 1, but it must be true or false"),
        ({"fillers": 1.5}, "model.fillers is 1.5, but it must be a whole number or a word"),
        ({"fillers": True}, "model.fillers is true, but it must be a whole number or a word"),
        ({"rule": "circle"}, "model.rule is 'circle', but it must be one of box, row_l2"),
        ({"cutoffs": 10}, "model.cutoffs is 10, but it must be a list of whole numbers"),
        ({"cutoffs": [10, "x"]}, "model.cutoffs[1] is 'x', but it must be a whole number"),
        ({"pair": [1]}, "model.pair is [1], but it must be a list of a whole number, a word or null"),
        ({"inner": 3}, "model.inner is 3, but it must be a mapping with a _target_"),
        ({"members": [1]}, "model.members is [1], but it must be a mapping of names to settings of Inner"),
        ({"nam": "a"}, "model.nam: there is no such setting; did you mean model.name?"),
        ({"_partial_": True}, "model._partial_: there is no such setting"),
    ],
)
def test_each_wrong_value_has_its_sentence(values, said):
    plain = {"_target_": f"{__name__}.Outer", "name": "a", **values}
    assert Checker(HERE).part(plain, "model", (Outer,)) == [said]


def test_wrong_values_inside_nested_parts_are_named_by_their_path():
    inner = {"_target_": f"{__name__}.Inner", "epochs": 2.5, "epoch": 1, "learning_rate": 1}
    plain = {"_target_": f"{__name__}.Outer", "inner": inner, "members": {"m": {"_target_": f"{__name__}.Outer"}}}
    assert Checker(HERE).part(plain, "model", (Outer,)) == [
        "model.inner.epochs is 2.5, but it must be a whole number",
        "model.inner.epoch: there is no such setting; did you mean model.inner.epochs?",
        "model.members.m._target_ is Outer, which is no Inner",
        "model.name is required by Outer: give it as model.name=VALUE",
    ]


def test_right_values_pass():
    inner = {"_target_": f"{__name__}.Inner", "learning_rate": 1}
    plain = {"_target_": f"{__name__}.Outer", "name": "a", "inner": inner, "cutoffs": [1, 2], "pair": [1, "x"]}
    assert Checker(HERE).part({**plain, "fillers": 3, "items": ["a", 1], "flag": True}, "model", (Outer,)) == []


def test_types_in_words():
    assert describe(tuple[int, ...]) == "a list of whole numbers"
    assert describe(float | None) == "a number or null"
    assert describe(list[list[str]]) == "a list of lists of words"


def test_nearest_prefers_the_same_last_name_elsewhere():
    known = ["model", "model.trainer.epochs", "model.embedding_size", "attack.budget", "seed"]
    assert nearest_path("model.epochs", known) == "model.trainer.epochs"
    assert nearest_path("epochs", known) == "model.trainer.epochs"
    assert nearest_path("model.embeding_size", known) == "model.embedding_size"
    assert nearest_path("sed", known) == "seed"
    assert nearest_path("attack.zzz", known) is None
    assert nearest("averge", ["average", "random"]) == "average"


def test_the_default_is_sound():
    check(run_config())


def test_all_problems_come_at_once():
    cfg = run_config(
        *("attack=average", "+attack.bugdet=1", "attack.fillers=[1]", "attack.targets.count=few", "repeats=0"),
        *("seed=-1", "device=gpu", "threads=0", "paired_test=sign", "+defense.x=1", "+sed=1"),
    )
    assert complaints(cfg) == [
        "sed: there is no such setting; did you mean seed?",
        "seed is -1: give 0 or more",
        "repeats is 0: give 1 or more",
        "device is 'gpu': choose auto, cpu, cuda or cuda:N",
        "threads is 0: give 1 or more, or null",
        "paired_test is 'sign': choose one of t, wilcoxon, permutation",
        "attack.fillers is [1], but it must be a whole number or a word",
        "attack.targets.count is 'few', but it must be a whole number",
        "attack.bugdet: there is no such setting; did you mean attack.budget?",
        "defense.x: there is no such setting",
    ]


@pytest.mark.parametrize("budget", ["0", "-0.1", "1.5"])
def test_a_budget_out_of_range_is_named(budget):
    (said,) = complaints(run_config("attack=average", f"attack.budget={budget}"))
    assert said.startswith(f"attack.budget is {budget}")


def test_range_errors_of_two_parts_come_together():
    found = complaints(run_config("attack=average", "attack.targets.count=0", "evaluation.cutoffs=[0]"))
    assert len(found) == 2
    assert found[0].startswith("attack.targets.count is 0")
    assert "evaluation.cutoffs" in found[1]


@pytest.mark.parametrize("setting", ["weight=0.5", "trainer.epochs=-1"])
def test_a_surrogates_settings_are_named_where_they_stand(setting):
    name, _, value = setting.partition("=")
    (said,) = complaints(run_config("attack=bilevel_wrmf", f"attack.surrogate.{setting}"))
    assert said.startswith(f"attack.surrogate.{name} is {value}")
    (said,) = complaints(run_config("attack=bilevel_ensemble", f"attack.surrogates.item_ae.{setting}"))
    assert said.startswith(f"attack.surrogates.item_ae.{name} is {value}")


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        ("defense=reliability", "defense.labels.known=2"),
        ("defense=filter_fap", "defense.detector.labels.source=me"),
        ("defense=apt", "defense.inverse.damping=-1"),
        ("defense=filter", "defense.detector.components=0"),
        ("dataset=ml_100k", "dataset.filters.k_core=-1"),
        ("dataset=ml_100k", "dataset.split.validation=-1"),
        ("attack=dp", "attack.surrogate.trainer.epochs=-1"),
        ("attack=leg_up", "attack.gan.hidden_size=0"),
        ("attack=bilevel_wrmf", "attack.outer.momentum=2"),
        ("attack=random", "attack.targets.count=0"),
        ("model=cf", "model.edge_trainer.steps=-1"),
    ],
)
def test_settings_of_parts_inside_are_named_where_they_stand(option, setting):
    name, _, value = setting.partition("=")
    (said,) = complaints(run_config(option, setting))
    assert said.startswith((f"{name} is {value}: ", f"{name} is '{value}': "))


@pytest.mark.parametrize(
    ("option", "setting", "word", "written"),
    [
        ("dp", "attack.surrogate", "mf", "+model@attack.surrogate=mf"),
        ("dp", "attack.surrogate", "neumf", "+model@attack.surrogate=neumf '~attack.surrogate.initial'"),
        ("copy", "attack.queried", "item_knn", "'attack.queried={_target_: recpoison.models.item_knn.ItemKNN}'"),
        ("bilevel_ensemble", "+attack.surrogates.a", "lightgcn", "+model@attack.surrogates.a=lightgcn"),
        (
            "bilevel_ensemble",
            "attack.surrogates.wrmf",
            "lightgcn",
            "+model@attack.surrogates.wrmf=lightgcn '~attack.surrogates.wrmf.weight'",
        ),
        (
            "bilevel_ensemble",
            "attack.surrogates.item_ae",
            "wrmf",
            "+model@attack.surrogates.item_ae=wrmf '~attack.surrogates.item_ae.hidden' "
            "'~attack.surrogates.item_ae.activation'",
        ),
        ("bilevel_wrmf", "attack.surrogate", "wrmf", "+model@attack.surrogate=wrmf"),
    ],
)
def test_a_models_name_is_told_how_to_write_it_and_that_is_sound(option, setting, word, written):
    name, chosen = setting.lstrip("+"), (f"attack={option}", "dataset=ml_1m")
    assert complaints(run_config(*chosen, f"{setting}={word}")) == [
        f"{name} is {word!r}, but it must be the settings of a model: write {written}"
    ]
    cfg = run_config(*chosen, *shlex.split(written))
    check(cfg)
    assert OmegaConf.select(cfg, name)["_target_"] == options("model")[word]


@pytest.mark.parametrize(
    ("option", "here"),
    [
        ("dp", "of bprmf, cf, cml, gmf, item_ae, lightgcn, mf, mult_vae, neumf, pcmf, wrmf"),
        ("meta_attack", "of cf, gmf, neumf"),
        ("feo", "always bprmf: set those, such as attack.surrogate.embedding_size"),
    ],
)
def test_a_model_that_cannot_stand_there_is_told_those_that_can(option, here):
    assert complaints(run_config(f"attack={option}", "dataset=ml_1m", "attack.surrogate=popularity"))[0] == (
        f"attack.surrogate is 'popularity', but it must be the settings of a model, here {here}"
    )


def test_missing_values_and_parts_are_named():
    cfg = run_config("attack=average", "attack.budget=???")
    cfg.model = "???"
    assert complaints(cfg) == [
        "model has no value: give it as model=VALUE",
        "attack.budget has no value: give it as attack.budget=VALUE",
    ]


def test_a_part_of_the_wrong_kind_is_refused():
    cfg = run_config("attack=average", "attack._target_=recpoison.defenses.none.NoDefense")
    assert complaints(cfg)[0] == "attack._target_ is NoDefense, which is no Attack"


def test_parts_that_do_not_fit_the_data_are_named_with_those_that_do():
    cfg = run_config("dataset=cora", "model=bprmf", "attack=average")
    with pytest.raises(ConfigError) as caught:
        check(cfg, labels={"dataset": "cora", "model": "bprmf", "attack": "average", "evaluation": "full_ranking"})
    found = str(caught.value).splitlines()
    assert [line.split(" works on ")[0] for line in found] == [
        "model=bprmf",
        "attack=average",
        "evaluation=full_ranking",
    ]
    assert found[1].endswith("but dataset=cora holds a graph: choose attack=metattack, none")


def test_a_broken_reference_is_named():
    cfg = run_config("attack=average", "attack.budget=${nowhere}")
    assert complaints(cfg) == ["attack: Interpolation key 'nowhere' not found in attack.budget"]


def test_trackers_that_are_no_list_are_refused():
    assert complaints(run_config("trackers=${seed}")) == ["trackers is 0, but it must be a list, such as [tensorboard]"]
