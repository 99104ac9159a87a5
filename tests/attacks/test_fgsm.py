"""FGSM: its step by hand, the loss along it, and what it does to a planted answer."""

import numpy as np
import pytest
import torch

from recpoison.attacks.embeddings.base import wished
from recpoison.attacks.embeddings.fgsm import FGSM
from recpoison.attacks.embeddings.noise import Noise
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.base import Fitted
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds

NOBODY = np.zeros(0, dtype=np.int64)
DIRECTIONS = ["row_l2", "matrix_l2", "sign", "value"]


def shift(attack, victim, targets=NOBODY, seed=0):
    return attack.perturb(victim, targets, Seeds(seed), Progress())


def loss_at(victim, moved, data=None):
    """With the negatives that the attack drew."""
    negatives = Seeds(0).child("attack", "negatives")
    return victim.model.data_loss(data or victim.data, negatives, victim.device).gradient(moved.apply(victim.params))[0]


@pytest.fixture
def one_pair() -> Fitted:
    """The gradient is pull (r - q, -p, p) with q - r = (1, -3), p = (1, 0) and pull = 1 / (1 + e)."""
    data = Interactions(np.array([0]), np.array([0]), np.ones(1), 2, 2)
    tables = {"user": torch.tensor([[1.0, 0.0], [5.0, 5.0]]), "item": torch.tensor([[2.0, 0.0], [1.0, 3.0]])}
    return Fitted(BPRMF(embedding_size=2), tables, data)


@pytest.mark.parametrize(
    ("direction", "user", "item"),
    [
        ("row_l2", [-1 / 10**0.5, 3 / 10**0.5], [1.0, 0.0]),
        ("matrix_l2", [-1 / 12**0.5, 3 / 12**0.5], [1 / 12**0.5, 0.0]),  # 1 + 9, 1 and 1
        ("sign", [-1.0, 1.0], [1.0, 0.0]),
        ("value", [-1 / (1 + np.e), 3 / (1 + np.e)], [1 / (1 + np.e), 0.0]),
    ],
)
def test_a_step_by_hand(one_pair, direction, user, item):
    tables = shift(FGSM(epsilon=0.5, direction=direction), one_pair).tables
    assert tables["user"][0].tolist() == pytest.approx([0.5 * x for x in user])
    assert tables["item"][1].tolist() == pytest.approx([0.5 * x for x in item])
    assert tables["item"][0].tolist() == pytest.approx([-0.5 * x for x in item])
    assert tables["user"][1].tolist() == [0, 0]  # no pair touches it


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_loss_rises_as_the_gradient_says(victim, direction):
    victim = Fitted(victim.model, {name: table.double() for name, table in victim.params.items()}, victim.data)
    small = shift(FGSM(epsilon=1e-5, direction=direction), victim)
    still = shift(FGSM(epsilon=0.0), victim)
    loss = victim.model.data_loss(victim.data, Seeds(0).child("attack", "negatives"), victim.device)
    _, gradient = loss.gradient(victim.params)
    expected = sum(float((gradient[name] * small.tables[name]).sum()) for name in gradient)
    risen = loss_at(victim, small) - loss_at(victim, still)
    assert expected > 0
    assert risen == pytest.approx(expected, rel=1e-2)


def test_it_does_more_than_noise_of_the_same_length(victim):
    def correct(moved):
        scores = victim.model.scores(moved.apply(victim.params), victim.data, torch.arange(40))
        scores[torch.from_numpy(victim.data.seen.toarray() > 0)] = -torch.inf
        return float((scores.argmax(1) == torch.arange(40)).float().mean())

    assert correct(shift(Noise(epsilon=0.0), victim)) == 1.0
    lengths = [correct(shift(kind(epsilon=1.5), victim)) for kind in (FGSM, Noise)]
    assert lengths[0] < lengths[1] - 0.2


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_loss_of_what_is_wished_falls(victim, direction):
    targets = np.array([40])
    attack = FGSM(epsilon=0.05, goal="targeted", direction=direction)
    assert attack.choose_targets(victim.data, Seeds(0)).shape == (1,)
    moved = shift(attack, victim, targets)
    assert loss_at(victim, moved, wished(victim.data, targets)) < loss_at(
        victim, shift(FGSM(epsilon=0.0), victim), wished(victim.data, targets)
    )


def test_owners_are_left_out_of_what_is_wished(tiny_explicit):
    found = wished(tiny_explicit, np.array([0, 4]))
    assert list(zip(found.users, found.items, strict=True)) == [(0, 4), (1, 4), (2, 4), (3, 0), (3, 4)]
    assert set(found.values) == {5.0}
    everyone = Interactions(np.arange(2), np.zeros(2, dtype=int), np.ones(2), 2, 3)
    with pytest.raises(ConfigError, match=r"nothing to lift: change attack\.targets"):
        wished(everyone, np.array([0]))


def test_an_untargeted_attack_has_no_targets(victim):
    assert len(FGSM(targets=Targets(rule="random", count=3)).choose_targets(victim.data, Seeds(0))) == 0


@pytest.mark.parametrize("field", ["direction", "goal"])
def test_unknown_choices_are_refused(field):
    with pytest.raises(ConfigError, match=rf"attack\.{field} is 'up': choose one of "):
        FGSM(**{field: "up"})
