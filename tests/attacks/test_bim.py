"""BIM: one step is FGSM, and how far several go under each bound."""

import numpy as np
import pytest
import torch

from recpoison.algebra.perturbation import row_lengths
from recpoison.attacks.embeddings.bim import BIM
from recpoison.attacks.embeddings.fgsm import FGSM
from recpoison.errors import ConfigError
from recpoison.progress import Progress
from recpoison.seeds import Seeds

NOBODY = np.zeros(0, dtype=np.int64)


class Figures(Progress):
    """Remembers the losses it was told."""

    def __init__(self):
        self.losses = []

    def step(self, done, total, **figures):
        self.losses.append(figures["loss"])


def tables(attack, victim, progress=None):
    return attack.perturb(victim, NOBODY, Seeds(0), progress or Progress()).tables


@pytest.mark.parametrize(
    ("projection", "direction"),
    [("row_l2", "row_l2"), ("box", "row_l2"), ("none", "row_l2"), ("box", "sign"), ("none", "matrix_l2")],
)
def test_one_step_of_epsilon_is_fgsm(victim, projection, direction):
    bim = BIM(epsilon=0.3, steps=1, step_size=0.3, projection=projection, direction=direction)
    one, other = tables(bim, victim), tables(FGSM(epsilon=0.3, direction=direction), victim)
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-6, atol=1e-7)


def test_the_authors_box_lets_rows_grow_beyond_epsilon(victim):
    """Ten steps of 0.125: up to 1.25 in a box of 0.5, where FGSM has 0.5."""
    lengths = {p: row_lengths(tables(BIM(steps=10, projection=p), victim)["item"]) for p in ("box", "row_l2", "none")}
    assert lengths["row_l2"].max() <= 0.5 * (1 + 1e-6)
    assert lengths["box"].max() > 0.75
    assert lengths["none"].max() <= 1.25 * (1 + 1e-5)
    assert tables(BIM(steps=40, projection="box"), victim)["item"].abs().max() == 0.5


def test_more_steps_raise_the_loss_further_within_one_bound(victim):
    losses = {}
    for steps in (1, 4, 30):
        moved = {n: t + victim.params[n] for n, t in tables(BIM(epsilon=1.0, steps=steps), victim).items()}
        negatives = Seeds(0).child("attack", "negatives")
        losses[steps] = victim.model.data_loss(victim.data, negatives, victim.device).gradient(moved)[0]
    assert losses[1] < losses[4] < losses[30]


def test_a_lifted_item_tops_most_lists(victim):
    """One step cannot: the two planted blocks pull an item that belongs to nobody to opposite sides."""
    attack = BIM(epsilon=3.0, steps=20, goal="targeted")
    moved = attack.perturb(victim, np.array([40]), Seeds(0), Progress())
    places = []
    for params in (victim.params, moved.apply(victim.params)):
        scores = victim.model.scores(params, victim.data, torch.arange(40))
        places.append(float((scores > scores[:, 40:41]).sum(1).float().mean()))
    assert places[0] == 20  # below each user's own block
    assert places[1] < 5


def test_fresh_negatives_are_another_objective_at_each_step(victim):
    fixed, fresh = (Figures(), Figures())
    tables(BIM(epsilon=1e-9, steps=3, negatives="fixed"), victim, fixed)
    tables(BIM(epsilon=1e-9, steps=3, negatives="fresh"), victim, fresh)
    assert fixed.losses == pytest.approx([fixed.losses[0]] * 3, rel=1e-6)
    assert len(set(fresh.losses)) == 3
    assert fresh.losses[0] == fixed.losses[0]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"steps": 0}, r"attack\.steps is 0: give 1 or more"),
        ({"step_size": 0.0}, r"attack\.step_size is 0: give a finite number above 0"),
        ({"projection": "ball"}, r"attack\.projection is 'ball': choose one of box, row_l2, none"),
        ({"negatives": "new"}, r"attack\.negatives is 'new': choose one of fixed, fresh"),
        ({"direction": "l1"}, r"attack\.direction is 'l1'"),
    ],
)
def test_bad_settings_are_refused(settings, text):
    with pytest.raises(ConfigError, match=text):
        BIM(**settings)
