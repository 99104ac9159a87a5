"""Lines that compose in Hydra's eyes and are wrong all the same: each is answered before any folder is made."""

import sys

import pytest

from recpoison.command.understanding import understand
from recpoison.command.words import said_of
from recpoison.errors import ConfigError

SMALL = ["dataset=planted", "attack=none"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["data_dir=${HOME}/x"], "data_dir: HOME is no setting; for an environment variable write ${oc.env:HOME}"),
        (["data_dir=${oc.env:RECPOISON_NO_SUCH}"], "data_dir: KeyError raised while resolving"),
        (["data_dir=${data_dir}"], "data_dir: "),
        (["trackers=[${nope}]"], "trackers[0]: nope is no setting"),
        (["model=[{a:1}]"], "model=[{a:1}]: choose an option of model by its name"),
        (["model=" + "{a:" * 1000 + "1" + "}" * 1000], "a value is nested too deep"),
        (["dataset.n_blocks =", "3"], "a space stands before the ="),
        (["model=mf,"], "ends with a comma"),
        (["hydra.launcher=nan"], "hydra.launcher is nan: choose it as hydra/launcher=NAME"),
        (["hydra.sweeper=null"], "hydra.sweeper is None: choose it as hydra/sweeper=NAME"),
        (
            ["hydra.searchpath=[pkg://antigravity]"],
            "would import antigravity: if you trust it, add --trust antigravity",
        ),
        (["hydra.job_logging.handlers.file.class=numpy.load"], "names numpy.load, which is neither"),
        (["+hydra.job_logging.handlers.x={stream:ext://os.system}"], "names ext://os.system, which is neither"),
        (["+hydra.callbacks.x={_target_:pandas.read_pickle}"], "names pandas.read_pickle, which is neither"),
    ],
)
def test_a_line_is_refused_in_a_sentence(words, sentence):
    with pytest.raises(ConfigError) as refused:
        understand([*SMALL, *words], False, [])
    assert sentence in str(refused.value)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("seed=range(0,3,0)", "range() arg 3 must not be zero"),
        ("seed=interval(0,1)", "interval is for sweepers that search: add hydra/sweeper=optuna"),
        ("model=glob(zz*)", "model=glob(zz*) matches nothing"),
        ("seed=range(0,0)", "seed=range(0,0) matches nothing"),
    ],
)
def test_a_sweep_without_values_is_refused(word, sentence):
    with pytest.raises(ConfigError) as refused:
        understand([*SMALL, word], True, [])
    assert sentence in str(refused.value)


GRID, OPTUNA = "hydra/sweeper/sampler=grid", "hydra/sweeper=optuna"
TYPO = "modl: there is no such setting; did you mean model?"


@pytest.mark.parametrize(
    ("words", "problems"),
    [
        ([OPTUNA, GRID, "modl=mf"], [TYPO]),
        ([GRID, OPTUNA, "modl=mf"], [TYPO]),
        ([GRID], [f"{GRID}: the chosen option of hydra/sweeper has no sampler to choose"]),
        (
            ["experiment=tune_model", GRID, "modl=mf"],
            [
                f"{GRID}: In 'experiment/tune_model': Key 'seed' not in 'SamplerConfig'",
                TYPO,
                "dataset.split: there is no such setting",  # planted data are not split
            ],
        ),
        (
            ["model@attack.surrogate=mf"],
            ["model@attack.surrogate=mf: no option was put there by a preset, so add one: +model@attack.surrogate=mf"],
        ),
    ],
)
def test_an_option_that_another_brings_is_tried_beside_it(words, problems):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    with pytest.raises(ConfigError) as refused:
        understand([*SMALL, "seed=0,1", *words], True, [])
    assert str(refused.value).splitlines() == problems


def test_a_glob_of_options_is_a_sweep():
    sweep = understand([*SMALL, "model=glob(pop*)"], True, [])
    assert [job.overrides for job in sweep.jobs] == [["dataset=planted", "attack=none", "model=popularity"]]


CALLBACK = "callbacks: {x: {_target_: os.system}}"
FACTORY = "job_logging: {formatters: {x: {'()': os.system}}}"


@pytest.mark.parametrize("settings", [CALLBACK, FACTORY])
def test_a_foreign_yaml_may_name_only_what_is_trusted(tmp_path, settings):
    """A preset of somebody else's folder cannot have Hydra call a function of its choice."""
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "theirs.yaml").write_text(f"# @package _global_\nhydra: {{{settings}}}\n")
    words = [f"hydra.searchpath=[file://{tmp_path}]", *SMALL, "experiment=theirs"]
    with pytest.raises(ConfigError, match=r"names os\.system, which is neither Hydra's nor recpoison's"):
        understand(words, False, [])
    assert understand(words, False, ["os"]).dataset.name == "planted"


SLIPS = {
    "a tab": ("x: 1\n\ty: 2\n", "line 3 is no YAML (found a tab that cannot start any token): mend that line"),
    "a key twice": ("seed: 1\nseed: 2\n", "line 3 is no YAML (found duplicate key seed): mend that line"),
    "an open bracket": ("seed: [1\n", "line 3 is no YAML ("),
    "a control character": ("seed: \x01\n", "is no YAML (special characters are not allowed at place "),
}


@pytest.mark.parametrize("sweeping", [False, True])
@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_the_users_own_yaml_is_told_with_its_file_and_line(tmp_path, slip, sweeping):
    text, said = SLIPS[slip]
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "mine.yaml"
    file.write_text(f"# @package _global_\n{text}")
    words = [f"hydra.searchpath=[file://{tmp_path}]", *SMALL, "experiment=mine", *["seed=0,1"] * sweeping]
    with pytest.raises(ConfigError) as told:
        understand(words, sweeping, [])
    assert said in str(told.value)
    assert str(file) in str(told.value)
    assert "\n" not in str(told.value)


def test_yaml_that_is_no_text_is_told():
    error = UnicodeDecodeError("utf-8", b"a\xe9", 1, 2, "invalid continuation byte")
    assert said_of(error) == "its file is no UTF-8 text (byte 0xe9 at place 1): save it as UTF-8"


def test_options_are_called_by_their_names_also_beside_another_mistake():
    with pytest.raises(ConfigError, match="model=bprmf works on interactions, but dataset=cora holds a graph"):
        understand(["dataset=cora", "model=bprmf", "seed=abc"], False, [])
