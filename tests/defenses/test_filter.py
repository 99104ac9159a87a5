from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.data.synthetic import Synthetic
from recpoison.defenses.detectors.base import Detector
from recpoison.defenses.filter import FilterThenFit
from recpoison.errors import ConfigError
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import run
from recpoison.models.base import Model
from recpoison.models.popularity import Popularity
from recpoison.parts import Parts
from recpoison.progress import Progress

CPU = torch.device("cpu")


@dataclass(frozen=True)
class ShortProfiles(Detector):
    """The fewer items, the more suspicious."""

    def scores(self, data: Interactions) -> np.ndarray:
        return -data.user_counts.astype(float)


@dataclass(frozen=True)
class LongProfiles(Detector):
    """The more items, the more suspicious."""

    def scores(self, data: Interactions) -> np.ndarray:
        return data.user_counts.astype(float)


@dataclass(frozen=True)
class CoCounts(Model):
    """Scores an item by how many of a user's items were had together with it."""

    def fit(self, data, seeds, device, progress, monitor=None):
        seen = data.seen.toarray()
        return {"common": torch.from_numpy(seen.T @ seen)}

    def scores(self, params, data, users):
        return torch.from_numpy(data.seen[users.numpy()].toarray()) @ params["common"]


def fit(defense: FilterThenFit, data: Interactions, seeds):
    return defense.fit(CoCounts(), data, seeds, CPU, Progress())


def test_nothing_is_learned_from_a_suspect_who_is_still_served(tiny_explicit, seeds):
    """User 3 has item 1 alone. Users 0 to 2 teach: item 1 goes once with itself, once with 0 and once with 2."""
    fitted = fit(FilterThenFit(ShortProfiles(), 0.25), tiny_explicit, seeds)
    assert fitted.params["common"].tolist() == [[3, 1, 3, 0, 0], [1, 1, 1, 0, 0], [3, 1, 3, 0, 0], [0] * 5, [0] * 5]
    assert fitted.scores(torch.tensor([3])).tolist() == [[1, 1, 1, 0, 0]]
    assert fitted.removed.tolist() == [3]


def test_the_share_counts_all_users_and_is_rounded_down(tiny_explicit):
    poisoned = tiny_explicit.with_fake_users(np.array([0, 1]), np.array([3, 3]), np.array([5.0, 5]), 2)
    assert FilterThenFit(ShortProfiles(), 0.5).suspects(poisoned).tolist() == [3, 4, 5]
    assert FilterThenFit(ShortProfiles(), 0.49).suspects(poisoned).tolist() == [3, 4]


def test_a_share_of_nothing_is_the_plain_fit(tiny_explicit, seeds):
    plain = CoCounts().fit(tiny_explicit, seeds, CPU, Progress())
    assert torch.equal(fit(FilterThenFit(ShortProfiles(), 0.0), tiny_explicit, seeds).params["common"], plain["common"])


def test_a_share_of_less_than_one_user_is_refused(tiny_explicit, seeds):
    with pytest.raises(
        ConfigError, match=r"defense\.suspected=0\.01 of 4 users is less than one user: raise it to 0\.25"
    ):
        fit(FilterThenFit(ShortProfiles(), 0.01), tiny_explicit, seeds)


def test_a_number_wins_over_the_share(tiny_explicit):
    """User 3 has one item; the suspicion of all goes with the fit."""
    assert FilterThenFit(ShortProfiles(), 0.9, n_suspected=1).suspects(tiny_explicit).tolist() == [3]
    assert FilterThenFit(ShortProfiles(), 0.9, n_suspected=0).suspects(tiny_explicit).tolist() == []
    with pytest.raises(ConfigError, match=r"defense\.n_suspected is 4, but there are 4 users: leave some to fit on"):
        FilterThenFit(ShortProfiles(), n_suspected=4).suspects(tiny_explicit)
    with pytest.raises(ConfigError, match=r"defense\.n_suspected is -1: give 0 or more, or null"):
        FilterThenFit(ShortProfiles(), n_suspected=-1)


def test_the_suspicion_goes_with_the_fit(tiny_explicit, seeds):
    fitted = fit(FilterThenFit(ShortProfiles(), 0.25), tiny_explicit, seeds)
    assert fitted.suspicion.tolist() == (-tiny_explicit.user_counts).tolist()
    assert fit(FilterThenFit(ShortProfiles(), 0.0), tiny_explicit, seeds).suspicion is None


def test_an_oracle_drops_as_many_as_were_added_and_is_told_so(tiny_explicit, seeds):
    oracle = FilterThenFit(ShortProfiles(), 0.5, n_suspected=3, oracle=True)
    device = torch.device("cpu")
    told = oracle.fit(Popularity(), tiny_explicit, seeds, device, Progress(), before=tiny_explicit)
    assert told.removed.tolist() == [], "nothing is attacked"
    attacked = tiny_explicit.with_fake_users(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([1.0, 1.0, 1.0]), 2)
    told = oracle.fit(Popularity(), attacked, seeds, device, Progress(), before=tiny_explicit)
    assert told.removed.tolist() == oracle.suspects(attacked, 2).tolist()
    assert len(told.removed) == 2
    with pytest.raises(ConfigError, match=r"nobody has said what was before the attack"):
        fit(oracle, attacked, seeds)
    plain = replace(oracle, oracle=False)
    told = plain.fit(Popularity(), attacked, seeds, device, Progress(), before=tiny_explicit)
    assert told.removed.tolist() == plain.suspects(attacked).tolist()
    assert len(told.removed) == 3


def test_in_a_run_an_oracle_removes_as_many_as_were_added_and_nobody_without_an_attack():
    """5 fake users with 30 of 30 items beside 40 real ones."""
    attack = RandomAttack(targets=Targets("random", count=1), budget=0.125, fillers=29)
    defense = FilterThenFit(LongProfiles(), oracle=True)
    parts = Parts(Synthetic("s", 40, 30, 3, 1.0), Popularity(), attack, defense, evaluation=FullRanking(cutoffs=[5]))
    record = run(parts, seeds=[0])
    rows = record.metrics().query("subject == 'removed'").set_index(["attack", "metric"])
    assert rows.loc[("RandomAttack", "Precision"), "n"] == 5
    assert (rows.loc["RandomAttack", "value"].drop("RealUsersLost") == 1).all()
    assert set(rows.loc["RandomAttack"].index) == {"Precision", "Recall", "RealUsersLost", "AUROC"}
    assert rows.loc[("none", "RealUsersLost"), "value"] == 0
    assert any("no defender knows that number" in note for note in record.about["notes"])


def test_where_no_user_is_fake_an_oracle_drops_nobody_and_says_so():
    dataset, defense = Synthetic("s", 40, 30, 3, 1.0), FilterThenFit(ShortProfiles(), oracle=True)
    record = run(Parts(dataset, Popularity(), defense=defense, evaluation=FullRanking(cutoffs=[5])), seeds=[0])
    assert record.metrics().query("metric == 'RealUsersLost'").value.tolist() == [0]
    assert "defense.oracle=true drops nobody, because the attack adds no users" in record.about["notes"]


@pytest.mark.parametrize("suspected", [-0.1, 1.0])
def test_a_share_out_of_range_is_refused(suspected):
    with pytest.raises(ConfigError, match=r"defense\.suspected is .*give 0 or more and less than 1"):
        FilterThenFit(ShortProfiles(), suspected)
