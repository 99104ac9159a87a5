"""Which run holds a published cell: the preset's jobs, compared setting by setting."""

from dataclasses import replace
from itertools import product

import pytest

from recpoison.published.tables import load, names
from recpoison.report.presets import Expected, in_words, jobs_of

BIG = {"injection_table_2", "apt_table_2", "apt_table_2_drawn", "apt_table_3"}  # many jobs to compose
BIG |= {name for name in names() if name.startswith("metagradient_table") and name != "metagradient_table_4_6"}
RUNNABLE = [pytest.param(name, marks=[pytest.mark.slow] * (name in BIG)) for name in names() if load(name).presets]


@pytest.mark.parametrize("name", RUNNABLE)
def test_every_runnable_cell_is_held_by_a_job_of_its_preset(name):
    table = load(name)
    expected = Expected(table)
    for cell in table.distinct:
        jobs = expected.jobs(cell)
        assert bool(jobs) != bool(cell.needs), cell
        for job in jobs:
            assert expected.differences(cell, job.config) == []


def test_what_differs_is_counted_from_the_nearest_job():
    """A clean cell is in the jobs of all attacks and defenses; what an attack alone has does not matter to it."""
    table = load("apt_table_2")
    clean = next(c for c in table.distinct if c.names == ("filmtrust", "unpopular", "all", "origin"))
    attacked = next(c for c in table.distinct if c.names == ("filmtrust", "unpopular", "Random", "Attack"))
    expected = Expected(table)
    both = {(job.choices["attack"], job.choices["defense"]) for job in expected.jobs(clean)}
    assert both == set(product(("random", "average", "aush", "pga", "tna"), ("at", "apt_rand", "apt")))
    job = expected.jobs(attacked)[0]
    other = dict(job.config) | {"attack.budget": 0.5, "attack.fillers": 9, "seed": 3, "model.initial": "normal"}
    assert {one.key for one in expected.differences(attacked, other)} == {
        "attack.budget", "attack.fillers", "model.initial",
    }  # fmt: skip
    assert {one.key for one in expected.differences(clean, other)} == {"model.initial"}
    assert in_words(expected.differences(attacked, other)) == (
        "model.initial is normal where the preset has xavier_own; attack.budget is 0.5 where the preset has 0.03; "
        "and 1 more setting"
    )


def test_cells_that_come_and_go_keep_their_own_jobs():
    """Merged cells are made anew where somebody asks, and their places in memory are used again."""
    table = load("metagradient_table_4_6")
    expected = Expected(table)
    for _ in range(3):
        for cell in table.distinct:
            assert expected.jobs(cell) == Expected(table).jobs(cell), cell.names


def test_a_setting_that_a_run_lacks_is_a_difference():
    table = load("apt_table_2")
    attacked = next(c for c in table.distinct if c.names == ("filmtrust", "unpopular", "Random", "Attack"))
    expected = Expected(table)
    job = expected.jobs(attacked)[0]
    older = {key: value for key, value in job.config.items() if key != "evaluation.ties"}
    (found,) = expected.differences(attacked, older)
    assert str(found) == f"evaluation.ties is not set where the preset has {job.config['evaluation.ties']}"


def test_without_a_preset_the_listed_settings_have_to_fit():
    table = replace(load("metagradient_table_4_2"), presets=())
    cell = next(c for c in table.distinct if c.names[1:] == ("2000", "baseline", "loss"))
    expected = Expected(table)
    assert expected.differences(cell, cell.settings | {"model.epochs": 1}) == []
    wrong = cell.settings | {"attack.n_flips": 5}
    assert [one.key for one in expected.differences(cell, wrong)] == ["attack.n_flips"]


def test_targets_do_not_matter_to_held_out_items_of_a_clean_cell():
    """Figure 7 attacks embeddings; its clean cells are table 3's all the same."""
    table = load("apr_report_table_3")
    cell = next(c for c in table.distinct if c.options["defense"] == "apr")
    figure = next(job for job in jobs_of("apr_report_figure_7") if job.choices["defense"] == "apr")
    assert Expected(table).differences(cell, figure.config) == []
