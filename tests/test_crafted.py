"""Whether fake users hold what they should promote, counted by hand, and who is told."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from recpoison.attacks.base import Crafting, ProfileAttack
from recpoison.attacks.profiles.bilevel_wrmf import BilevelWRMFAttack
from recpoison.attacks.profiles.outer import OuterOptimizer
from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.changes import FakeProfiles
from recpoison.crafted import Holders, holders, lacking_targets
from recpoison.data.synthetic import Planted
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import run
from recpoison.models.popularity import Popularity
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.stages.store import Store

PAIR = Targets("list", items=(39, 40))
LEARNED = BilevelWRMFAttack(n_fake_users=2, outer=OuterOptimizer(iterations=0))
REMEDY = "; attack.click_targets=true gives them to every fake user"


@dataclass(frozen=True, kw_only=True)
class Holding(ProfileAttack):
    """Four fake users who have item 0; the first ``some`` of them have the first target too."""

    some: int = 0

    def _craft(self, crafting: Crafting) -> FakeProfiles:
        profile = np.append(np.arange(4), np.arange(self.some))
        items = np.append(np.zeros(4, dtype=int), np.full(self.some, crafting.targets[0]))
        return FakeProfiles(profile, items, np.ones(len(items)), 4, crafting.targets)


class Noted(Progress):
    def __init__(self):
        self.heard = []

    def note(self, text):
        self.heard.append(text)


def recorded(attack, seeds=(0,), **options):
    parts = Parts(Planted("planted", 40), Popularity(), attack, evaluation=FullRanking(cutoffs=(5,)))
    notes = run(parts, seeds, **options).about["notes"]
    return [note for note in notes if "promoted item" in note]


def test_who_holds_what_is_counted():
    """Of three fake users the first has a target twice over, the last another; target 8 is nobody's."""
    rows = np.array([[0, 7], [0, 9], [1, 3], [2, 9]]).T
    change = FakeProfiles(*rows, np.ones(4), 3, np.array([7, 8, 9]))
    assert holders(change, change.targets) == Holders(n_fakes=3, holding=2, n_targets=3, unheld=1)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([Holders(657, 0, 1, 1)], "no fake user (of 657) has a promoted item"),
        ([Holders(657, 12, 1, 0)], "12 of 657 fake users have a promoted item"),
        ([Holders(5, 5, 10, 3)], "3 of 10 promoted items are in no fake profile"),
        (
            [Holders(1000, 1000, 2, 0), Holders(1000, 7, 2, 1)],
            "1,007 of 2,000 fake users over 2 seeds have a promoted item and 1 of 4 promoted items over 2 seeds "
            "are in no fake profile",
        ),
    ],
)
def test_what_fake_users_lack_is_told_in_one_sentence(found, told):
    assert lacking_targets("mine", RandomAttack(), found) == [f"mine: {told}"]
    assert lacking_targets("mine", LEARNED, found) == [f"mine: {told}{REMEDY}"]
    assert lacking_targets("mine", replace(LEARNED, objective="nuke"), found) == []
    assert lacking_targets("mine", replace(LEARNED, objective="untargeted"), found) == []


def test_nothing_is_told_where_all_is_held():
    assert lacking_targets("mine", LEARNED, [Holders(5, 5, 2, 0)]) == []
    assert lacking_targets("mine", LEARNED, []) == []


def test_a_run_tells_of_any_attack_before_its_fits_and_in_its_record(tmp_path):
    attack = Holding(targets=PAIR, n_fake_users=4, some=1)
    half = "1 of 2 promoted items are in no fake profile"
    told = f"Holding: 1 of 4 fake users have a promoted item and {half}"
    store, noted = Store(tmp_path), Noted()
    assert recorded(attack, store=store, progress=noted) == [told]
    assert [text for text in noted.heard if "promoted" in text] == [told]
    assert recorded(attack, store=store) == [told]  # the change was found, not crafted
    assert recorded(replace(attack, some=4)) == [f"Holding: {half}"]
    assert recorded(replace(attack, some=0), seeds=(0, 1)) == [
        "Holding: no fake user (of 8 over 2 seeds) has a promoted item"
    ]
    assert recorded(RandomAttack(targets=PAIR, n_fake_users=4)) == []


def test_a_learned_attack_that_ignores_its_target_is_told_the_way_out():
    """Copies of two planted users, who lack the last item, and no step away from them."""
    attack = replace(LEARNED, targets=Targets("list", items=(40,)))
    assert recorded(attack) == [f"BilevelWRMFAttack: no fake user (of 2) has a promoted item{REMEDY}"]
    assert recorded(replace(attack, click_targets=True)) == []
    assert recorded(replace(attack, objective="nuke")) == []
