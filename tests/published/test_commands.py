"""The commands that a report offers."""

from dataclasses import replace

from recpoison.published.commands import commands
from recpoison.published.tables import load


def test_all_cells_of_a_preset_are_the_preset():
    """A column that is a model has a preset of its own."""
    table = load("apt_table_2")
    both = ["recpoison experiment=apt_table_2", "recpoison experiment=apt_table_2_pcmf"]
    assert commands(table, table.cells) == both
    assert commands(table, [cell for cell in table.cells if cell.options["model"] == "pcmf"]) == both[1:]


def test_fewer_cells_narrow_its_grid():
    table = load("apt_table_2")
    row = [cell for cell in table.cells if cell.names[:3] == ("ml-100k", "random", "Average")]
    own = "setting=apt_ml_100k_random attack=average"
    assert commands(table, row) == [f"recpoison experiment={preset} {own}" for preset in table.presets]
    one = [cell for cell in row if cell.names[3] == "APT"]
    assert commands(table, one) == [f"recpoison experiment=apt_table_2 {own} defense=apt"]
    undefended = [cell for cell in row if cell.names[3] in ("origin", "Attack")]
    assert commands(table, undefended) == [f"recpoison experiment=apt_table_2 {own} defense=none"]


def test_clean_cells_alone_leave_the_attacks_as_they_are():
    table = load("apt_table_2_drawn")
    wanted = [c for c in table.cells if c.names[0] == "filmtrust" and c.names[1] == "random" and c.names[3] == "origin"]
    typed = "recpoison experiment=apt_table_2_drawn setting=apt_filmtrust defense=none attack.targets.rule=random"
    assert commands(table, wanted) == [typed]


def test_what_the_preset_does_not_choose_is_added():
    table = load("injection_table_2")
    wanted = [replace(c, options=c.options | {"defense": "at"}) for c in table.cells]
    assert commands(table, wanted) == ["recpoison experiment=injection_table_2 defense=at"]


def test_a_preset_of_victims_is_narrowed_by_the_models_they_choose():
    table = load("injection_table_2")
    wanted = [cell for cell in table.cells if cell.options["model"] in ("neumf", "cml")]
    assert commands(table, wanted) == ["recpoison experiment=injection_table_2 victim=gowalla_neumf,gowalla_cml"]
    assert commands(table, table.cells) == ["recpoison experiment=injection_table_2"]


def test_without_a_preset_options_and_settings_are_typed():
    """Two models share a setting that the third does not have, so there are two commands."""
    table = replace(load("injection_table_1"), presets=())
    wanted = [cell for cell in table.cells if cell.options["model"] in ("wrmf", "wrmf_als", "item_knn")]
    fixed = "evaluation=full_ranking dataset.filters.k_core=15 dataset.split.method=ratio"
    measured = "'evaluation.metrics=[Recall]' 'evaluation.cutoffs=[50]'"
    neighbors = "model.neighbors=50 model.similarity=jaccard model.neighbors_of=history"
    assert commands(table, wanted) == [
        f"recpoison -m dataset=gowalla model=wrmf,wrmf_als {fixed} model.embedding_size=128 {measured}",
        f"recpoison dataset=gowalla model=item_knn {fixed} {neighbors} {measured}",
    ]
