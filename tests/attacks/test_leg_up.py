"""Leg-UP: grades, thresholds and losses by hand, what each part of training teaches, and what a fake user holds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from kept_loop import Kept

from recpoison.attacks.profiles.leg_up import LegUpAttack
from recpoison.attacks.profiles.leg_up_training import raised
from recpoison.attacks.profiles.rating_generator import Passed, RatingGAN
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.data.synthetic import Planted
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.models.mf import MF
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU, QUIET = torch.device("cpu"), Progress()
STARS = Scale(1, 5, 1)
SMALL = RatingGAN(hidden_size=6, discriminator=(5,), batch_size=16, attack_steps=4, epochs=2, pre_training=2)
SURROGATE = MF(embedding_size=3, trainer=Trainer(epochs=4, batch_size=32, optimizer="adagrad", learning_rate=1.0))


def rated(ratings=None, scale: Scale = STARS) -> Interactions:
    """40 users of 12 items, 7 each; users 0 to 3 have target 11 too. Ratings are drawn, or ``ratings`` of an item."""
    rng = np.random.default_rng(0)
    rows = [(u, i) for u in range(40) for i in rng.permutation(11)[:7]] + [(u, 11) for u in range(4)]
    users, items = (np.array(column) for column in zip(*rows, strict=True))
    grades = rng.integers(1, 6, len(rows)) if ratings is None else np.array([ratings(i) for i in items])
    return Interactions(users, items, scale.low + scale.step * (grades - 1), 40, 12, scale)


def crafted(data: Interactions, n_fakes: int = 6, progress: Progress = QUIET, **settings):
    given = {"gan": SMALL, "surrogate": SURROGATE, "fillers": 4, "cutoff": 2} | settings
    attack = LegUpAttack(targets=Targets("list", [11]), n_fake_users=n_fakes, **given)
    return attack.poison(data, np.array([11]), Seeds(2), CPU, progress)


def rows(change) -> tuple[np.ndarray, np.ndarray]:
    return change.items.reshape(change.n_fakes, -1), change.values.reshape(change.n_fakes, -1)


def test_a_step_whose_gradient_is_that_of_the_hyperbolic_tangent():
    x = torch.tensor([-1.0, 0.0, 0.5], requires_grad=True)
    found = Passed.apply(x)
    assert found.tolist() == [0, 0, 1]
    found.sum().backward()
    assert x.grad.tolist() == pytest.approx([1 - np.tanh(1) ** 2, 1, 1 - np.tanh(0.5) ** 2])


def test_grades_and_their_gradient_by_hand():
    """Numbers of 2.5 pass 1 and 2 of 4 thresholds: grade 3. Lifting the third by .6 and the second by 1 gives 2."""
    gan = RatingGAN(hidden_size=2)
    generator, _ = gan.start(3, 5, Seeds(0))
    generator = {name: 0 * x if name != "gaps" else x for name, x in generator.items()}
    assert gan.grades(generator, torch.ones(1, 3)).tolist() == [[3, 3, 3]]
    generator["gaps"][1, 0] += 1  # thresholds 1, 3, 4 and 5
    generator["gaps"][0, 1] = -9  # thresholds 0.0001, 1.0001, 2.0001 and 3.0001
    assert gan.thresholds(generator)[:, 0].tolist() == pytest.approx([1, 3, 4, 5])
    assert gan.grades(generator, torch.ones(1, 3)).tolist() == [[2, 4, 3]]
    bias = generator["decoder_bias"].requires_grad_()
    gan.grades(generator, torch.ones(1, 3))[0, 2].backward()
    slopes = sum(1 - np.tanh(2.5 - t) ** 2 for t in (1, 2, 3, 4))
    assert bias.grad.tolist() == pytest.approx([0, 0, 2.5 * slopes])  # the number is 2.5 (1 + tanh(bias))


def test_reconstruction_by_hand():
    """Middles of the five intervals are .5 to 4.5 from 2.5; only one cell is rated, with grade 2."""
    gan = RatingGAN(hidden_size=2)
    generator = {name: 0 * x if name != "gaps" else x for name, x in gan.start(3, 5, Seeds(0))[0].items()}
    rated = torch.tensor([[False, True, False]])
    grades = torch.tensor([[9.0, 2.0, 9.0]])
    scores = -np.array([4.0, 1, 0, 1, 4])
    expected = -scores[1] + np.log(np.exp(scores).sum())
    assert gan.reconstruction(generator, torch.ones(1, 3), grades, rated).item() == pytest.approx(expected, rel=1e-3)


def test_the_objective_by_hand():
    """Target 1 is below item 0 for user 0, above all for user 1; user 2 has it and does not count."""
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 0.5], [5.0, 0.0, 5.0]])
    value = raised(scores, torch.tensor([1]), torch.tensor([[1.0], [1.0], [0.0]]))
    assert value.item() == pytest.approx((np.log(np.exp(2) + np.exp(1)) - 1 + 0) / 2)


def test_a_fake_user_is_the_targets_and_items_that_one_real_user_rated():
    data = rated()
    items, values = rows(crafted(data))
    assert (items[:, 0] == 11).all()
    assert (values[:, 0] == 5).all()
    assert all(len(set(own)) == 5 for own in items.tolist())
    has = data.seen.toarray() > 0
    assert all(has[:, own[1:]].all(axis=1).any() for own in items)
    assert set(values.ravel()) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def test_before_the_attack_the_generator_rates_as_real_users_do():
    """Everybody rates even items 1 and odd ones 4."""
    gan = replace(SMALL, epochs=0, pre_training=60, learning_rate=0.05)
    items, values = rows(crafted(rated(lambda i: 4 if i % 2 else 1), gan=gan))
    assert (values[:, 1:] == np.where(items[:, 1:] % 2, 4, 1)).all()
    _, untaught = rows(crafted(rated(lambda i: 4 if i % 2 else 1), gan=replace(gan, pre_training=0)))
    assert (untaught[:, 1:] != values[:, 1:]).any()


def test_steps_go_down_the_objective():
    change = crafted(rated(), n_fakes=12, gan=replace(SMALL, adversarial_steps=0, attack_steps=15, learning_rate=0.03))
    objective = change.trace["Objective"]
    assert len(objective) == 2 * 15 + 1
    assert objective[-1] < objective[0] - 0.01
    assert change.best == 30


def test_without_attack_steps_nothing_pulls_and_the_trace_is_one_look():
    plain = crafted(rated(), gan=replace(SMALL, attack_steps=0))
    assert len(plain.trace["HR"]) == 1


def test_the_generator_follows_what_the_discriminator_says():
    """It takes grades of item 2 below 3 for real and of item 4 above 3, and looks at nothing else."""
    gan = RatingGAN(hidden_size=6, discriminator=())
    generator, judge = gan.start(12, 5, Seeds(0))
    judge = {"weight_0": torch.zeros(1, 12), "bias_0": torch.zeros(1)}
    judge["weight_0"][0, 2], judge["weight_0"][0, 4] = -2, 2
    leaves = {name: tensor.requires_grad_() for name, tensor in generator.items()}
    profiles, rule = torch.ones(5, 12), torch.optim.Adam(leaves.values(), 0.03)
    for _ in range(60):
        rule.zero_grad()
        torch.nn.functional.softplus(-gan.judge(judge, gan.grades(leaves, profiles))).mean().backward()
        rule.step()
    grades = gan.grades(leaves, profiles)
    assert (grades[:, 2] == 1).all()
    assert (grades[:, 4] == 5).all()


def test_steps_against_the_discriminator_change_what_is_rated():
    """And its own steps do, too: it is heard, and learns."""
    gan = replace(SMALL, attack_steps=0, adversarial_steps=6, epochs=3, learning_rate=0.05)
    off = {"discriminator_pre_training": 0, "discriminator_steps": 0}
    found = [crafted(rated(), gan=replace(gan, **more)).values.tolist() for more in ({}, {"adversarial_steps": 0}, off)]
    assert found[0] != found[1]
    assert found[0] != found[2]


def test_half_stars_and_scales_from_0_have_grades_of_their_own():
    for scale in (Scale(0.5, 4, 0.5), Scale(0, 4, 1)):
        _, values = rows(
            crafted(rated(lambda i: 1, scale), gan=replace(SMALL, epochs=0, pre_training=60, learning_rate=0.05))
        )
        assert (values[:, 0] == scale.high).all()
        assert (values[:, 1:] == scale.low).all()


def test_training_goes_on_where_it_was_killed():
    first = Kept()
    whole = crafted(rated(), progress=first)
    again = crafted(rated(), progress=Kept(first.states[0]))
    assert len(first.states) == 2
    assert whole.values.tolist() == again.values.tolist()
    assert whole.trace["Objective"].tolist() == again.trace["Objective"].tolist()


def test_data_without_ratings_are_refused():
    with pytest.raises(IncompatibleParts, match="LegUpAttack writes ratings, and these data have none: choose"):
        Parts(Planted("planted"), MF(), LegUpAttack(targets=Targets()), evaluation=FullRanking())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LegUpAttack(targets=Targets(), ridge=0.0), r"attack\.ridge is 0: give more than 0"),
        (lambda: LegUpAttack(targets=Targets(), cutoff=0), r"attack\.cutoff is 0: give 1 or more"),
        (lambda: RatingGAN(hidden_size=0), r"attack\.gan\.hidden_size is 0: give 1 or more"),
        (lambda: RatingGAN(epochs=-1), r"attack\.gan\.epochs is -1: give 0 or more"),
        (lambda: RatingGAN(discriminator=(0,)), r"attack\.gan\.discriminator is \[0\]"),
        (lambda: RatingGAN(learning_rate=0.0), r"attack\.gan\.learning_rate is 0: give a finite number above 0"),
    ],
)
def test_settings_out_of_range(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
