"""Every printed number has a place, and a cell means what its description says."""

import csv
import re
from collections import Counter

import pytest
import yaml

from recpoison.errors import ConfigError
from recpoison.nearest import nearest
from recpoison.paths import CONF_DIR
from recpoison.published.tables import FOLDER, load, names

DESIGN = {  # option names that users will type, also of parts that are still to come
    "model": "bprmf mf wrmf wrmf_als item_ae gmf cf neumf mult_vae cml item_knn pcmf popularity random gcn",
    "attack": "none random average bandwagon segment rand_filter aush pga tna bilevel_wrmf bilevel_item_ae "
    "wrmf_als_gradient noise fgsm bim pgd cw random_edges meta_attack metattack",
    "defense": "none apr amf_random at apt apt_rand distillation filter",
    "evaluation": "full_ranking sampled link_prediction node_accuracy",
}
# other readings of tables that are there already
AGAIN = {"apt_table_2_drawn", "msap_table_1_valid", "apr_report_table_4_gowalla"}
AGAIN |= {"metagradient_table_4_1_cora", "metagradient_table_4_2_single", "metagradient_table_4_3_repeats"}


def rows_of(file) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_every_row_of_every_csv_belongs_to_one_table():
    counted = Counter()
    for name in set(names()) - AGAIN:
        about = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        while "csv" not in about:
            about = yaml.safe_load((FOLDER / f"{about['like']}.yaml").read_text())
        counted[about["csv"]] += len(load(name).cells)
    assert counted == {file.name: len(rows_of(file)) for file in FOLDER.glob("*.csv")}
    assert counted.total() == 1599


@pytest.mark.parametrize("name", names())
def test_cells_are_whole(name):
    table = load(name)
    assert table.cells
    assert table.title
    assert table.paper
    assert all(cell.tolerance or cell.relative for cell in table.cells)
    assert table.repeats >= 1
    for cell in table.cells:
        assert len(cell.names) == len(table.keys)
        assert {"dataset", "model", "attack", "defense"} <= cell.options.keys()
        assert cell.subject in ("test", "path", "target", "surrogate", "link", "node", "data")
        for group, allowed in DESIGN.items():
            assert cell.options.get(group, "none") in ("none", *allowed.split())
        assert (CONF_DIR / "dataset" / f"{cell.options['dataset']}.yaml").is_file()


@pytest.mark.parametrize("name", names())
def test_no_two_cells_of_a_table_have_one_name(name):
    cells = [(cell.names, cell.label) for cell in load(name).cells]
    assert len(set(cells)) == len(cells)


@pytest.mark.parametrize("name", [name for name in names() if load(name).presets])
def test_presets_exist(name):
    for preset in load(name).presets:
        assert (CONF_DIR / "experiment" / f"{preset}.yaml").is_file()


def test_a_cell_of_apt_table_2():
    cell = next(c for c in load("apt_table_2").cells if c.names == ("ml-100k", "unpopular", "Average", "Attack"))
    assert cell.value == 0.9292
    assert cell.options == {
        "dataset": "ml_100k",
        "model": "mf",
        "attack": "average",
        "defense": "none",
        "evaluation": "full_ranking",
        "setting": "apt_ml_100k_unpopular",
    }
    assert (cell.subject, cell.metric, cell.k, cell.label) == ("target", "HR", 50, "target HR@50")
    wanted = {
        "attack.budget": 0.03,
        "attack.targets.items": '["1486", "1321", "822", "1563", "1532"]',
        "dataset.split.method": "leave_one_out_random",
        "model.initial": "xavier_own",
    }
    assert wanted.items() <= cell.settings.items()
    assert cell.needs == ()


def test_another_model_drops_the_settings_of_the_first():
    cell = next(c for c in load("apt_table_2").cells if c.names == ("ml-100k", "random", "Random", "PCMF"))
    assert cell.options["model"] == "pcmf"
    assert {key: cell.settings[key] for key in cell.settings if key.startswith("model.")} == {
        "model.trainer.learning_rate": 0.01  # what its own meaning says
    }
    assert "attack.budget" in cell.settings


def test_what_does_not_exist_is_needed(tmp_path, monkeypatch):
    """Found by looking into conf/: an empty one lacks everything."""
    cell = load("apt_table_3").cells[0]
    monkeypatch.setattr("recpoison.published.tables.CONF_DIR", tmp_path)
    assert "model=mf" in cell.needs
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mf.yaml").touch()
    assert "model=mf" not in cell.needs


def test_a_cell_that_is_printed_several_times_is_one():
    """APT repeats the clean model beside each of five attacks: 240 printed, 8 x 4 of them once too often."""
    table = load("apt_table_2")
    assert len(table.cells) == 240
    assert len(table.distinct) == 240 - 8 * 4
    clean = [cell.names for cell in table.distinct if cell.names[3] == "origin" and cell.names[0] == "ml-1m"]
    assert clean == [("ml-1m", "random", "all", "origin"), ("ml-1m", "unpopular", "all", "origin")]


def test_bounds_may_be_a_metrics_own():
    bounds = {cell.metric: (cell.tolerance, cell.relative) for cell in load("msap_table_1").cells}
    assert (bounds["NDCG"], bounds["Coverage"]) == ((0.005, 0.1), (None, 0.1))


def test_the_last_printed_decimal():
    assert load("apt_table_2").unit == pytest.approx(1e-4)


def test_the_readme_says_which_tables_cannot_run():
    readme = (CONF_DIR.parent / "README.md").read_text(encoding="utf-8")
    said = re.findall("Published tables that cannot run yet: (.*?) \\(", readme)
    cannot = {name for name in names() if any(cell.needs for cell in load(name).cells)}
    assert cannot == {name for names in said for name in re.findall("`(.*?)`", names)}


def test_misprints_carry_their_note():
    noted = {(cell.names, cell.value): cell.note for cell in load("apt_table_3").cells if cell.note}
    assert len(noted) == 3
    assert noted[("ml-100k", "random", "Average", "Attack"), 0.5080].startswith("printed 0.5080")


def test_words_of_a_row_fill_in_settings():
    cell = next(c for c in load("metagradient_table_4_2").cells if c.names[1:] == ("2000", "baseline", "loss"))
    assert cell.settings["attack.n_flips"] == 2000
    assert cell.options["attack"] == "random_edges"
    clean = next(c for c in load("metagradient_table_4_2").cells if c.names[1:] == ("0", "baseline", "loss"))
    assert clean.options["attack"] == "none"
    assert clean.settings == {key: value for key, value in cell.settings.items() if key != "attack.n_flips"}


def test_words_of_a_tables_own_fill_in_options():
    """Row 7 of table 4.13 is crafted on CF and meets GMF."""
    rows = [c for c in load("metagradient_table_4_13").cells if c.names[0] == "7" and c.names[5] == "baseline"]
    surrogate, target = (next(c for c in rows if c.names[6] == who) for who in ("surrogate", "target"))
    assert (surrogate.options["victim"], surrogate.options["model"]) == ("metagradient_cf", "cf")
    assert (target.options["victim"], target.options["model"]) == ("metagradient_gmf", "gmf")
    assert surrogate.options["setting"] == target.options["setting"] == "metagradient_from_cf"


def test_where_takes_several_values():
    assert {cell.names[1] for cell in load("metagradient_table_4_3_repeats").cells} == {"0", "10000"}


def test_a_clean_cell_is_one_under_every_attacks_settings():
    """Three attacks with settings of their own print one clean accuracy and one loss."""
    table = load("metagradient_table_4_6")
    assert len(table.cells) - len(table.distinct) == 4
    assert [cell.names for cell in table.distinct if cell.names[0] == "0"] == [
        ("0", "all", "accuracy_percent"),
        ("0", "all", "loss"),
    ]


def test_an_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="apt_table_2"):
        load("apt_tabel_2")
    assert nearest("apt_tabel_2", names())
