"""A setting that is typed and cannot matter is refused; one that a YAML sets never is."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweeping import SMALL

from recpoison.command.cells import read_status
from recpoison.command.overrides import compose_root, compose_sweep
from recpoison.command.typed import refuse_idle
from recpoison.errors import ConfigError
from recpoison.train_attack_eval import main

RATED = ["dataset=csv", "dataset.path=x.csv", "dataset.rating=r", "dataset.low=1", "dataset.high=5"]
BIM = ["model=bprmf", "attack=bim"]


@pytest.mark.parametrize(
    ("around", "typed", "why"),
    [
        (["model=popularity"], "evaluation.curve_epochs=5", "Popularity has no epochs"),
        (["model=wrmf_als"], "evaluation.select_on=test", "WRMFALS has no epochs"),
        (["model=bprmf", "attack=fgsm"], "evaluation.curve_steps=1", "FGSM takes no steps on embeddings"),
        (["attack=average"], "evaluation.curve_epsilons=[1]", "AverageAttack has no epsilon on embeddings"),
        (["model=bprmf", "attack=fgsm"], "attack.targets.rule=tail", "goal is untargeted"),
        (["model=bprmf", "attack=fgsm"], "attack.targets={rule: tail}", "goal is untargeted"),
        (["attack=random", "attack.targets={rule: list, items: [3]}"], "attack.targets.count=2", "rule is list"),
        (["attack=random"], "attack.round_ratings=false", "the data have no ratings"),
        (["attack=average"], "attack.item_std=population", "the data have no ratings"),
        (["model=mf", "attack=bim"], "attack.negatives=fresh", "MF's loss is of all its data and draws none"),
        (["model=wrmf", "attack=bim"], "attack.negatives=fresh", "WRMF's loss is of all its data and draws none"),
        (
            ["attack.outer={projection: top_n, profile_size: 9, keep: projected}"],
            "attack.outer.threshold=0.1",
            "projection is top_n and no bound is around it",
        ),
        (["attack.outer.iterations=0"], "attack.outer.step_size=3", "iterations is 0, so no step is taken"),
        (
            ["model=bprmf", "defense=apr", "defense.weight=0"],
            "defense.epsilon=1",
            "weight is 0, which is plain training",
        ),
        (["model=bprmf", "defense=distillation"], "defense.epsilon=1", "weight is 0, so nothing is shifted"),
        (
            ["model=bprmf", "model.trainer.optimizer=sgd", "defense=apr"],
            "defense.restart_optimizer=false",
            "model.trainer.optimizer is sgd, which remembers nothing",
        ),
        (["attack=none"], "evaluation.owners=excluded", "NoAttack has no targets"),
        (BIM, "evaluation.target_hr=any", "BIM has no targets"),
        ([], "evaluation.select_metric=AUC", "select_on is last"),
        ([], "evaluation.select_every=5", "select_on is last"),
        (["model=bprmf", "model.trainer.optimizer=adam"], "model.trainer.initial_accumulator=0", "optimizer is adam"),
        (["model=bprmf", "model.trainer.optimizer=sgd"], "model.trainer.initial_accumulator=0", "optimizer is sgd"),
        (["model=bprmf", "model.trainer.optimizer=sgd"], "model.trainer.eps=0.1", "optimizer is sgd"),
        ([], "dataset.split.test=0.3", "method is leave_one_out_random, which takes no share"),
        ([*RATED, "dataset.filters.min_user=0"], "dataset.filters.count=rows", "take nothing away"),
        (["dataset=gowalla"], "dataset.filters.implicit=true", r"gowalla \(lightgcn\) has no ratings"),
        ([*RATED, "dataset.filters.binarise_at=3"], "dataset.filters.implicit=true", "forgets the values already"),
        (["attack.n_fake_users=5"], "attack.budget=0.05", "n_fake_users is 5, which wins over it"),
    ],
)
def test_each_has_its_sentence(around, typed, why):
    cfg = compose_root([*around, typed])
    refuse_idle(around, [cfg])  # what stands around it matters
    with pytest.raises(ConfigError, match=why) as caught:
        refuse_idle([*around, typed], [cfg])
    assert str(caught.value).startswith(typed.partition("=")[0])
    assert str(caught.value).endswith(": leave it out")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        [*RATED, "model=mf", "attack=average", "attack.item_std=population", "attack.round_ratings=false"],
        ["dataset=ml_100k", "dataset.filters.implicit=true"],
        ["model=bprmf", "evaluation.select_on=test", "evaluation.select_every=5", "evaluation.curve_epochs=2"],
        [*BIM, "evaluation.curve_steps=1", "evaluation.curve_epsilons=[1]", "attack.negatives=fresh"],
        [*BIM, "attack.goal=targeted", "attack.targets.count=2", "evaluation.target_hr=any"],
        ["seed=3", "device=cpu", "hydra.run.dir=x", "trackers=[]"],
        ["dataset.split.method=ratio", "dataset.split.test=0.3", "model.trainer.eps=1e-6"],
    ],
)
def test_what_matters_is_let_through(overrides):
    refuse_idle(overrides, [compose_root(overrides)])


def test_in_a_sweep_a_value_is_refused_only_where_it_matters_in_no_cell():
    kept = ["model=bprmf", "attack=fgsm,bim", "evaluation.curve_steps=5"]
    refuse_idle(kept, [job.cfg for job in compose_sweep(kept).jobs])
    idle = ["model=bprmf,mf", "attack=fgsm,noise", "evaluation.curve_steps=5,6", "seed=0,1"]
    with pytest.raises(ConfigError, match=r"^evaluation\.curve_steps cannot matter, because \w+ takes no steps"):
        refuse_idle(idle, [job.cfg for job in compose_sweep(idle).jobs])


def test_values_of_yaml_files_are_never_refused():
    cfg = compose_root(["experiment=msap_table_1"])
    refuse_idle(["experiment=msap_table_1"], [cfg])


def test_the_command_refuses_a_run_and_a_sweep_before_any_work(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = "evaluation.select_every cannot matter, because Popularity has no epochs: leave it out"
    for more in ([], ["-m", "seed=0,1"]):
        assert main([*SMALL, *more, "evaluation.select_every=3"]) == 2
        assert capsys.readouterr().err == f"recpoison: {said}\n"
    assert not list(Path().rglob("metrics.csv"))


@pytest.mark.slow
def test_cells_that_differ_in_what_cannot_matter_share_their_stages(capsys, tmp_path, monkeypatch):
    """Adam keeps no sums, so of four cells two have the same fit: three fits, clean and attacked."""
    monkeypatch.chdir(tmp_path)
    swept = ["model.trainer.optimizer=adam,adagrad", "model.trainer.initial_accumulator=0.1,1"]
    small = ["model=bprmf", "model.embedding_size=4", "model.trainer.epochs=1", "attack=random", "attack.budget=0.1"]
    assert main(["-m", "dataset=planted", *small, *swept, "evaluation.cutoffs=[5]", "device=cpu"]) == 0
    cells = [path.parent for path in Path("outputs").rglob("status.json")]
    assert [read_status(cell).status for cell in cells] == ["done"] * 4
    assert len(list(Path("outputs/store/fit").iterdir())) == 3 * 2
    capsys.readouterr()
