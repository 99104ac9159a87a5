"""Presets of published tables: a whole table is one command, and its values survive the composition."""

from itertools import product

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from recpoison.command.config import build, settings
from recpoison.command.overrides import compose_root, is_sweep
from recpoison.paths import CONF_DIR
from recpoison.progress import Progress
from recpoison.published.tables import LABELS, load
from recpoison.seeds import Seeds
from recpoison.train_attack_eval import main

PRESETS = ["apt_table_2", "apt_table_2_drawn", "apt_table_3"]


def grid(name: str) -> dict[str, list[str]]:
    """The grid of a preset or, where it has none of its own, of the one it builds on."""
    content = yaml.safe_load((CONF_DIR / "experiment" / f"{name}.yaml").read_text())
    own = content.get("hydra", {}).get("sweeper", {}).get("params", {})
    inherited = [grid(base) for base in content.get("defaults", []) if isinstance(base, str)]
    return {key: values for one in inherited for key, values in one.items()} | {
        key: values.split(",") for key, values in own.items()
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_sweep_without_being_asked(name):
    assert is_sweep([f"experiment={name}"])
    assert not is_sweep(["model=mf"])


@pytest.mark.parametrize("name", PRESETS)
def test_values_survive(name):
    cfg = compose_root([f"experiment={name}"])
    assert cfg.repeats == 30
    assert (cfg.model.initial, cfg.model.embedding_size) == ("xavier_own", 64)
    assert (cfg.model.trainer.learning_rate, cfg.model.trainer.epochs) == (10.0, 25)
    assert list(cfg.evaluation.cutoffs) == [50]
    assert cfg.attack.budget == 0.03
    assert compose_root([f"experiment={name}", "repeats=3", "attack=average"]).repeats == 3


@pytest.mark.parametrize("name", PRESETS)
def test_the_grid_holds_every_cell_that_can_be_run(name):
    """Each job of the sweep is composed as Hydra would; each runnable cell of the table fits one of them."""
    axes = grid(name)
    jobs = []
    for values in product(*axes.values()):
        overrides = [f"{key}={value}" for key, value in zip(axes, values, strict=True)]
        cfg = compose_root([*overrides, f"experiment={name}"])
        plain = {key: OmegaConf.select(cfg, key) for key in settings(cfg)}
        attack = dict(zip(axes, values, strict=True)).get("attack")
        jobs.append((cfg.dataset.name, attack, plain))
    runnable = [cell for cell in load(name).cells if not cell.needs]
    assert len(runnable) == 28
    for cell in runnable:
        dataset, _, attack, _ = (cell.options[label] for label in LABELS)
        fitting = [
            job
            for job in jobs
            if job[0] == dataset
            and attack in ("none", job[1])
            and all(str(value).replace('"', "'") == str(job[2].get(key)) for key, value in cell.settings.items())
        ]
        assert len(fitting) == (2 if attack == "none" else 1), cell


def test_two_experiments_at_once_are_refused(capsys):
    assert main(["experiment=apt_table_2", "experiment=apt_table_3"]) == 2
    assert "experiment is given twice" in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.reference
@pytest.mark.parametrize(
    ("setting", "training", "users"),
    [
        ("apt_filmtrust_random", True, [6, 2, 1, 1, 367]),
        ("apt_filmtrust_unpopular", True, [2, 4, 2, 3, 2]),
        ("apt_ml_100k_random", False, [31, 17, 4, 93, 91]),
        ("apt_ml_100k_unpopular", False, [1, 2, 4, 1, 2]),
    ],
)
def test_the_authors_targets_have_the_users_that_were_counted(data_dir, setting, training, users):
    """Counted from the authors' files: training rows of filmtrust; on ml_100k all rows, as their split is not ours."""
    cfg = compose_root([f"setting={setting}", "attack=random"])
    split = build(cfg.dataset).load(data_dir, Seeds(0), Progress())
    targets = build(cfg.attack).choose_targets(split.train, Seeds(0))
    data = split.train if training else split.whole
    assert data.item_counts[targets].tolist() == users
    assert split.train.n_items == (2011 if training else 1682)


@pytest.mark.data
@pytest.mark.parametrize(("setting", "ratings"), [("apt_filmtrust", 38), ("apt_ml_100k", 105)])
def test_fake_users_rate_as_much_as_the_mean_user(data_dir, setting, ratings):
    cfg = compose_root([f"setting={setting}", "attack=average", "attack.targets.rule=unpopular"])
    split = build(cfg.dataset).load(data_dir, Seeds(0), Progress())
    attack = build(cfg.attack)
    targets = attack.choose_targets(split.train, Seeds(0))
    assert (split.train.item_counts[targets] < 5).all()
    import torch

    change = attack.poison(split.train, targets, Seeds(0), torch.device("cpu"), Progress())
    assert change.n_fakes == int(0.03 * split.train.n_users)
    assert (np.bincount(change.profile) == ratings).all()
