"""Presets of published tables: a whole table is one command, and its values survive the composition."""

import numpy as np
import pytest

from recpoison.command.config import build
from recpoison.command.overrides import compose_root, is_sweep
from recpoison.progress import Progress
from recpoison.published.tables import load
from recpoison.report.presets import jobs_of
from recpoison.seeds import Seeds
from recpoison.train_attack_eval import main

PRESETS = ["apt_table_2", "apt_table_2_drawn", "apt_table_3"]
ATTACKS = {"random", "average", "aush", "pga", "tna"}


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


@pytest.mark.slow  # hundreds of jobs to compose
@pytest.mark.parametrize("name", PRESETS)
def test_the_grid_holds_every_cell_that_can_be_run(name):
    """A clean cell is in the jobs of every attack, an undefended one in those of every defense of the same model."""
    table = load(name)
    jobs = [job for preset in table.presets for job in jobs_of(preset)]
    assert not [cell for cell in table.cells if cell.needs]
    for cell in table.cells:
        fitting = [
            job
            for job in jobs
            if all(job.choices[group] == cell.options[group] for group in ("dataset", "model"))
            and all(cell.options[group] in ("none", job.choices[group]) for group in ("attack", "defense"))
            and all(str(value) == str(job.config.get(key)) for key, value in cell.settings.items())
        ]
        attack, defense = cell.options["attack"], cell.options["defense"]
        assert {job.choices["attack"] for job in fitting} == (ATTACKS if attack == "none" else {attack})
        of_mf = {"at", "apt_rand", "apt"} if defense == "none" else {defense}
        assert {job.choices["defense"] for job in fitting} == (of_mf if cell.options["model"] == "mf" else {"none"})


def test_two_experiments_at_once_are_refused(capsys):
    assert main(["experiment=apt_table_2", "experiment=apt_table_3"]) == 2
    assert "experiment is given twice" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.reference
@pytest.mark.parametrize(
    ("setting", "training", "users"),
    [
        ("apt_filmtrust_random", True, [6, 2, 1, 1, 367]),
        ("apt_filmtrust_unpopular", True, [2, 4, 2, 3, 2]),
        ("apt_ml_100k_random", False, [31, 17, 4, 93, 91]),
        ("apt_ml_100k_unpopular", False, [1, 2, 4, 1, 2]),
        ("apt_ml_1m_random", True, [84, 42, 24, 64, 246]),
        ("apt_ml_1m_unpopular", True, [1, 1, 2, 1, 1]),
    ],
)
def test_the_authors_targets_have_the_users_that_were_counted(data_dir, setting, training, users):
    """Counted from the authors' files: training rows of filmtrust; on ml_100k all rows, as their split is not ours.

    On ml_1m counted here: that all five unpopular ones have fewer than 5 says that the numbering is the right one.
    """
    cfg = compose_root([f"setting={setting}", "attack=random"])
    split = build(cfg.dataset).load(data_dir, Seeds(0), Progress())
    targets = build(cfg.attack).choose_targets(split.train, Seeds(0))
    data = split.train if training else split.whole
    assert data.item_counts[targets].tolist() == users
    assert split.train.n_items == {"filmtrust": 2011, "ml_100k": 1682, "ml_1m": 3706}[cfg.dataset.name]


@pytest.mark.data
def test_the_authors_numbers_of_ml_1m_are_the_order_in_which_movies_appear(data_dir):
    """Held against what is public of the NCF authors' file, whose test rows begin with these items."""
    dataset = build(compose_root(["setting=apt_ml_1m_random", "attack=random"]).dataset)
    rows, test = dataset.read(data_dir, Seeds(0), Progress()), dataset.load(data_dir, Seeds(0), Progress()).test
    movies = list(dict.fromkeys(rows.item_labels[rows.items].tolist()))
    held_out = dict(zip(test.user_labels[test.users].tolist(), test.item_labels[test.items].tolist(), strict=True))
    assert [movies.index(held_out[user]) for user in range(1, 7)] == [25, 133, 207, 208, 222, 396]
    numbers = {"random": [1032, 3033, 2797, 2060, 1366], "unpopular": [3639, 3698, 3622, 3570, 3503]}
    for name, listed in numbers.items():
        targets = compose_root([f"setting=apt_ml_1m_{name}", "attack=random"]).attack.targets["items"]
        assert [str(movies[number]) for number in listed] == list(targets)


@pytest.mark.data
@pytest.mark.parametrize(("setting", "ratings"), [("apt_filmtrust", 38), ("apt_ml_100k", 105), ("apt_ml_1m", 165)])
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
