"""The kernel of adversarial squared error against autograd on whole tables, and in its limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.algebra.perturbation import DIRECTIONS
from recpoison.data.interactions import Interactions
from recpoison.data.scales import Scale
from recpoison.models.base import Params
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.adversarial import AdversarialLoss, AdversarialRating, adversarial
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.ratings import RatingObjective
from recpoison.training.trainer import Trainer

QUIET, CPU = Progress(), torch.device("cpu")
MODEL = MF(5, regularization=0.03, initial="normal", initial_std=0.5)
BOX = InnerAttack(0.2, steps=4, step_size=0.3, projection="box")


@pytest.fixture
def data() -> Interactions:
    """About 120 ratings by 20 users, one of whom has none, on 11 items: batches of 32 repeat both."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((20, 11)) < 0.6)
    kept = users != 7
    return Interactions(users[kept], items[kept], rng.integers(1, 6, kept.sum()), 20, 11, Scale(1, 5, 1))


def same(got: Params, want: Params, tolerance: float = 0.0) -> None:
    for name in want:
        torch.testing.assert_close(got[name], want[name], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
@pytest.mark.parametrize(
    "attack",
    [
        *(InnerAttack(0.3, projection="none", direction=kind) for kind in DIRECTIONS),
        InnerAttack(0.3, steps=5, direction="sign"),
        InnerAttack(0.3, steps=6),
        BOX,
        replace(BOX, direction="matrix_l2", step_size=1.5),
    ],
    ids=lambda attack: f"{attack.direction}-{attack.projection}-{attack.steps}",
)
def test_the_kernel_is_autograd(data, seeds, optimizer, attack):
    trainer = Trainer(3, 32, optimizer, 0.5)
    plain, params = RatingObjective(data, seeds, 0.03), MODEL.init(data, seeds)
    kernel = adversarial(plain, MODEL, attack, 0.7)
    assert isinstance(kernel, AdversarialRating)
    want = trainer.fit(AdversarialLoss(plain, MODEL, attack, 0.7), params, QUIET)
    same(trainer.fit(kernel, params, QUIET), want, 2e-5)
    assert (trainer.fit(plain, params, QUIET)["user"] - want["user"]).abs().max() > 1e-2, "the adversary did nothing"
    assert torch.equal(want["user"][7], params["user"][7]), "a user without ratings stays"


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
def test_weight_0_is_plain_training_bit_for_bit(data, seeds, optimizer):
    """The kernel itself, not a way round it."""
    trainer = Trainer(3, 32, optimizer, 0.5)
    plain, params = RatingObjective(data, seeds, 0.03), MODEL.init(data, seeds)
    got = trainer.fit(AdversarialRating(plain, MODEL, InnerAttack(0.3), 0.0), params, QUIET)
    same(got, trainer.fit(plain, params, QUIET))


def test_epsilon_0_is_twice_the_loss_bit_for_bit(data, seeds):
    """With SGD twice the loss is twice the rate."""
    trainer = Trainer(3, 32, "sgd", 0.25)
    plain, params = RatingObjective(data, seeds), MODEL.init(data, seeds)
    got = trainer.fit(AdversarialRating(plain, MODEL, InnerAttack(0.0), 1.0), params, QUIET)
    same(got, replace(trainer, learning_rate=0.5).fit(plain, params, QUIET))


@pytest.mark.parametrize(
    ("trainer", "attack"),
    [
        (Trainer(2, 32, "adam", 0.05), InnerAttack(0.3)),
        (Trainer(2, 32, "sgd", 0.5, backend="torch"), InnerAttack(0.3)),
        (Trainer(2, 32, "sgd", 0.5), InnerAttack(0.3, steps=0, noise=True)),
        (Trainer(2, 32, "sgd", 0.5), InnerAttack(0.3, steps=2, start="uniform")),
    ],
    ids=["adam", "torch", "noise", "uniform"],
)
def test_what_the_kernel_has_not_is_done_by_autograd(data, trainer, attack):
    plain, params = RatingObjective(data, Seeds(0)), MODEL.init(data, Seeds(0))
    got = trainer.fit(AdversarialRating(plain, MODEL, attack, 1.0), params, QUIET)
    same(got, trainer.fit(AdversarialLoss(plain, MODEL, attack, 1.0), params, QUIET))


def test_the_figure_shown_is_the_clean_mean_squared_error(data, seeds):
    plain, trainer = RatingObjective(data, seeds), Trainer(1, 10_000, "sgd", 1e-3)
    state = trainer.start(MODEL.init(data, seeds))
    shown = AdversarialRating(plain, MODEL, InnerAttack(0.5), 1.0).epoch(trainer, state, 0)
    start = MODEL.init(data, seeds)
    users, items = (torch.from_numpy(column.copy()) for column in (data.users, data.items))
    error = (start["user"][users] * start["item"][items]).sum(1) - torch.from_numpy(data.values / 5)
    assert shown == pytest.approx(error.square().mean().item(), rel=1e-5)
