"""What parts say of one another: the protocol, notes, and what cannot matter."""

from dataclasses import replace

import pytest

from recpoison.attacks.embeddings.fgsm import FGSM
from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.profiles.bandwagon import BandwagonAttack
from recpoison.attacks.profiles.rand_filter import RandFilterAttack
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.profiles.segment import SegmentAttack
from recpoison.attacks.targets import Targets
from recpoison.data.filtering import Filters
from recpoison.data.named import build_dataset
from recpoison.data.splitting import Splitter
from recpoison.data.synthetic import Planted
from recpoison.data.table import OwnTable
from recpoison.defenses.apr import APR
from recpoison.defenses.filter import FilterThenFit
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import run
from recpoison.models.bprmf import BPRMF
from recpoison.models.mf import MF
from recpoison.models.popularity import Popularity
from recpoison.models.wrmf_als import WRMFALS
from recpoison.parts import Parts
from recpoison.records import markdown
from recpoison.training.trainer import Trainer

TARGETS = Targets(rule="list", items=(40,))
PLANTED, FULL = Planted("planted", 40), FullRanking(cutoffs=(5,))
SPLIT = Splitter("leave_one_out_random")
RATED = OwnTable("rated", "rated.csv", rating="rating", low=1, high=5, split=SPLIT)


@pytest.fixture
def rated(tmp_path):
    """30 users, each 8 of 20 items, rated 1 to 5."""
    rows = [f"{u},{(u * 3 + n * n) % 20},{1 + (u + n) % 5}" for u in range(30) for n in range(8)]
    (tmp_path / "rated.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    return replace(RATED, path=str(tmp_path / "rated.csv"))


def numbers(dataset, model, attack, defense=None) -> list[tuple]:
    given = {} if defense is None else {"defense": defense}
    record = run(Parts(dataset, model, attack, **given, evaluation=FULL), [0])
    return [(m.subject, m.metric, m.k, m.value) for result in record.results for m in result.measures]


@pytest.mark.parametrize("model", [WRMFALS(4), Popularity()])
def test_attacks_that_the_note_says_coincide_have_the_same_numbers(rated, model):
    aimed = {"targets": Targets("list", items=(7,)), "budget": 0.1, "fillers": 5}
    attacks = [kind(**aimed) for kind in (RandomAttack, AverageAttack, RandFilterAttack)]
    found = [numbers(rated, model, attack) for attack in attacks]
    assert found[0] == found[1] == found[2]
    pair = [BandwagonAttack(**aimed), SegmentAttack(**aimed, select="popular")]
    assert numbers(rated, model, pair[0]) == numbers(rated, model, pair[1]) != found[0]
    name = type(model).__name__
    told = f"{name} does not look at ratings, so attacks that choose the same items have the same numbers: "
    for attack in attacks:
        (note,) = Parts(rated, model, attack, evaluation=FULL).remarks
        assert note == f"{told}random, average and rand_filter; model=mf tells them apart"
    (note,) = Parts(rated, model, pair[0], evaluation=FULL).remarks
    assert note.startswith(f"{told}bandwagon, and segment where it selects the most popular items")


def test_where_ratings_are_looked_at_nobody_says_that_attacks_coincide(rated):
    aimed = {"targets": Targets("list", items=(7,)), "n_fake_users": 6, "fillers": 5}
    attacks = [RandomAttack(**aimed), AverageAttack(**aimed), RandFilterAttack(**aimed)]
    for model, defense in (
        (MF(4, trainer=Trainer(5, 64, learning_rate=1.0)), None),
        (WRMFALS(4), FilterThenFit(suspected=0.2)),
    ):
        found = [numbers(rated, model, attack, defense) for attack in attacks]
        assert found[0] != found[2] != found[1]
        given = {} if defense is None else {"defense": defense}
        assert Parts(rated, model, attacks[0], **given, evaluation=FULL).remarks == []


def test_notes_stand_in_the_record_and_under_the_table():
    parts = Parts(PLANTED, MF(4), RandomAttack(targets=TARGETS, budget=0.1), evaluation=FULL)
    record = run(parts, [0])
    first, second = record.about["notes"]
    assert first.startswith("MF fits observed values, which are all 1 without ratings")
    assert second.startswith("these data have no ratings, so attacks that choose the same items")
    assert f"Note: {first}." in markdown(record)


def test_a_filter_that_knows_the_budget_is_called_an_oracle():
    attack = RandomAttack(targets=TARGETS, budget=0.05)
    parts = Parts(RATED, MF(4), attack, FilterThenFit(suspected=0.05), evaluation=FULL)
    assert parts.remarks == [
        "defense.suspected is the attack's budget (0.05): an oracle, for no defender knows how many users are fake"
    ]
    assert Parts(RATED, MF(4), attack, FilterThenFit(suspected=0.1), evaluation=FULL).remarks == []
    assert FilterThenFit().suspected != RandomAttack(targets=TARGETS).budget


def test_a_model_without_epochs_has_no_chosen_one():
    chosen = replace(FULL, select_on="test")
    assert Parts(PLANTED, Popularity(), evaluation=chosen).protocol["epoch"] == "none: Popularity has none"
    said = Parts(PLANTED, BPRMF(), evaluation=chosen).protocol["epoch"]
    assert said == "best NDCG@10 on the test items, looked at every 10"


def test_what_cannot_matter_is_as_the_class_has_it():
    evaluation = replace(FULL, select_every=3, curve_steps=4, owners="excluded")
    parts = Parts(PLANTED, BPRMF(trainer=Trainer(optimizer="adam", initial_accumulator=3.0)), evaluation=evaluation)
    assert parts.model == BPRMF(trainer=Trainer(optimizer="adam"))
    assert parts.evaluation == FULL
    assert {"model.trainer.initial_accumulator", "evaluation.select_every", "evaluation.owners"} <= parts.idle.keys()
    off = Parts(PLANTED, BPRMF(), FGSM(), APR(weight=0, start="uniform", start_width=0.3, steps=7), evaluation=FULL)
    assert off.defense == APR(weight=0)


def test_ratings_are_there_where_a_scale_is_and_no_filter_forgets_them():
    ratings = build_dataset("ml_100k")
    assert ratings.has_ratings
    assert not build_dataset("gowalla").has_ratings
    assert not replace(ratings, filters=Filters(binarise_at=4)).has_ratings
    assert not replace(ratings, filters=Filters(implicit=True)).has_ratings
    assert RATED.has_ratings
    assert not replace(RATED, low=None, high=None).has_ratings
    assert not PLANTED.has_ratings
