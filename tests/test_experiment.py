"""The whole story on planted data, where the answers are known."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recpoison.attacks.base import Crafting, ProfileAttack
from recpoison.attacks.profiles.bandwagon import BandwagonAttack
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.changes import FakeProfiles
from recpoison.data.dataset import Dataset
from recpoison.data.filtering import Filters
from recpoison.data.interactions import Interactions, Scale
from recpoison.data.splitting import Split, Splitter
from recpoison.data.synthetic import Planted, Synthetic
from recpoison.defenses.apt_rand import APTRand
from recpoison.defenses.base import Defense
from recpoison.defenses.detectors.pca_select_users import PCASelectUsers
from recpoison.defenses.filter import FilterThenFit
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.bprmf import BPRMF
from recpoison.models.item_knn import ItemKNN
from recpoison.models.mf import MF
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress
from recpoison.records import RunRecord, markdown
from recpoison.seeds import Seeds
from recpoison.stages.store import Store
from recpoison.training.trainer import Trainer

LAST = Targets(rule="list", items=(40,))
FEW = FullRanking(cutoffs=(1, 5))
LAST_OF_SMALL = Targets(rule="list", items=(39,))
SMALL = Synthetic("small", 60, 40, 8, 3.0, Splitter("leave_one_out_random", validation=1))


@dataclass(frozen=True)
class Rated(Synthetic):
    """Made data with ratings from 1 to 5."""

    @property
    def has_ratings(self) -> bool:
        return True

    def read(self, *arguments) -> Interactions:
        data = super().read(*arguments)
        return replace(data, values=1.0 + data.items % 5, scale=Scale(1, 5))


class Stages(Progress):
    """Notes which stages were begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def stage(self, name: str):
        self.begun.append(name)
        return super().stage(name)


def value(record: RunRecord, attack: str, defense: str, subject: str, metric: str, k: int | None) -> float:
    table = record.metrics()
    rows = table[(table.attack == attack) & (table.defense == defense) & (table.subject == subject)]
    rows = rows[(rows.metric == metric) & (rows.k.isna() if k is None else rows.k == k)]
    assert len(rows) == 1
    return float(rows.value.iloc[0])


def test_the_two_by_two_of_planted_blocks() -> None:
    """A neighbour model finds the held-out item first; fake users lift the unseen target; cells share their seed."""
    attack = BandwagonAttack(targets=LAST, n_fake_users=8, fillers=4, n_selected=4)
    defense = FilterThenFit(PCASelectUsers(components=2), 0.1)
    parts = Parts(Planted("planted", 40), ItemKNN(40), attack, defense, evaluation=FEW, labels={"attack": "bandwagon"})
    record = run(parts, [3])
    cells = [(result.cell.attack, result.cell.defense) for result in record.results]
    assert cells == [
        ("none", "none"),
        ("bandwagon", "none"),
        ("none", "FilterThenFit"),
        ("bandwagon", "FilterThenFit"),
    ]
    assert value(record, "none", "none", "test", "HR", 1) == 1
    of_ties = 4 / 21  # beside the held-out item, four places for 21 items that nobody has together with a user's own
    assert value(record, "none", "none", "target", "HR", 5) == pytest.approx(of_ties)
    assert value(record, "bandwagon", "none", "target", "HR", 5) == 1
    shift = value(record, "bandwagon", "none", "target", "RankShift", None)
    before, after = (value(record, a, "none", "target", "MeanRank", None) for a in ("none", "bandwagon"))
    assert shift == pytest.approx(before - after)
    target = record.about["targets"][3]
    assert [(fact["item"], fact["rows"]) for fact in target] == [(40, 0)], "nobody has the item"
    size = record.about["attack_size"]
    assert size.startswith("8 fake users with 9.0 rows each on average, 72 in all: "), "4 and 4 items and the target"
    assert f"Attack: {size}." in markdown(record)
    caught, found, lost = (
        value(record, "bandwagon", "FilterThenFit", "removed", name, None)
        for name in ("Precision", "Recall", "RealUsersLost")
    )
    assert 4 * caught == pytest.approx(8 * found), "a tenth of 48 users"
    assert 4 * caught + 40 * lost == pytest.approx(4)
    assert value(record, "none", "FilterThenFit", "removed", "RealUsersLost", None) == 4 / 40
    suspicion = FilterThenFit(PCASelectUsers(components=2)).detector.scores(
        record.results[1].change.apply(parts.dataset.load(None, Seeds(3), Progress()).train)
    )
    ranked = value(record, "bandwagon", "FilterThenFit", "removed", "AUROC", None)
    assert ranked == pytest.approx(roc_auc_score(np.arange(48) >= 40, suspicion))
    defended = value(record, "bandwagon", "FilterThenFit", "target", "HR", 5)
    improvement = value(record, "bandwagon", "FilterThenFit", "target", "RobustnessImprovement", 5)
    assert improvement == pytest.approx(1 - (defended - of_ties) / (1 - of_ties))
    assert set(record.metrics().query("metric == 'RobustnessImprovement'").defense) == {"FilterThenFit"}
    users = {len(result.seen.list_users) for result in record.results}
    assert users == {40}, "fake users are never counted"


def test_whom_a_defense_removed_is_found_again_with_its_fit(tmp_path: Path) -> None:
    attack = BandwagonAttack(targets=LAST, n_fake_users=8, fillers=4, n_selected=4)
    parts = Parts(Planted("planted", 40), ItemKNN(40), attack, FilterThenFit(suspected=0.1), evaluation=FEW)
    first, again = (run(parts, [3], store=Store(tmp_path)) for _ in range(2))
    assert all(cost.reused for cost in again.costs)
    assert again.metrics().equals(first.metrics())
    assert set(again.metrics().query("subject == 'removed'").metric) == {
        "Precision",
        "Recall",
        "RealUsersLost",
        "AUROC",
    }


def test_where_an_attack_changes_nothing_no_improvement_is_told_and_a_note_says_so() -> None:
    """Everybody has every target of this model's lists either way: a tenth of the users more moves no list of 41."""
    attack = RandomAttack(targets=LAST, n_fake_users=4, fillers=4)
    parts = Parts(
        Planted("planted", 40),
        Popularity(),
        attack,
        FilterThenFit(suspected=0.1),
        evaluation=FullRanking(cutoffs=(1, 41)),
    )
    record = run(parts, [3, 4])
    table = record.metrics()
    rates = table[(table.subject == "target") & (table.metric == "HR")].set_index(["attack", "defense", "k"]).value
    assert rates.loc["none", "none", 41].tolist() == rates.loc["RandomAttack", "none", 41].tolist() == [1, 1]
    assert 41 not in set(table[table.metric == "RobustnessImprovement"].k)
    note = "no RobustnessImprovement@41, because the attack without a defense did not raise the targets' HR@41"
    assert note in record.about["notes"], "under both seeds, so that none is named"


def test_same_seed_same_numbers_and_another_seed_others() -> None:
    parts = Parts(
        SMALL, BPRMF(8, trainer=Trainer(3)), RandomAttack(targets=LAST_OF_SMALL, n_fake_users=2), evaluation=FEW
    )
    once, twice = run(parts, [0]).metrics(), run(parts, [0, 1]).metrics()
    first = twice[twice.seed == 0].reset_index(drop=True)
    assert once.equals(first)
    assert not np.allclose(first.value, twice[twice.seed == 1].value)


def test_clean_cells_do_not_depend_on_the_attack() -> None:
    model = BPRMF(8, trainer=Trainer(3))
    tables = []
    for n_fakes in (1, 20):
        attack = RandomAttack(targets=LAST_OF_SMALL, n_fake_users=n_fakes)
        table = run(Parts(SMALL, model, attack, evaluation=FEW)).metrics()
        tables.append(table[table.attack == "none"])
    assert tables[0].equals(tables[1])


def test_one_attack_crafted_once_meets_every_repeat(tmp_path: Path) -> None:
    """The fake users are those that its seed alone has, crafted once, and so are the targets."""
    drawn = RandomAttack(targets=Targets("random", count=2), n_fake_users=3, fillers=5, craft_seed=7)
    planted, progress = Planted("planted", 40), Stages()
    parts = Parts(planted, Popularity(), drawn, evaluation=FEW)
    record = run(parts, [0, 7, 1], store=Store(tmp_path), progress=progress)
    alone = run(Parts(planted, Popularity(), replace(drawn, craft_seed=None), evaluation=FEW), [7])
    assert [name for name in progress.begun if name.startswith("craft")] == ["craft RandomAttack on planted, seed 7"]
    changes = [result.change.arrays() for result in record.results if result.change is not None]
    (expected,) = (result.change.arrays() for result in alone.results if result.change is not None)
    assert len(changes) == 3
    assert all(np.array_equal(change[name], expected[name]) for change in changes for name in expected)
    promoted = [{fact["item"] for fact in record.about["targets"][seed]} for seed in (0, 7, 1)]
    assert promoted == [set(expected["targets"])] * 3
    own = record.metrics().query("seed == 7").value.to_numpy()
    assert np.array_equal(own, alone.metrics().value.to_numpy(), equal_nan=True)
    (said,) = (note for note in record.about["notes"] if "all repeats meet the same fake users" in note)
    assert said.startswith("all repeats meet the same fake users, crafted with seed 7 (attack.craft_seed): spread and")
    assert said.endswith("are over splits and fits, not over attacks")


def test_an_attack_crafted_once_is_crafted_once_without_a_store_too() -> None:
    attack = RandomAttack(targets=Targets("random", count=2), n_fake_users=3, fillers=5, craft_seed=7)
    progress = Stages()
    run(Parts(Planted("planted", 40), Popularity(), attack, evaluation=FEW), [0, 7, 1], progress=progress)
    assert [name for name in progress.begun if name.startswith("craft")] == ["craft RandomAttack on planted, seed 7"]
    assert sorted(name for name in progress.begun if name.startswith("split")) == [
        "split planted, seed 0",
        "split planted, seed 1",
        "split planted, seed 7",
    ]


def test_where_held_out_rows_are_drawn_an_attack_crafted_once_saw_some_of_them() -> None:
    attack = RandomAttack(targets=LAST_OF_SMALL, n_fake_users=3, fillers=5, craft_seed=0)
    said = " ".join(Parts(SMALL, Popularity(), attack, evaluation=FEW).remarks)
    assert "draws held-out rows for each seed, so that the attacker saw rows that other repeats hold out" in said


def test_fake_users_do_not_join_data_that_are_made_anew_for_each_seed() -> None:
    attack = RandomAttack(targets=LAST_OF_SMALL, n_fake_users=3, fillers=5, craft_seed=0)
    with pytest.raises(ConfigError, match=r"craft_seed is 0, but the data of seeds 0 and 2 have other rows \(made or"):
        run(Parts(SMALL, Popularity(), attack, evaluation=FEW), [2])


def test_a_setting_the_fake_users_cannot_have_costs_no_fit() -> None:
    attack = RandomAttack(targets=LAST_OF_SMALL, n_fake_users=1, fillers=500)
    stages = Stages()
    with pytest.raises(ConfigError, match=r"attack\.fillers is 500"):
        run(Parts(SMALL, BPRMF(8), attack, evaluation=FEW), progress=stages)
    assert not [name for name in stages.begun if name.startswith("fit")]


@pytest.mark.parametrize(
    ("defense", "words"),
    [
        (FilterThenFit(PCASelectUsers(), 0.001), r"defense\.suspected=0\.001 of 60 users is less than one user"),
        (FilterThenFit(PCASelectUsers(), n_suspected=60), r"defense\.n_suspected is 60, but there are 60 users"),
        (APTRand(fillers=41), r"defense\.fillers is 41, but the catalogue has 40 items"),
        (APTRand(erm_users=0.01), r"defense\.erm_users=0\.01 of 60 users is less than one ERM user"),
    ],
)
def test_a_setting_that_a_defense_cannot_have_on_these_data_costs_no_fit(defense: Defense, words: str) -> None:
    stages = Stages()
    with pytest.raises(ConfigError, match=words):
        run(Parts(Rated("rated", 60, 40, 8, 3.0), MF(8), defense=defense, evaluation=FEW), progress=stages)
    assert stages.begun == ["split rated, seed 0"]


def test_the_kept_epoch_is_the_best_on_the_rows_asked_for() -> None:
    """A learning rate that spoils the model late: the best epoch on the test rows is at least as good as the last."""
    model = BPRMF(8, trainer=Trainer(40, 16, learning_rate=1.0))
    by = {on: replace(FEW, select_on=on, select_every=1, select_metric="HR@5") for on in ("last", "valid", "test")}
    records = {on: run(Parts(SMALL, model, evaluation=evaluation)) for on, evaluation in by.items()}
    scores = {on: value(record, "none", "none", "test", "HR", 5) for on, record in records.items()}
    assert scores["test"] >= max(scores["last"], scores["valid"])
    assert scores["test"] > scores["last"]


def test_choosing_on_validation_rows_needs_some() -> None:
    no_rows = replace(SMALL, split=Splitter("leave_one_out_random"))
    parts = Parts(no_rows, BPRMF(8), evaluation=replace(FEW, select_on="valid"))
    with pytest.raises(IncompatibleParts, match=r"set dataset\.split\.validation"):
        run(parts)


def test_a_cutoff_beyond_the_catalogue_costs_no_fit() -> None:
    stages = Stages()
    with pytest.raises(ConfigError, match=r"evaluation\.cutoffs has 41"):
        run(Parts(SMALL, BPRMF(8), evaluation=FullRanking(cutoffs=(41,))), progress=stages)
    assert stages.begun == ["split small, seed 0"]


def test_metrics_of_targets_need_targets() -> None:
    parts = Parts(SMALL, BPRMF(8), evaluation=FullRanking(cutoffs=(5,), metrics=("MeanRank",)))
    with pytest.raises(ConfigError, match="all about targets, but the attack has none"):
        run(parts)


def test_an_empty_validation_share_is_refused() -> None:
    few = Synthetic("few", 30, 12, 8, 3.5, Splitter("leave_one_out_random", validation=0.01))
    parts = Parts(few, BPRMF(8), evaluation=FullRanking(cutoffs=(1,), select_on="valid"))
    with pytest.raises(IncompatibleParts, match=r"raise dataset\.split\.validation"):
        run(parts)


@dataclass(frozen=True)
class Bought(Dataset):
    """Users with four, two and one items; one row comes twice. Of one item nothing can be held out."""

    def read(self, data_dir, seeds, progress) -> Interactions:
        users, items = [0, 0, 0, 0, 0, 1, 1, 2], [0, 1, 2, 3, 3, 0, 1, 0]
        return Interactions(np.array(users), np.array(items), np.ones(8), 3, 4)

    def _load(self, data_dir, seeds, progress) -> Split:
        data, _ = Filters().apply(self.read(data_dir, seeds, progress), seeds, progress)
        return Splitter("ratio", test=0.4).split(data, seeds, progress)

    def fingerprint(self, data_dir) -> str:
        return ""


def test_notes_about_the_data_are_part_of_the_record_computed_or_reused(tmp_path: Path) -> None:
    parts = Parts(Bought("bought"), Popularity(), evaluation=FullRanking(cutoffs=(1,)))
    store = Store(tmp_path)
    for reused in (False, True):
        record = run(parts, [0, 1], store=store)
        assert {cost.reused for cost in record.costs if cost.stage == "split"} == {reused}
        assert [note for note in record.about["notes"] if "ties decide" not in note] == [
            "8 rows are 7 distinct pairs of user and item: duplicates merged",
            "1 of 3 users have no test row: learned from, but not judged",
        ]
        assert record.protocol["test rows"] == "a random 40% of each user's rows"
        assert record.protocol["users judged"] == "2 of 3"
        assert "\nNote: 1 of 3 users have no test row: learned from, but not judged.\n" in markdown(record)


def test_where_everybody_is_judged_the_protocol_does_not_count() -> None:
    record = run(Parts(Planted("planted", 40), Popularity(), evaluation=FullRanking(cutoffs=(1,))))
    assert "users judged" not in record.protocol
    assert record.protocol["test rows"] == "item u of user u"
    assert all("ties decide" in note for note in record.about["notes"])  # popularity knows one kind of item here


@dataclass(frozen=True, kw_only=True)
class Clicks(ProfileAttack):
    """Every fake user has the target alone, so that the first of many are those of a small attack."""

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        n_fakes, targets = crafting.n_fakes, crafting.targets
        return FakeProfiles(np.arange(n_fakes), np.repeat(targets, n_fakes), np.ones(n_fakes), n_fakes, targets)


def test_a_security_curve_has_the_numbers_of_smaller_attacks(tmp_path):
    """What the curve says at 4 is what an attack with 4 fake users does; at 0 it is the clean number."""
    evaluation = FullRanking(metrics=("HR",), cutoffs=(5,), curve_fakes=(9, 4))
    store = Store(tmp_path)

    def found(n_fakes: int, evaluation: FullRanking) -> RunRecord:
        attack = Clicks(targets=LAST_OF_SMALL, n_fake_users=n_fakes)
        parts = Parts(SMALL, Popularity(), attack, FilterThenFit(suspected=0.1), evaluation=evaluation)
        return run(parts, [0, 1], store=store)

    whole = found(20, evaluation)
    curve = whole.curves().query("along == 'fake_users' and subject == 'target'")
    assert curve.groupby("seed")["at"].agg(list).to_dict() == {0: [0, 4, 9, 20], 1: [0, 4, 9, 20]}
    assert set(curve.defense) == {"none"}
    assert len(set(curve.value)) > 2
    plain = replace(evaluation, curve_fakes=())
    for n_fakes in (4, 9, 20):
        numbers = found(n_fakes, plain).metrics().query("subject == 'target' and defense == 'none'")
        attacked = numbers[numbers.attack != "none"].value
        assert curve[curve["at"] == n_fakes].value.tolist() == attacked.tolist()
        clean = numbers[numbers.attack == "none"].value
        assert curve[curve["at"] == 0].value.tolist() == clean.tolist()
    assert found(20, plain).metrics().equals(whole.metrics())


def test_a_curve_beyond_the_attack_is_refused_before_any_fit():
    seen = Stages()
    parts = Parts(SMALL, Popularity(), Clicks(n_fake_users=3), evaluation=FullRanking(cutoffs=(5,), curve_fakes=(1, 8)))
    with pytest.raises(ConfigError, match="curve_fakes has 8, but the attack makes 3 fake users"):
        run(parts, [0], progress=seen)
    assert not any("fit" in name for name in seen.begun)
