"""A single run is composed once, and is to Hydra what its own command would have made of it."""

import logging

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from recpoison.command.launching import launch
from recpoison.command.overrides import compose_root
from recpoison.train_attack_eval import main

SMALL = ["dataset=planted", "model=popularity", "attack=none", "store_dir=null"]
LINES = {
    "plain": [],
    "a mode": ["hydra.mode=RUN"],
    "a folder": ["hydra.run.dir=outputs/mine", "hydra.output_subdir=.hydra"],
    "an added key and an environment": ["+hydra.job.env_set.RECPOISON_X=1", "hydra.job.chdir=true"],
    "all that Hydra can say": ["hydra.verbose=true"],
}


@pytest.fixture
def own_log():
    """Leave logging as it was: Hydra configures it for a job."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before, level


@pytest.mark.parametrize("words", LINES.values(), ids=LINES)
def test_a_composed_run_is_what_hydra_composes(words, tmp_path, monkeypatch, own_log):
    monkeypatch.chdir(tmp_path)
    seen = []

    def job(cfg):
        HydraConfig.instance().cfg._set_flag("readonly", None)
        seen.append([OmegaConf.to_container(one, resolve=False) for one in (cfg, HydraConfig.instance().cfg)])

    words = [*SMALL, *words, *([] if "hydra.run.dir=outputs/mine" in words else ["hydra.run.dir=outputs/own"])]
    launch(job, words)
    launch(job, words, compose_root(words, with_hydra=True))
    assert seen[0] == seen[1]
    assert seen[0][1]["hydra"]["mode"].name == "RUN"


def test_a_single_run_is_composed_once(tmp_path, monkeypatch, own_log):
    monkeypatch.chdir(tmp_path)
    composed = []
    compose = ConfigLoaderImpl._load_configuration_impl
    monkeypatch.setattr(
        ConfigLoaderImpl, "_load_configuration_impl", lambda *a, **k: composed.append(1) or compose(*a, **k)
    )
    assert main([*SMALL, "evaluation.cutoffs=[5]"]) == 0
    assert len(composed) == 1
