"""Cells whose parts do not fit together: left out where that is asked for, named, and no others."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sweeping import SMALL

from recpoison.command.overrides import compose_sweep
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.report.command import main as report
from recpoison.sweeps.undefined import defined_only, look_at
from recpoison.train_attack_eval import main

SWEEP = ["-m", *SMALL, "defense=none,apr,filter", "hydra.sweep.dir=outputs/s"]
SKIP = "sweep.skip_undefined=true"
SAID = "defense=apr with model=popularity: adversarial training needs a model that names its embeddings"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def found() -> dict[str, str]:
    """The status of each cell."""
    paths = sorted(Path("outputs/s").glob("*/status.json"))
    return {path.parent.name: json.loads(path.read_text())["status"] for path in paths}


def words_of(capsys) -> tuple[str, str]:
    told = capsys.readouterr()
    return " ".join(told.out.split()), " ".join(told.err.split())


def test_they_are_named_left_out_and_na_in_tables_and_the_others_run(capsys):
    assert main([*SWEEP, SKIP]) == 0
    out, err = words_of(capsys)
    assert f"1 of 3 cells is not defined: it is left out, and n/a in tables {SAID}" in out
    assert "2 of 2 cells done" in out
    assert err == ""
    before = found()
    assert sorted(before.values()) == ["done", "done", "undefined"]
    (left,) = [cell for cell, status in before.items() if status == "undefined"]
    assert not (Path("outputs/s") / left / "metrics.csv").exists()

    assert main([*SWEEP, SKIP]) == 0
    out, _ = words_of(capsys)
    assert "1 of 3 cells is not defined" in out
    assert "2 of 2 cells already done" in out
    assert found() == before

    assert report(["outputs/s", "--rows", "attack", "--columns", "defense", "--format", "markdown"]) == 0
    table, _ = words_of(capsys)
    assert "| attack | defense none | defense apr | defense filter | n |" in table
    assert "| bandwagon | " in table
    assert table.count("| n/a |") == 2, "clean and attacked"
    assert f"- n/a: {SAID.replace('_', chr(92) + '_')}" in table
    assert "no result" not in table


@pytest.mark.slow
def test_who_does_not_ask_sees_them_fail_and_how_to_ask_and_no_hash_changes(capsys):
    assert main(SWEEP) == 2
    _, err = words_of(capsys)
    assert "is missing: adversarial training needs a model" in err
    assert "sweep.skip_undefined=true leaves out cells whose parts do not fit together" in err
    before = found()
    assert sorted(before.values()) == ["done", "done", "failed"]
    assert main([*SWEEP, SKIP]) == 0
    assert found() == {cell: "undefined" if status == "failed" else status for cell, status in before.items()}
    assert main([*SWEEP, "sweep.retry_failed=true"]) == 2, "who no longer asks has it tried"
    assert found() == before


def test_the_plan_leaves_them_out_and_writes_nothing(capsys):
    assert main([*SWEEP, SKIP, "sweep.plan=true"]) == 0
    out, _ = words_of(capsys)
    assert f"n/a in tables {SAID}" in out
    assert "2 cells in outputs/s; left to do" in out
    assert not Path("outputs").exists()


def test_a_sweep_of_nothing_else_is_refused(capsys):
    assert main(["-m", *SMALL, "defense=apr,vat", SKIP]) == 2
    _, err = words_of(capsys)
    assert err.startswith("recpoison: no cell of this sweep is defined: defense=apr")
    assert SAID in err
    assert not Path("outputs").exists()


def test_a_sweep_whose_values_are_wrong_is_not_undefined():
    words = ["dataset=planted", "model=popularity", "attack=bandwagon", "defense=apr", "attack.budget=-1,0.1", SKIP]
    wrong, undefined = compose_sweep(words).jobs
    assert look_at(wrong, ()) is None
    assert look_at(undefined, ()).parts == ("defense", "model")


@pytest.mark.parametrize(
    ("words", "parts", "said"),
    [
        (["attack=fgsm"], ("attack", "model"), "attack=fgsm with model=popularity: FGSM shifts embeddings"),
        (["attack=aush"], ("attack", "dataset"), "attack=aush with dataset=planted: AUSHAttack writes ratings"),
        (
            ["evaluation=detection"],
            ("evaluation", "model", "attack"),
            "evaluation=detection with model=popularity and attack=none: ",
        ),
        (["dataset=cora"], ("model", "dataset"), "model=popularity works on interactions, but dataset=cora holds"),
    ],
)
def test_which_parts_are_named(words, parts, said):
    given = {text.partition("=")[0]: text for text in ["dataset=planted", "model=popularity", "attack=none", *words]}
    (job,) = compose_sweep(list(given.values())).jobs
    undefined = look_at(job, ())
    assert undefined.parts == parts
    assert undefined.why.startswith(said)


def test_a_search_does_not_know_them_beforehand():
    sweep = compose_sweep([*SWEEP[1:], SKIP])
    with pytest.raises(ConfigError, match="skip_undefined needs the whole grid"):
        defined_only(replace(sweep, jobs=None), ())


def test_one_that_is_left_out_by_itself_is_refused_as_parts():
    sweep = compose_sweep([*SMALL, "defense=apr", SKIP])
    with pytest.raises(IncompatibleParts, match=r"1 cell\)"):
        defined_only(sweep, ())
