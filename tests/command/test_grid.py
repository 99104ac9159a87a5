"""The jobs of a grid, composed by what they share, against Hydra composing each by itself."""

from __future__ import annotations

import pytest
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from recpoison.command.cells import identify_job
from recpoison.command.grid import Grid
from recpoison.command.overrides import conf_dir
from recpoison.paths import ROOT_CONFIG

SHARED = ["dataset=planted", "hydra.job.config.override_dirname.exclude_keys=[seed]"]
JOBS = [
    ["dataset=planted", "model=mf", "seed=0"],
    ["dataset=planted", "model=mf", "seed=1"],
    ["dataset=planted", "model=popularity", "seed=1"],
    ["seed=1", "model=mf", "dataset=planted"],
    ["dataset=planted", "model=mf", "model.trainer.epochs=3", "model={embedding_size: 7}", "+attack.fresh=2"],
    ["dataset=planted", "model=mf", "~defense", "attack=average", "attack.targets.rule=rare"],
    ["dataset=planted", "model=mf", "attack=bilevel_ensemble", "attack.budget=${oc.env:NO_SUCH_NAME,0.02}"],
    ["experiment=audit", "model=mf", "attack.craft_seed=1", "defense=filter"],
    ["dataset=planted", "hydra.job.name=another", "seed=4"],
]


@pytest.fixture(scope="module")
def loaded():
    with conf_dir() as hydra:
        loader = hydra.config_loader
        yield loader, loader.load_configuration(ROOT_CONFIG, SHARED, run_mode=RunMode.MULTIRUN)


def test_each_job_is_what_hydra_composes(loaded):
    loader, shared = loaded
    grid = Grid(loader, shared)
    for texts in [*JOBS, *reversed(JOBS)]:
        ours, plain = grid.job(texts), loader.load_sweep_config(shared, texts)
        assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(plain), texts
        assert identify_job(ours) == identify_job(plain)
        for path in ("", "hydra", "model", "hydra.job"):
            same = [OmegaConf.select(cfg, path) if path else cfg for cfg in (ours, plain)]
            assert OmegaConf.is_struct(same[0]) == OmegaConf.is_struct(same[1]), path


def test_options_are_composed_once_for_all_values(loaded, monkeypatch):
    loader, shared = loaded
    grid, composed = Grid(loader, shared), []
    whole = type(loader).load_sweep_config

    def counted(self, master, texts):
        composed.append(texts)
        return whole(self, master, texts)

    monkeypatch.setattr(type(loader), "load_sweep_config", counted)
    cfgs = [grid.job(["model=mf", f"seed={seed}"]) for seed in range(4)]
    assert composed == [["model=mf"]]
    assert [cfg.seed for cfg in cfgs] == [0, 1, 2, 3]
    cfgs[0].model.embedding_size = 1
    assert cfgs[1].model.embedding_size != 1


@pytest.mark.parametrize("word", ["model=nothing", "model.nothing=1", "seed=many", "nothing@model=mf"])
def test_what_does_not_compose_is_told_in_hydras_words(loaded, word):
    loader, shared = loaded
    with pytest.raises(HydraException) as plain:
        loader.load_sweep_config(shared, ["model=mf", word])
    with pytest.raises(HydraException) as ours:
        Grid(loader, shared).job(["model=mf", word])
    assert (str(ours.value), type(ours.value)) == (str(plain.value), type(plain.value))
