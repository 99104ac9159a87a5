"""README's commands and Python blocks run as they are written, and give what it tells."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from recpoison.claims import command as claims
from recpoison.command import doctor
from recpoison.data import command as data
from recpoison.report import command as report
from recpoison.stages import command as store
from recpoison.train_attack_eval import main

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README.split("## From Python", 1)[1].split("\n## ", 1)[0], re.DOTALL)
ATTACK = re.findall(r"```python\n(.*?)```", README.split("## Add an attack", 1)[1].split("\n## ", 1)[0], re.DOTALL)

PROGRAMS: dict[str, Callable[[list[str]], int]] = {
    "recpoison": main,
    "recpoison-data": data.main,
    "recpoison-report": report.main,
    "recpoison-store": store.main,
    "recpoison-doctor": doctor.main,
    "recpoison-verify": claims.main,
}

_PUBLISHED = (
    "hours: the whole published sweep; and its rows of Yelp need a file that README says how to fetch",
    ["sweep.plan=true", "setting=apt_filmtrust_random"],
)
_LEARNED = "minutes of gradients: two steps show that it runs", ["attack.outer.iterations=2"]
_FEW_FLIPS = ["attack.n_flips=10", "attack.edges_per_step=5"]
SHORTER: dict[str, tuple[str, list[str]]] = {
    "recpoison": ("the test below runs the demo whole", _LEARNED[1]),
    "recpoison experiment=apt_table_2": _PUBLISHED,
    "recpoison dataset=ml_100k model=bprmf attack=bim defense=apr 'evaluation.curve_epsilons=[0.25,0.5,1,2,4]'": (
        "minutes of fits: the curve over epsilon is drawn after three epochs too",
        ["model.trainer.epochs=3"],
    ),
    "recpoison model=item_ae attack=bilevel_wrmf": _LEARNED,
    "recpoison objective=target.HR@50": _LEARNED,
    "recpoison experiment=tune_model dataset=ml_100k hydra.sweeper.n_trials=20": (
        "twenty fits: five epochs show that the best of them is found",
        ["model.trainer.epochs=5"],
    ),
    "recpoison dataset=ml_100k model=wrmf attack=bilevel_wrmf attack.budget=0.03 evaluation=detection": _LEARNED,
    "recpoison dataset=ml_100k model=cf attack=meta_attack evaluation=link_prediction": (
        "minutes of meta-gradients: two of them show that it runs",
        _FEW_FLIPS,
    ),
    "recpoison dataset=cora model=gcn attack=metattack evaluation=node_accuracy": (
        "fifty meta-gradients and twenty fits: two of each show that it runs",
        [*_FEW_FLIPS, "evaluation.retrainings=2"],
    ),
    "recpoison experiment=audit dataset=csv dataset.path=clicks.csv dataset.user=customer dataset.item=sku": (
        "ten minutes, 48 cells: one victim under two attacks has its page too; tests/report/audit looks at the rest",
        ["model=item_knn", "setting=audit_bandwagon,audit_random", "attack.targets.rule=rare", "defense=filter"],
    ),
    "recpoison repeats=5": ("five demos", [*_LEARNED[1], "model.trainer.epochs=5"]),
}
"""Why a command is cut short here, and what it gets on top. One that is not named runs as README has it."""


def commands() -> list[str]:
    """README's lines for a shell (indented by four) and its code spans that begin with one of the programs, in order.

    One on `outputs/latest` that stands twice is run twice, since that has moved on. A span that is a name alone
    (`recpoison`) is prose. git, make and pip need a network and a clean machine, and are not run here.
    """
    prose = re.sub(r"```python\n.*?```", "", README, flags=re.DOTALL)
    started = rf"(?:PYTHONPATH=\. )?(?:{'|'.join(PROGRAMS)})"
    found = re.findall(rf"^    ({started}(?: .*)?)$|`({started} [^`]+|recpoison-doctor)`", prose, re.MULTILINE)
    lines = [shlex.join(shlex.split(line or span, comments=True)) for line, span in found]
    return [line for n, line in enumerate(lines) if "outputs/latest" in line or line not in lines[:n]]


def run(line: str) -> int:
    _, more = SHORTER.get(line, ("", []))
    words = [word for word in shlex.split(line) if word != "PYTHONPATH=."]
    return PROGRAMS[words[0]]([*words[1:], *more])


def prepare(folder: Path) -> None:
    """What README takes for given: a table of the reader's own, and a package of his own with the attack it shows."""
    pairs = sorted({(f"c{n % 200}", f"s{n * n % 251}") for n in range(6000)})
    pd.DataFrame(pairs, columns=["customer", "sku"]).to_csv(folder / "clicks.csv", index=False)
    for name in ("my/attack", "my_package"):
        (folder / name).mkdir(parents=True)
    (folder / "my/attack/mine.yaml").write_text(
        "# Popular items\n_target_: my_package.PopularityAttack\nbudget: 0.02\nn_fake_users: null\nfillers: 30\n"
        "targets:\n  _target_: recpoison.attacks.targets.Targets\n"
    )
    (folder / "my_package/__init__.py").write_text(
        "from dataclasses import dataclass\n\nimport numpy as np\n\nfrom recpoison.attacks.base import FakeProfiles\n"
        f"from recpoison.attacks.profiles.base import ProfileAttack\n\n{ATTACK[0]}"
    )


def test_what_is_cut_short_is_in_readme():
    assert set(SHORTER) <= set(commands())
    programs = {line.removeprefix("PYTHONPATH=. ").split()[0] for line in commands()}
    assert programs >= {"recpoison", "recpoison-data", "recpoison-report", "recpoison-doctor"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Path:
    """One folder for all commands in README's order: the reports find what the runs before them left."""
    folder = tmp_path_factory.mktemp("desk")
    prepare(folder)
    return folder


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("line", commands(), ids=str)
def test_a_command_ends_well(line, desk, data_dir, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(desk)
    if "outputs/latest" in line and not Path("outputs/latest").exists():  # a test that is run alone
        assert main(["dataset=planted", "model=popularity", "attack=random"]) == 0
    capsys.readouterr()
    code = run(line)
    assert code == 0, capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_prints_readme_s_table(tmp_path, monkeypatch, capsys):
    """Word for word, but for the numbers, of which those of the targets may differ by rounding on other processors."""
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    told = numbers_of(capsys.readouterr().out)
    assert len(DEMO) == 7
    assert {label: told[label] for label in DEMO} == {
        label: pytest.approx(values, abs=0.02 if values[0] < 1 else 2) for label, values in DEMO.items()
    }


def numbers_of(text: str) -> dict[str, list[float]]:
    """The metrics of a printed table, each with its clean value, its attacked value and the difference."""
    rows = re.findall(r"^ +(\w+@?\d*) +([\d.]+) +([\d.]+) +([+-][\d.]+) *$", text, re.MULTILINE)
    return {f"{label}, row {n}": [float(value) for value in values] for n, (label, *values) in enumerate(rows)}


DEMO = numbers_of(README.split("## Start", 1)[1].split("## Five minutes", 1)[0])


def test_there_are_two_blocks_of_python():
    assert len(BLOCKS) == 2


@pytest.mark.data
@pytest.mark.slow
def test_the_first_gives_the_numbers_that_readme_tells(data_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(BLOCKS[0], found)
    told = capsys.readouterr().out
    assert "HR@50 rose from 0.0000 to 0.9883" in told
    assert "± 0.0066" in told
    pd.testing.assert_frame_equal(found["recpoison"].load("average").to_frame(), found["numbers"])
    assert (tmp_path / "average.pdf").read_bytes().startswith(b"%PDF")


def test_the_second_takes_a_frame_and_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(BLOCKS[1], {})
    assert capsys.readouterr().out.startswith("<recpoison frame, MF, BandwagonAttack, 1 seed: The targets' HR@50 ")
