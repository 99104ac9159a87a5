"""Claims: what one says of a run, when it holds, and what is said of a file that is none."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from recpoison.claims.claim import claim_of, judge, read_claim
from recpoison.errors import ConfigError, DataError

COLUMNS = ["dataset", "model", "attack", "defense", "seed", "subject", "metric", "k", "value", "n"]


def run(*values: float, fingerprint: str = "f", overrides: tuple[str, ...] = ()) -> SimpleNamespace:
    """A run with one number, a seed each."""
    rows = [("toy", "mf", "bad", "none", seed, "target", "HR", 5, value, 4) for seed, value in enumerate(values)]
    about = {
        "data": {str(seed): {"fingerprint": fingerprint} for seed in range(len(values))},
        "versions": {"torch": "2"},
    }
    return SimpleNamespace(
        metrics=pd.DataFrame(rows, columns=COLUMNS).astype({"k": "Int64"}), overrides=overrides, about=about
    )


def test_it_is_the_mean_over_seeds():
    claim = claim_of(run(0.4, 0.5, 0.9), "target.HR@5")
    assert claim.expected == pytest.approx(0.6)
    assert claim.data == {"0": "f", "1": "f", "2": "f"}
    assert claim.claim == "target.HR@5 of mf on toy under attack bad, defense none, is 0.6 (3 seeds)"


@pytest.mark.parametrize(("value", "reach"), [(0.2, 0.02), (114.0, 2.28)])
def test_it_may_differ_by_rounding_alone(value, reach):
    assert claim_of(run(value), "target.HR@5").interval == pytest.approx([value - reach, value + reach])


def test_settings_that_change_no_number_are_left_out_of_the_command():
    typed = ("model=mf", "threads=2", "hydra.run.dir=outputs/a", "trackers=[mlflow]", "objective=target.HR@5", "seed=3")
    assert claim_of(run(0.5, overrides=typed), "target.HR@5").command == ["model=mf", "seed=3"]


def test_it_holds_within_its_interval_and_differs_outside():
    claim = replace(claim_of(run(0.5), "target.HR@5"), interval=[0.4, 0.5])
    assert judge(claim, run(0.4)).code == judge(claim, run(0.5)).code == 0
    verdict = judge(claim, run(0.51))
    assert verdict.code == 1
    assert verdict.said == "differs: target.HR@5 is 0.51, claimed 0.5, from 0.4 to 0.5"
    other = judge(replace(claim, versions={"torch": "1"}), run(0.51))
    assert other.said.endswith("(torch 2, then 1)")


def test_on_other_data_it_cannot_be_run_whatever_the_number():
    verdict = judge(claim_of(run(0.5), "target.HR@5"), run(0.5, fingerprint="g"))
    assert verdict.code == 2
    assert verdict.said == "cannot be run: the data of seed 0 are not those of the claim"


def test_a_number_that_the_run_lacks_is_refused_with_those_it_has():
    with pytest.raises(ConfigError, match=r"the run measured no target\.HR@50; did you mean target\.HR@5\?"):
        claim_of(run(0.5), "target.HR@50")


def test_a_claim_comes_back_as_it_was_written_and_never_over_another(tmp_path):
    claim = claim_of(run(0.4, 0.6), "target.HR@5")
    claim.write(tmp_path / "claim.json")
    assert read_claim(tmp_path / "claim.json") == claim
    with pytest.raises(FileExistsError):
        claim.write(tmp_path / "claim.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expected": "high"}, "expected is 'high', which no claim has"),
        ({"interval": [1]}, "interval is [1], which no claim has"),
        ({"command": "model=mf"}, "command is 'model=mf', which no claim has"),
        ({"expected": math.nan}, "expected is nan, which no claim has"),
        ({"expected": 10**400}, "which no claim has"),
        ({"interval": [0, 10**400]}, "which no claim has"),
        ({"data": None}, "data is None, which no claim has"),
        ({"expected": 0.9}, "expected is 0.9, outside of its own interval from "),
    ],
)
def test_a_file_that_is_no_claim_is_told(tmp_path, change, said):
    file = tmp_path / "claim.json"
    claim_of(run(0.5), "target.HR@5").write(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError) as told:
        read_claim(file)
    assert said in str(told.value)
    assert str(file) in str(told.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100000])
def test_other_files_are_no_claims(tmp_path, text):
    file = tmp_path / "claim.json"
    file.write_text(text)
    with pytest.raises(DataError, match="claim"):
        read_claim(file)
