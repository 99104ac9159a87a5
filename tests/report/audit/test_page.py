"""Audits of hand-made runs: what is chosen, what is noise, what is doubted, and what the page says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recpoison.report.audit.autoshill import reaches_best, worst_case
from recpoison.report.audit.doubts import doubts
from recpoison.report.audit.findings import Audit, audits_of, listed, percent, reach
from recpoison.report.audit.page import leave_pages, pages
from recpoison.report.audit.sentences import five
from recpoison.report.audit.stability import stability
from recpoison.report.audit.tables import defense_table, detection_table, reach_table
from recpoison.report.formats import to_markdown
from recpoison.report.runs import Undefined, read_runs

USERS = 100
SURROGATE = "recpoison.models.wrmf.WRMF"
THOUGHT = {
    "filter": lambda found: [("removed", "Recall", "", found), ("removed", "RealUsersLost", "", 0.05)],
    "reliability": lambda found: [
        ("weighed", name, "", x)
        for name, x in (("FakeUsersWeight", 1 - found), ("RealUsersWeight", 0.997), ("AUROC", 0.9))
    ],
}
SAID = "defense.labels.source=truth tells who is fake: an oracle, for no defender knows"
LISTS = {
    "clean": np.arange(10),
    "moved": np.array([*range(5), *range(20, 25)]),
    "other": np.array([1, 0, *range(2, 10)]),
}


def write_cell(
    folder: Path,
    model: str,
    setting: str,
    curve: dict[int, tuple[float, float]],
    *,
    clean: tuple[float, float] = (0.0, 0.0),
    defended: tuple[float, float] | None = (0.1, 0.1),
    objective: tuple[float, ...] = (),
    seeds: int = 2,
    found: float = 0.2,
    defense: str = "filter",
) -> None:
    """The run of one attack: ``curve[fake users]`` is what it reaches with seeds 0 and 1."""
    folder.mkdir(parents=True)
    attack = setting.removesuffix("_wide")
    names = f"shop,{model},{{}},{{}},{{}}"
    points, numbers = ["dataset,model,attack,defense,seed,along,at,row_l2,linf,subject,metric,k,value,n"], []
    for seed in range(seeds):
        for budget, values in ({0: clean} | curve).items():
            points.append(f"{names.format(attack, 'none', seed)},fake_users,{budget},,,target,HR,10,{values[seed]},100")
        points += [
            f"{names.format(attack, 'none', seed)},iterations,{at},,,surrogate,Objective,,{value},1"
            for at, value in enumerate(objective)
        ]
        cells = [("none", "none", "test", "HR", 10, 0.5), ("none", defense, "test", "HR", 10, 0.4)]
        cells += [(attack, "none", "target", "HR", 10, curve[max(curve)][seed])]
        if defended is not None:
            cells += [
                ("none", defense, "target", "HR", 10, 0.0),
                (attack, defense, "target", "HR", 10, defended[seed]),
            ]
            cells += [(attack, defense, *thought) for thought in THOUGHT[defense](found)]
        numbers += [f"{names.format(a, d, seed)},{s},{m},{k},{x},100" for a, d, s, m, k, x in cells]
    header = "dataset,model,attack,defense,seed,subject,metric,k,value,n"
    (folder / "metrics.csv").write_text("\n".join([header, *numbers]) + "\n")
    (folder / "curve.csv").write_text("\n".join(points) + "\n")
    about = {
        "command": "recpoison experiment=audit dataset=shop",
        "data": {str(seed): {"users": USERS} for seed in range(seeds)},
        "targets": {str(seed): [{"item": 7, "id": "sku-7", "rows": 2}] for seed in range(seeds)},
        "protocol": {"ties": "half"},
        "notes": ["two rows dropped", "no RobustnessImprovement@10, because the attack did not raise the targets"],
    }
    about["notes"] += [SAID] if defense == "reliability" else []
    (folder / "run.json").write_text(json.dumps(about))
    config = {"attack.targets.rule": "rare", "attack.craft_seed": 0, "model._target_": f"recpoison.models.{model}"}
    if "bilevel" in setting:
        config["attack.surrogate._target_"] = SURROGATE
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "overrides.yaml").write_text(json.dumps([f"model={model}", f"setting=audit_{setting}"]))
    arrays = {}
    for seed in range(seeds):
        lists = {"none": LISTS["other" if seed else "clean"], attack: LISTS["moved" if seed == 0 else "other"]}
        for name, items in lists.items():
            arrays[f"seed={seed}/attack={name}/defense=none/lists"] = np.tile(items, (3, 1))
            arrays[f"seed={seed}/attack={name}/defense=none/list_users"] = np.arange(3)
    np.savez(folder / "ranks.npz", **arrays)


@pytest.fixture
def shop(tmp_path) -> Path:
    """bprmf falls to the learned attack; on wrmf what random does is what another seed does."""
    write_cell(tmp_path / "0", "bprmf", "random", {1: (0.0, 0.0), 10: (0.02, 0.04)}, defended=(0.0, 0.02))
    write_cell(tmp_path / "1", "bprmf", "bilevel_wrmf", {1: (0.0, 0.01), 10: (0.5, 0.6)}, objective=(9.0, 7.0))
    write_cell(tmp_path / "2", "wrmf", "random", {1: (0.1, 0.0), 10: (0.1, 0.1)}, clean=(0.1, 0.0))
    write_cell(tmp_path / "3", "wrmf", "bilevel_wrmf", {1: (0.1, 0.0), 10: (0.08, 0.06)}, clean=(0.1, 0.0))
    return tmp_path


def audit_in(folder: Path) -> Audit:
    (audit,) = audits_of(read_runs([folder]))
    return audit


def test_the_winner_is_chosen_on_the_other_seeds():
    """On seed 0 a is luckiest, on 1 and 2 b: seed 0 is reported for b, the others for the best of a and b elsewhere."""
    values = {"a": (0.9, 0.1, 0.1), "b": (0.3, 0.5, 0.4)}
    rows = [
        {"victim": "v", "bucket": "rare", "draw": 0, "attack": attack, "defense": "none", "budget": 5, "seed": seed}
        | {"value": value, "clean": 0.0, "run": 0}
        for attack, by_seed in values.items()
        for seed, value in enumerate(by_seed)
    ]
    worst = worst_case(pd.DataFrame(rows)).set_index("seed")
    assert worst.attack.to_dict() == {0: "b", 1: "a", 2: "a"}  # means elsewhere: 0.1, 0.45; 0.5, 0.35; 0.5, 0.4
    assert worst.value.to_dict() == {0: 0.3, 1: 0.1, 2: 0.1}
    (found,) = reaches_best(pd.DataFrame(rows), worst.reset_index()).to_dict("records")
    assert (found["best"], found["reached"]) == ("b", False)  # 0.4 on all seeds, its standard error 0.0577
    assert found["least"] == pytest.approx(0.4 - 0.1 / 3**0.5)
    alone = [row for row in rows if row["seed"] == 0]
    assert worst_case(pd.DataFrame(alone)).value.tolist() == [0.9]


def test_means_and_intervals_are_over_seeds():
    rows = pd.DataFrame({"seed": [0, 0, 1, 1], "value": [0.1, 0.3, 0.3, 0.5]})
    found = reach(rows)
    assert (found.mean, found.n) == (pytest.approx(0.3), 2)
    assert found.sd == pytest.approx(0.2 / 2**0.5)
    assert (found.low, found.high) == (0.0, 1.0)  # t with one degree of freedom reaches far beyond both


def test_what_an_audit_finds(shop):
    audit = audit_in(shop)
    assert (audit.victims, audit.attacks, audit.budgets) == (["bprmf", "wrmf"], ["random", "bilevel_wrmf"], [1, 10])
    assert audit.worst_at("bprmf", "rare", 10).mean == pytest.approx(0.55)
    assert audit.placebo("wrmf", "rare") == (pytest.approx(0.05), pytest.approx(0.1))
    assert audit.is_noise("wrmf", "rare", 0.1)
    assert not audit.is_noise("wrmf", "rare", 0.16)
    assert audit.is_noise("bprmf", "rare", 1 / USERS)
    assert [audit.needed("bprmf", "rare", level) for level in (0.01, 0.1, 0.5, 0.9)] == [10, 10, 10, None]
    assert [audit.needed("wrmf", "rare", level) for level in (0.01, 0.1)] == [0, None]  # clean 0.05, attacked noise
    assert (audit.accuracy("bprmf", "none").mean, audit.accuracy("bprmf", "filter").mean) == (0.5, 0.4)


def test_the_five_sentences(shop):
    assert five(audit_in(shop)) == [
        "10 fake accounts (10% of 100 users) are enough to put a rare item into the top 10 of 50% of the users of "
        "bprmf.",
        "The most fragile victim is bprmf: 10 fake accounts bring a rare item into the top 10 of 55% of the users "
        "of bprmf and 10% of wrmf (noise); noise: another seed, or one user, moves as much.",
        "The strongest attack is bilevel_wrmf: the mean over all victims and targets is 31% of users with bilevel_wrmf "
        "and 6.5% with the next, random; of the 1 pair of victim and target that any attack moves beyond noise it is "
        "best on 1.",
        "A detector would see part of the accounts of bilevel_wrmf: of 1 tried, filter finds the most, 20% of them, "
        "and takes 5% of the real users for fake ones.",
        "The best defense here, filter, helps: on average over victims and targets the strongest attack reaches 10% of "
        "users instead of 32%, and accuracy (HR@10 of held-out items) goes from 50.0% to 40.0%.",
    ]


def test_the_file_of_one_s_own_table_is_named(tmp_path):
    write_cell(tmp_path / "0", "wrmf", "random", {4: (0.4, 0.6)})
    written = json.loads((tmp_path / "0" / "config.yaml").read_text())
    (tmp_path / "0" / "config.yaml").write_text(json.dumps(written | {"dataset.path": "/data/clicks.csv"}))
    html, text = (content.decode() for content in pages(read_runs([tmp_path])).values())
    assert text.startswith("# Audit of shop (clicks.csv)\n")
    assert "<h1>Audit of shop (clicks.csv)</h1>" in html


def test_a_detector_that_finds_nobody_is_not_called_the_best(tmp_path):
    write_cell(tmp_path / "0", "wrmf", "random", {4: (0.4, 0.6)}, found=0.0)
    assert five(audit_in(tmp_path))[3] == (
        "A detector would not see the accounts of random: of 1 tried none finds one, and each takes real users for "
        "fake ones, at least 5% of them."
    )


def test_who_weighs_users_stands_beside_who_removes_them_with_what_its_oracle_was_told(tmp_path):
    curve = {10: (0.5, 0.6)}
    write_cell(tmp_path / "0", "bprmf", "random", curve, defense="reliability", found=0.75)
    audit = audit_in(tmp_path)
    alone = "reliability, which removes nobody, leaves them 25% of a user's weight, and real users 100%."
    assert five(audit)[3] == f"A detector would see part of the accounts of random: {alone}"
    write_cell(tmp_path / "1", "bprmf", "random", curve)
    write_cell(tmp_path / "2", "wrmf", "random", {10: (0.9, 0.9)}, defended=(0.85, 0.85))  # reliability is not for it
    audit = audit_in(tmp_path)
    assert five(audit)[3].endswith(
        f"filter finds the most, 20% of them, and takes 5% of the real users for fake ones; {alone}"
    )
    assert five(audit)[4] == (
        "The best defense here, reliability, helps: on average over the targets of bprmf, where it was tried, the "
        "strongest attack reaches 10% of users instead of 55%, and accuracy (HR@10 of held-out items) goes from 50.0% "
        "to 40.0%."
    )
    table = detection_table(audit)
    assert table.rows == (("random", "reliability"), ("random", "filter"))
    shown = {
        " ".join(name): [entry and round(entry.mean, 9) for entry in column]
        for name, column in zip(table.columns, zip(*table.entries, strict=True), strict=True)
    }
    assert shown == {
        "taken out, % of fakes": [None, 0.2],
        "taken out, % of real users": [None, 0.05],
        "weight left, % of fakes": [0.25, None],
        "weight left, % of real users": [0.997, None],
        "told apart AUROC": [0.9, None],
    }
    assert f"reliability: {SAID}" in table.notes
    assert [row[1:] for row in defense_table(audit).rows] == [
        ("wrmf", "filter"),
        ("bprmf", "reliability"),
        ("bprmf", "filter"),
    ]
    assert pages(audit.runs)["audit.md"].decode().count(SAID) == 1


def test_sentences_where_nothing_works_and_nothing_was_tried(tmp_path):
    write_cell(tmp_path / "0", "wrmf", "random", {4: (0.0, 0.01)}, defended=None)
    assert five(audit_in(tmp_path)) == [
        "Up to 4 fake accounts (4% of 100 users) do not put a rare item into the top 10 of 1% of users, whatever the "
        "victim and the attack.",
        "The victim is wrmf: 4 fake accounts bring a rare item into the top 10 of 0.5% of the users of wrmf (noise); "
        "noise: another seed, or one user, moves as much.",
        "No attack did anything (random): another seed, or one user, moves as much.",
        "No detector was tried: add defense=filter.",
        "No defense was tried: add defense=filter.",
    ]


def test_stability_stands_beside_that_between_seeds(shop):
    """Half of the list is new under attack with seed 0, nothing with seed 1; two clean seeds swap the first two."""
    attacked, clean = stability(audit_in(shop), "bprmf", "rare")
    assert attacked.overlap == pytest.approx([0.8749, 1.0], abs=5e-5)
    assert attacked.shared == pytest.approx([1 / 3, 1.0])
    assert clean.overlap == pytest.approx([0.8465], abs=5e-5)
    assert clean.shared == [1.0]


def test_what_deserves_doubt(tmp_path):
    write_cell(tmp_path / "0", "wrmf", "random", {10: (0.5, 0.5)})
    write_cell(tmp_path / "1", "wrmf", "bilevel_wrmf", {10: (0.2, 0.1)}, objective=(3.0, 3.0, 3.0))
    write_cell(tmp_path / "2", "wrmf", "bandwagon", {10: (0.1, 0.9)})
    found = doubts(audit_in(tmp_path))
    assert found[0].startswith("bilevel_wrmf on rare targets: its objective is the same in all iterations")
    assert (
        "random, which learns nothing, reaches 50% of users and the best attack that learns, bilevel_wrmf, 15%"
        in (found[1])
    )
    assert (
        found[2]
        == "wrmf, rare target, 10 fake accounts: seeds disagree about the strongest attack (bandwagon and random)."
    )
    assert len(found) == 4
    assert (
        found[3] == "wrmf, rare target, 10 fake accounts: seeds disagree about how far it comes, 10% to 50% of users."
    )


def test_no_doubt_where_all_is_well_and_one_seed_is_doubted(shop, tmp_path):
    assert doubts(audit_in(shop)) == []
    write_cell(tmp_path / "one" / "0", "wrmf", "random", {4: (0.5,)}, clean=(0.0,), defended=(0.1,), seeds=1)
    (told,) = doubts(audit_in(tmp_path / "one"))
    assert told.startswith("One seed: the strongest attack was chosen on the seed it is reported on")


def test_the_page_begins_with_the_sentences_and_the_command(shop):
    html, text = (content.decode() for content in pages(read_runs([shop])).values())
    assert [html.index(part) for part in ("<ol>", "experiment=audit", "Security curve", "Defense")] == sorted(
        html.index(part) for part in ("<ol>", "experiment=audit", "Security curve", "Defense")
    )
    assert text.startswith("# Audit of shop\n\n100 users, 2 seeds, 4 runs\n\n1. 10 fake accounts")
    assert "To repeat it:\n\n    recpoison experiment=audit dataset=shop\n" in text
    assert "| rare | bprmf | 2 to 10 | 2 to 10 | 2 to 10 |\n| rare | wrmf | 0 | more than 10 | more than 10 |" in text
    assert "## Noted by the runs\n\n- two rows dropped\n\n" in text  # once, and nothing of a metric not shown
    assert "| rare | sku-7 | 2 |" in text
    assert "data:image/svg+xml" in html


def test_the_strongest_attack_of_a_row_is_bold_and_noise_is_marked(shop):
    """wrmf's clean share is 5%, and 10% between its seeds: nothing that reaches less than 15% is told from that."""
    table = reach_table(audit_in(shop))
    best = [[name for (_, name), entry in zip(table.columns, row, strict=True) if entry.best] for row in table.entries]
    assert best == [["bilevel_wrmf"], []]
    lines = to_markdown(table).splitlines()
    assert "| rare | bprmf | 3.00 ± 1.41 | **55.00 ± 7.07** | 55.00 ± 7.07 | 0.00 ± 0.00 | 2 |" in lines
    assert "| rare | wrmf | 10.00 ± 0.00° | 7.00 ± 1.41° | 10.00 ± 0.00° | 5.00 ± 7.07 | 2 |" in lines
    assert "- random: targets beside random items, the attack that knows least" in lines


def test_of_victims_that_fall_to_as_many_accounts_the_one_that_loses_more_users_is_named(tmp_path):
    write_cell(tmp_path / "0", "bprmf", "random", {10: (0.2, 0.2), 30: (0.4, 0.4)})
    write_cell(tmp_path / "1", "wrmf", "random", {10: (0.3, 0.3), 30: (0.3, 0.3)})
    assert five(audit_in(tmp_path))[0] == (
        "10 fake accounts (10% of 100 users) are enough to put a rare item into the top 10 of 10% of the users of "
        "wrmf; 30 (30%) are too few for 50%."
    )


def test_a_share_that_is_reached_without_an_attack_is_no_merit_of_it(tmp_path):
    write_cell(tmp_path / "0", "wrmf", "random", {10: (0.2, 0.2)}, clean=(0.2, 0.2))
    assert five(audit_in(tmp_path))[0].startswith(
        "Up to 10 fake accounts (10% of 100 users) do not put a rare item into"
    )
    assert "of 50% of users" in five(audit_in(tmp_path))[0]  # 1 and 10% have it anyway
    write_cell(tmp_path / "1", "bprmf", "random", {10: (0.6, 0.6)}, clean=(0.6, 0.6))
    assert five(audit_in(tmp_path))[0] == (
        "No fake account is needed to put a rare item into the top 10 of 50% of the users of bprmf: it is there "
        "without an attack."
    )


def test_a_defense_that_helps_the_attack_is_doubted(tmp_path):
    write_cell(tmp_path / "0", "wrmf", "random", {10: (0.2, 0.2)}, defended=(0.3, 0.5))
    (told,) = doubts(audit_in(tmp_path))
    assert told == (
        "wrmf, rare target: with filter the worst case reaches 40% of users instead of 20%: here the defense helps the "
        "attack."
    )


def test_cells_that_a_sweep_left_out_are_told(shop):
    runs = read_runs([shop])
    labels = {"dataset": "shop", "model": "wrmf", "attack": "dp", "defense": "none"}
    left = tuple(
        Undefined(labels | {"dataset": name}, {}, "dp needs bprmf", ("attack",)) for name in ("shop", "b", "shop")
    )
    text = pages(replace(runs, undefined=left))["audit.md"].decode()
    assert "## Noted by the runs\n\n- 2 cells not defined, left out: dp needs bprmf\n- two rows dropped\n" in text


def test_runs_without_such_a_curve_have_no_page(sweep):
    assert pages(read_runs([sweep])) == {}
    assert leave_pages(sweep) == []
    assert not list(sweep.glob("audit*"))


def test_a_page_is_left_beside_the_runs(shop):
    told = leave_pages(shop)
    assert told[-2:] == [str(shop / "audit.html"), str(shop / "audit.md")]
    assert told[:5] == five(audit_in(shop))
    assert (shop / "audit.md").is_file()


def test_words():
    assert [percent(x) for x in (0.0, 0.0013, 0.01, 0.013, 0.1, 0.355, 1.0)] == [
        "0%", "0.13%", "1%", "1.3%", "10%", "36%", "100%",
    ]  # fmt: skip
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")
