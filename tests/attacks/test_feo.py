"""FEO: the step of the items against autograd, its losses by hand, whose numbers move, how fillers spread."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from learned_fillers import CPU, N_REAL, some_data

from recpoison.algebra.observed import Observed
from recpoison.attacks.profiles.feo import FEOAttack, stepped
from recpoison.attacks.profiles.group_surrogate import GroupSurrogate
from recpoison.attacks.targets import Targets
from recpoison.errors import ConfigError
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

SMALL = BPRMF(embedding_size=3, initial_std=0.3, trainer=Trainer(epochs=4, batch_size=16))


def attack(**settings) -> FEOAttack:
    defaults = {"targets": Targets("list", (3, 5)), "n_fake_users": 3, "fakes_per_step": 2, "fillers": 4, "rounds": 2}
    return FEOAttack(**(defaults | {"surrogate": SMALL, "users_per_batch": 6, "cutoff": 3} | settings))


def craft(how, data, targets=(3, 5)):
    return how.poison(data, np.array(targets), Seeds(0), CPU, Progress())


def rows(change):
    return change.items.reshape(change.n_fakes, -1)


def crafting(data, targets=(3, 5)):
    return type("C", (), {"data": data, "targets": np.array(targets), "seeds": Seeds(1), "device": CPU})


def test_the_items_step_is_that_of_autograd_and_so_is_its_gradient():
    generator = torch.Generator().manual_seed(0)
    own, items, look = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (3, 7, 7))
    targets, length = torch.tensor([2, 5]), 0.3

    def by_autograd(own):
        moving = items.clone().requires_grad_()
        scores = own @ moving.T
        loss = F.softplus(scores.mean(1, keepdim=True) - scores[:, targets]).sum()
        return moving - length * torch.autograd.grad(loss, moving, create_graph=True)[0]

    found, expected = (make(own) for make in (lambda own: stepped(own, items, targets, length), by_autograd))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    here = own.requires_grad_()
    slopes = [
        torch.autograd.grad((make(here) * look).sum(), here)[0]
        for make in (lambda own: stepped(own, items, targets, length), by_autograd)
    ]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-12)


class Given:
    """Four users and five items, item 0 the target: user 0 has item 1, user 1 the target."""

    targets = torch.tensor([0])
    seen = Observed(torch.tensor([0, 1, 2, 2, 2]), torch.tensor([1, 0]), 5)
    bar = GroupSurrogate.bar


SCORES = torch.tensor(
    [[0.5, 9.0, 2.0, 1.0, -1.0], [0.0, 1.0, 2.0, 3.0, 4.0], [3.0, 1.0, 0.5, 0.0, -2.0], [-3.0, 1.0, 2.0, 0.0, 0.0]]
)


@pytest.mark.parametrize(
    ("share", "gaps"),
    # what ends a list of two unseen items, less the target: 1.0 - 0.5, 1.0 - 3.0, 1.0 + 3.0; user 1 has the target
    [(1.0, [0.5, -2.0, 4.0]), (0.7, [-2.0, 0.5]), (0.05, [-2.0])],
)
def test_only_the_pairs_that_are_easiest_to_win_count(share, gaps):
    how, scores = attack(expected_hit_ratio=share, cutoff=2), SCORES.clone().requires_grad_()
    loss = how._attack_loss(Given(), torch.arange(4), scores)
    assert float(loss.detach()) == pytest.approx(np.mean([math.log1p(math.exp(x)) for x in gaps]), rel=1e-6)
    loss.backward()
    easy = [user for user, gap in ((0, 0.5), (2, -2.0), (3, 4.0)) if gap in gaps]
    assert scores.grad.nonzero().tolist() == [[user, 0] for user in easy]  # the bar is a constant


def test_the_divergence_by_hand():
    """Directions, not lengths; every real user is a neighbour."""
    own, real = torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[0.0, 5.0], [-1.0, 0.0], [4.0, 0.0]])
    how = attack(sharpness=0.5, neighbours=3, sampled_neighbours=3)
    near, side, far = 1.0, math.exp(-0.5 * 2), math.exp(-0.5 * 4)
    own_mass = (near + side) / 2
    expected = np.mean(
        [
            math.log(own_mass) - math.log((side + far + near) / 3),
            math.log(own_mass) - math.log((near + side + side) / 3),
        ]
    )
    assert float(how._divergence(own, real, Seeds(0))) == pytest.approx(expected, rel=1e-5)


def test_the_divergence_looks_at_some_of_the_nearest():
    own, real = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [-1.0, -0.1]])
    how = attack(sharpness=0.5, neighbours=2, sampled_neighbours=1)
    found = {round(float(how._divergence(own, real, Seeds(seed))), 5) for seed in range(20)}
    assert found == {0.0, 1.0}  # -ln 1 and -ln exp(-2/2): the opposite two are never looked at


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_only_the_groups_embeddings_move(optimizer):
    data = some_data("implicit")
    model = BPRMF(3, initial_std=0.3, trainer=Trainer(3, 16, optimizer=optimizer))
    surrogate = GroupSurrogate(model, crafting(data), np.array([[0, 1, 2, 4]]), 2)
    before = {name: table.clone() for name, table in surrogate.params.items()}
    attack()._move(surrogate, torch.arange(9), Seeds(0))
    assert torch.equal(surrogate.params["item"], before["item"])
    moved = (surrogate.params["user"] != before["user"]).any(1).nonzero().flatten().tolist()
    assert moved == surrogate.fakes.tolist() == [N_REAL + 1, N_REAL + 2]


def test_a_step_lowers_its_loss():
    data, how = some_data("implicit"), attack(stealth_weight=0.0, expected_hit_ratio=0.5, attack_weight=1000.0)
    model = BPRMF(3, initial_std=0.3, trainer=Trainer(8, 16, optimizer="sgd", learning_rate=0.05))
    surrogate, users = GroupSurrogate(model, crafting(data), np.zeros((0, 4), dtype=int), 2), torch.arange(N_REAL)

    def value():
        params = surrogate.params
        items = stepped(params["user"][surrogate.fakes], params["item"], surrogate.targets, how.look_ahead)
        return float(how._attack_loss(surrogate, users, params["user"][:N_REAL] @ items.T))

    seen = [value()]
    for _ in range(5):
        how._move(surrogate, users, Seeds(0))
        seen.append(value())
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] < seen[0] - 1e-3


def test_without_weights_the_fillers_are_the_surrogates_best():
    """Trained for its epochs and one more a round; the second fake user of a group takes what the first has left."""
    data = some_data("implicit")
    how = attack(attack_weight=0.0, stealth_weight=0.0, n_fake_users=2, fillers=3)
    longer = BPRMF(3, initial_std=0.3, trainer=Trainer(epochs=6, batch_size=16))
    poisoned = data.with_fake_users(np.repeat(range(2), 2), np.tile([3, 5], 2), np.ones(4), 2)
    fitted = longer.fitted(poisoned, Seeds(0).child("attack", "surrogate", 0), CPU, Progress())
    scores = fitted.scores(torch.tensor([N_REAL, N_REAL + 1])).numpy()
    scores[:, [3, 5]] = -np.inf
    first = np.argsort(-scores[0])[:3]
    scores[1, first] = -np.inf
    assert rows(craft(how, data)).tolist() == [[3, 5, *first], [3, 5, *np.argsort(-scores[1])[:3]]]


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1, [[0, 1], [2, 3], [0, 1]]),  # all four are used up, and all come back
        (2, [[0, 1], [0, 1], [2, 3]]),
        (3, [[0, 1], [0, 1], [0, 1]]),
    ],
)
def test_an_item_is_used_more_often_only_once_others_are_used_up(limit, expected):
    scores = np.tile([-1.0, -2.0, -3.0, -np.inf, -4.0], (3, 1))  # item 3 is a target; negative scores are scores
    found = attack(filler_limit=limit, fillers=2)._picked(scores, np.zeros((0, 2), dtype=int), 2)
    places = {0: 0, 1: 1, 2: 2, 4: 3}
    assert [[places[item] for item in row] for row in found.tolist()] == expected


def test_what_an_earlier_group_used_is_free_again():
    scores = np.array([[-1.0, -2.0, -3.0, -4.0]])
    assert attack()._picked(scores, np.array([[0, 1]]), 2).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cutoff": 0}, "attack.cutoff is 0: give 1 or more"),
        ({"filler_limit": 0}, "attack.filler_limit is 0: give 1 or more"),
        ({"attack_weight": -1}, "attack.attack_weight is -1: give a finite number, 0 or more"),
        ({"look_ahead": math.nan}, "attack.look_ahead is nan"),
        ({"expected_hit_ratio": 0}, "attack.expected_hit_ratio is 0: give more than 0 and at most 1"),
        ({"neighbours": 5}, "attack.sampled_neighbours is 10, but attack.neighbours only 5: give as many or fewer"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        attack(**settings)
