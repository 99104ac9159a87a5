"""The suite's memory of YAML and of what Hydra composed tells nothing but what would be read and composed anew."""

from __future__ import annotations

from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from remembered import composing, reading

from recpoison.command.overrides import compose_root

HYDRAS_OWN = ConfigLoaderImpl._load_configuration_impl.__wrapped__


def composed(*overrides: str) -> DictConfig:
    return compose_root(overrides, with_hydra=True)


def test_an_equal_text_is_parsed_once_and_each_has_a_copy(tmp_path):
    parsed = []
    read = reading(lambda file: parsed.append(file) or OmegaConf.load.__wrapped__(file))
    file = tmp_path / "one.yaml"
    file.write_text("a: 1\n")
    read(file).a = 7
    assert read(str(file)) == {"a": 1}
    assert len(parsed) == 1
    for _ in range(2):
        with file.open() as stream:
            assert read(stream) == {"a": 1}
    file.write_text("a: 2\n")
    assert read(file) == {"a": 2}


@pytest.mark.parametrize("words", [["model=bprmf", "seed=3"], ["experiment=apt_table_2"], ["setting=apt_yelp_random"]])
def test_what_was_composed_is_what_hydra_composes(words, tmp_path, monkeypatch):
    asked = []
    load = composing(lambda *given, **how: asked.append(1) or HYDRAS_OWN(*given, **how))
    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", load)
    composed(*words).seed = 99
    monkeypatch.chdir(tmp_path)
    again = composed(*words)
    assert len(asked) == 1
    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", HYDRAS_OWN)
    expected = composed(*words)
    assert plain(again) == plain(expected)
    assert OmegaConf.is_struct(again)
    assert OmegaConf.get_type(again.sweep) is OmegaConf.get_type(expected.sweep)


def plain(cfg: DictConfig) -> Any:
    return OmegaConf.to_container(cfg, resolve=False)


def test_a_users_yaml_is_composed_each_time(tmp_path):
    for budget in (0.02, 0.03):
        (tmp_path / "experiment").mkdir(exist_ok=True)
        (tmp_path / "experiment" / "mine.yaml").write_text(f"# @package _global_\nattack:\n  budget: {budget}\n")
        assert composed(f"hydra.searchpath=[file://{tmp_path}]", "experiment=mine").attack.budget == budget


def test_what_is_refused_is_refused_again():
    for _ in range(2):
        with pytest.raises(HydraException, match="no_such_model"):
            composed("model=no_such_model")
        with pytest.raises(HydraException, match="Ambiguous value"):
            composed("seed=1,2")
