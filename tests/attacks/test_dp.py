"""DP: its losses by hand, what is left of it without a weight, how fillers spread, what is kept."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from learned_fillers import CPU, N_ITEMS, N_REAL, some_data

from recpoison.algebra.observed import Observed
from recpoison.attacks.profiles import group_surrogate
from recpoison.attacks.profiles.dp import DPAttack, Shares, fake_loss
from recpoison.attacks.profiles.group_surrogate import GroupSurrogate
from recpoison.attacks.targets import Targets
from recpoison.errors import ConfigError
from recpoison.models.bprmf import BPRMF
from recpoison.models.cf import CF
from recpoison.models.lightgcn import LightGCN
from recpoison.models.neumf import NeuMF
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import Loop, Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Diverged, Trainer

SMALL = BPRMF(embedding_size=3, initial_std=0.3, trainer=Trainer(epochs=4, batch_size=16))
PAIRS = CF(embedding_size=3, trainer=Trainer(epochs=4, batch_size=16))
GRAPH = LightGCN(embedding_size=3, layers=1, trainer=Trainer(epochs=4, batch_size=16, optimizer="adam"))


def attack(**settings) -> DPAttack:
    defaults = {"targets": Targets("list", (3, 5)), "n_fake_users": 3, "fakes_per_step": 2, "fillers": 4, "rounds": 2}
    return DPAttack(**(defaults | {"surrogate": SMALL, "cutoff": 3} | settings))


def craft(how, data, targets=(3, 5), progress=None):
    return how.poison(data, np.array(targets), Seeds(0), CPU, progress or Progress())


def rows(change):
    return change.items.reshape(change.n_fakes, -1)


class Scored:
    """A model whose parameters are its scores."""

    def scores(self, params, data, users):
        return params["all"][users]


class Given:
    """A surrogate of three users and five items: item 0 is the target, user 0 has item 1, user 1 the target."""

    model, data, targets = Scored(), None, torch.tensor([0])
    seen = Observed(torch.tensor([0, 1, 2, 2]), torch.tensor([1, 0]), 5)
    bar = GroupSurrogate.bar


SCORES = torch.tensor([[0.5, 9.0, 2.0, 1.0, -1.0], [0.0, 1.0, 2.0, 3.0, 4.0], [3.0, 1.0, 0.5, 0.0, -2.0]])


def log(x: float) -> float:
    return -math.log1p(math.exp(-x))


@pytest.mark.parametrize(
    ("cutoff", "confidence", "expected"),
    [
        # user 0's list without item 1: 2.0, 1.0, 0.5 (the target); user 1 has the target; user 2's: 3.0 (the target)
        (1, 0.0, log(2.0) - log(0.5)),
        (2, 0.0, log(1.0) - log(0.5)),
        (2, 1.0, log(1.0) - log(0.5) + log(1.0) - log(3.0)),  # user 2 is pushed on, up to the margin
        (2, 0.1, log(1.0) - log(0.5) - 0.1),
        (9, 9.0, log(-1.0) - log(0.5) + log(-2.0) - log(3.0)),  # a list is as long as there are unseen items
    ],
)
def test_the_hit_term_by_hand(cutoff, confidence, expected):
    how = attack(cutoff=cutoff, confidence=confidence)
    found = how._hit_loss(Given(), {"all": SCORES}, torch.arange(3))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_of_several_targets_the_mean_counts_over_those_that_a_user_lacks():
    given = Given()
    given.targets = torch.tensor([0, 3])
    found = attack(cutoff=1, confidence=9.0)._hit_loss(given, {"all": SCORES}, torch.tensor([0, 1]))
    each = [log(2.0) - log(0.5), log(2.0) - log(1.0), log(4.0) - log(3.0)]  # user 1 has target 0
    assert float(found) == pytest.approx(sum(each) / 2, rel=1e-5)


def test_owners_and_rated_items_have_no_part_in_the_gradient():
    scores = SCORES.clone().requires_grad_()
    attack(cutoff=2, confidence=0.0)._hit_loss(Given(), {"all": scores}, torch.arange(3)).backward()
    assert scores.grad.nonzero().tolist() == [[0, 0], [0, 3]]
    assert scores.grad[0, 0] == pytest.approx(-1 / (1 + math.exp(0.5)))


def test_the_fake_term_by_hand():
    found = fake_loss(Given(), {"all": SCORES}, torch.tensor([0, 2]))
    expected = sum((1 / (1 + math.exp(-x))) ** 2 for x in (9.0, 2.0, 1.0, -1.0, 1.0, 0.5, 0.0, -2.0))
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model", [SMALL, PAIRS, GRAPH], ids=["bprmf", "cf", "lightgcn"])
@pytest.mark.parametrize("rounds", [0, 2])
@pytest.mark.parametrize("kind", ["explicit", "implicit"])
def test_without_a_weight_the_fillers_are_the_surrogates_best(model, rounds, kind):
    """It was trained with fake users who have the targets alone, for all epochs and one more a round."""
    data = some_data(kind)
    how = attack(alpha=0.0, shrink=1.0, rounds=rounds, keep="last", surrogate=model, fakes_per_step=3)
    longer = replace(model, trainer=replace(model.trainer, epochs=4 + rounds))
    highest = data.scale.high if data.scale else 1.0
    poisoned = data.with_fake_users(np.repeat(range(3), 2), np.tile([3, 5], 3), np.full(6, highest), 3)
    fitted = longer.fitted(poisoned, Seeds(0).child("attack", "surrogate", 0), CPU, Progress())
    scores = fitted.scores(torch.arange(N_REAL, N_REAL + 3)).numpy()
    scores[:, [3, 5]] = -np.inf
    found = rows(craft(how, data))
    assert found[:, :2].tolist() == [[3, 5]] * 3
    assert found[:, 2:].tolist() == np.argsort(-scores, axis=1)[:, :4].tolist()


def test_later_fake_users_turn_from_what_earlier_ones_took():
    """Over groups too, and in the surrogate's sigmoids times p, until everything has been taken."""
    data, n_fakes = some_data("implicit"), 5
    how = attack(alpha=0.0, shrink=0.5, rounds=0, n_fake_users=n_fakes, fakes_per_step=2)
    found, p, resets = rows(craft(how, data)), np.ones(N_ITEMS), 0
    for start in (0, 2, 4):
        size = min(2, n_fakes - start)
        items = np.concatenate([found[:start].ravel(), np.tile([3, 5], size)])
        profile = np.concatenate([np.repeat(range(start), 6), np.repeat(range(start, start + size), 2)])
        poisoned = data.with_fake_users(profile, items, np.ones(len(items)), start + size)
        fitted = SMALL.fitted(poisoned, Seeds(0).child("attack", "surrogate", start), CPU, Progress())
        for fake in range(start, start + size):
            likes = torch.sigmoid(fitted.scores(torch.tensor([N_REAL + fake]))[0].double()).numpy() * p
            likes[[3, 5]] = -1
            best = np.argsort(-likes)[:4]
            assert found[fake, 2:].tolist() == best.tolist()
            p[best] *= 0.5
            if (np.delete(p, [3, 5]) < 1).all():
                p[:], resets = 1, resets + 1
    assert resets


def test_only_what_is_taken_shrinks_and_all_come_back_together():
    shares = Shares(0.9, np.array([True, True, False, True]))
    shares.take(np.array([0, 3]))
    assert np.exp(shares.logs).tolist() == pytest.approx([0.9, 1, 1, 0.9])
    shares.take(np.array([3, 0]))
    assert np.exp(shares.logs).tolist() == pytest.approx([0.81, 1, 1, 0.81])
    shares.take(np.array([1, 0]))  # item 2 is a target, which nobody takes
    assert np.exp(shares.logs).tolist() == [1, 1, 1, 1]


def test_where_sigmoids_are_all_one_the_order_is_still_that_of_the_scores():
    scores = np.array([[60.0, 70.0, 50.0, -np.inf]], dtype=np.float32)
    assert attack()._picked(scores, np.zeros((0, 3), dtype=int), 3).tolist() == [[1, 0, 2]]


@pytest.mark.parametrize("model", [SMALL, PAIRS, NeuMF(3, trainer=Trainer(epochs=4, batch_size=16)), GRAPH])
def test_the_attack_lifts_the_target_on_the_surrogate_and_moves_the_fillers(model):
    data = some_data("implicit")
    kept = {"surrogate": model, "keep": "last", "rounds": 6, "users_per_batch": 4, "fakes_per_step": 3}
    crafting = type("C", (), {"data": data, "targets": np.array([3]), "seeds": Seeds(1), "device": CPU})

    def reached(how):
        surrogate = GroupSurrogate(model, crafting, np.zeros((0, 4), dtype=int), 3)
        how._attacked(surrogate)
        return how._hit_loss(surrogate, surrogate.params, torch.arange(N_REAL)).item()

    strong, still = (attack(alpha=weight, confidence=5.0, **kept) for weight in (0.1, 0.0))
    assert reached(strong) < reached(still) - 1
    assert rows(craft(strong, data)).tolist() != rows(craft(still, data)).tolist()


class Rated:
    """A surrogate whose hit ratio after each round is given, and whose scores tell the round."""

    def __init__(self, ratios):
        self.ratios, self.round, self.fakes = ratios, 0, None

    def hit_ratio(self, cutoff):
        return self.ratios[self.round]

    def train(self):
        self.round += 1

    def scores(self, users):
        return self.round


@pytest.mark.parametrize(
    ("ratios", "best"), [([0.1, 0.3, 0.2], 1), ([0.4, 0.3, 0.2], 0), ([0.1, 0.1, 0.1], 0), ([0.1, 0.2, 0.2], 1)]
)
def test_the_round_of_the_highest_hit_ratio_is_kept_the_first_of_equals(ratios, best):
    assert attack(alpha=0.0)._attacked(Rated(ratios)) == best
    assert attack(alpha=0.0, keep="last")._attacked(Rated(ratios)) == 2


@pytest.mark.parametrize("cells", [2**20, 7 * N_ITEMS])  # all users together, or seven
def test_the_hit_ratio_is_counted_among_unseen_items(cells, monkeypatch):
    monkeypatch.setattr(group_surrogate, "_CACHED", cells)
    data = some_data("implicit")
    crafting = type("C", (), {"data": data, "targets": np.array([3]), "seeds": Seeds(1), "device": CPU})
    surrogate = GroupSurrogate(SMALL, crafting, np.zeros((0, 4), dtype=int), 2)
    scores = surrogate.scores(torch.arange(N_REAL)).numpy()
    seen, hits = data.seen.toarray() > 0, 0
    for user in range(N_REAL):
        unseen = [item for item in range(N_ITEMS) if not seen[user, item]]
        hits += 3 in sorted(unseen, key=lambda item, user=user: -scores[user, item])[:2]
    assert surrogate.hit_ratio(2) == hits / N_REAL > 0
    surrogate.params["item"][-1, 0] = torch.nan  # the last item's score of every user
    with pytest.raises(Diverged):
        surrogate.hit_ratio(2)


def test_a_surrogate_that_is_torn_apart_is_told():
    with pytest.raises(Diverged, match=r"lower the attack's weights, or attack\.surrogate\.trainer\.learning_rate"):
        craft(attack(alpha=1e38), some_data("implicit"))


def test_a_group_does_not_know_of_the_next():
    data = some_data("implicit")
    two, three = craft(attack(n_fake_users=2), data), craft(attack(n_fake_users=3), data)
    assert rows(three)[:2].tolist() == rows(two).tolist()


@pytest.mark.parametrize(("n_fakes", "steps"), [(3, 3), (6, 6), (7, 4), (12, 6), (13, 5)])
def test_there_are_six_steps_at_most(n_fakes, steps):
    class Counting(Progress):
        seen = ()

        def step(self, done, total, **figures):
            self.seen = (*self.seen, (done, total))

    heard = Counting()
    craft(attack(n_fake_users=n_fakes, fakes_per_step=None, rounds=0), some_data("implicit"), progress=heard)
    assert heard.seen == tuple((number, steps) for number in range(1, steps + 1))


class Stopped(Progress):
    """Keeps what a loop has after its first group, and hands it to the next."""

    kept = None

    def loop(self, work, fits=None):
        outer = self

        class Keeping(Loop):
            state = outer.kept

            def keep(self, state):
                if outer.kept is None:
                    outer.kept = state()
                    assert fits(outer.kept)
                    assert not fits({"fillers": outer.kept["fillers"][:1]})

        return Keeping()


def test_a_stopped_attack_goes_on_to_the_same_end():
    data, stopped = some_data("implicit"), Stopped()
    whole = rows(craft(attack(), data)).tolist()
    for _ in range(2):
        assert rows(craft(attack(), data, progress=stopped)).tolist() == whole


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fakes_per_step": 0}, "attack.fakes_per_step is 0: give 1 or more"),
        ({"rounds": -1}, "attack.rounds is -1: give 0 or more"),
        ({"users_per_batch": 0}, "attack.users_per_batch is 0: give 1 or more"),
        ({"cutoff": 0}, "attack.cutoff is 0: give 1 or more"),
        ({"alpha": -1}, "attack.alpha is -1: give a finite number, 0 or more"),
        ({"hit_weight": math.inf}, "attack.hit_weight is inf"),
        ({"confidence": math.nan}, "attack.confidence is nan"),
        ({"shrink": 0}, "attack.shrink is 0: give more than 0 and at most 1"),
        ({"keep": "first"}, "attack.keep is 'first': choose one of best, last"),
        ({"surrogate": WRMFALS()}, "attack.surrogate is WRMFALS, which has no trainer"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        attack(**settings)
