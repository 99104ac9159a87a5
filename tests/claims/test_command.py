"""``recpoison-verify``: our own claims, a claim made of a run and verified, and what cannot be run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sweeping import SMALL, write_table

from recpoison.claims.claim import read_claim
from recpoison.claims.command import main, ours, verify
from recpoison.train_attack_eval import main as recpoison

OF_NO_FILE = [path for path in ours() if read_claim(path).command[0] == "dataset=planted"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_ten_claims_ship_and_two_of_them_need_no_file():
    assert len(ours()) == 10
    assert len(OF_NO_FILE) == 2


@pytest.mark.parametrize("path", OF_NO_FILE, ids=lambda path: path.stem)
def test_our_claims_that_need_no_file_hold(path):
    verdict = verify(read_claim(path))
    assert verdict.said.startswith("holds: ")
    assert verdict.code == 0


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("path", [path for path in ours() if path not in OF_NO_FILE], ids=lambda path: path.stem)
def test_our_other_claims_hold(path, data_dir):
    assert verify(read_claim(path)).code == 0


def changed(file: str, **values: object) -> str:
    Path("other.json").write_text(json.dumps(json.loads(Path(file).read_text()) | values))
    return "other.json"


def test_a_claim_of_a_run_holds_until_its_number_or_its_data_are_others(capsys):
    write_table("mine.csv")
    line = ["dataset=csv", "dataset.path=mine.csv", *SMALL[2:], "hydra.run.dir=outputs/a", "store_dir=null"]
    assert recpoison(line) == 0
    assert main(["--make", "outputs/a", "target.HR@5"]) == 0
    assert main(["--make", "outputs/a", "target.HR@5"]) == 2
    assert "claim.json is there already: name another file with --output" in capsys.readouterr().err
    assert main(["claim.json"]) == 0
    expected = read_claim(Path("claim.json")).expected
    other = {"expected": expected + 0.025, "interval": [expected + 0.02, expected + 0.03]}
    assert main([changed("claim.json", **other)]) == 1
    write_table("mine.csv", step=7)
    assert main(["claim.json", "claim.json"]) == 2
    told = capsys.readouterr().out.splitlines()
    assert [text.split(":")[1].strip() for text in told[-4:]] == ["holds", "differs", "cannot be run", "cannot be run"]
    assert not Path("outputs/store").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["dataset=csv", "dataset.path=gone.csv"], "gone.csv"),
        (["--trust=os"], "flags are for you to give"),
        (["model=mff"], "there is no such option; did you mean mf?"),
        (["dataset=planted", "model=popularity", "attack=none", "seed=0,1"], "gives several values"),
    ],
)
def test_what_cannot_be_run_says_why(command, said, capsys):
    assert main([changed(str(OF_NO_FILE[0]), command=command)]) == 2
    told = capsys.readouterr().out
    assert told.startswith("other: cannot be run: ")
    assert said in told


def test_ours_are_called_by_name(capsys):
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 10
    assert main(["planted_item_kn"]) == 2
    assert "did you mean planted_item_knn?" in capsys.readouterr().err
    assert main([]) == 2
