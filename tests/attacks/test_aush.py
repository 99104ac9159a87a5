"""AUSH: what the two networks are taught, in numbers, and what a fake user is made of."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from kept_loop import Kept

from recpoison.attacks.profiles.aush import AUSHAttack
from recpoison.attacks.profiles.profile_gan import ProfileGAN, with_selected
from recpoison.attacks.profiles.templates import Templates
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.data.synthetic import Planted
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.models.bprmf import BPRMF
from recpoison.models.mf import MF
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.ratings import rating_matrix

CPU, QUIET = torch.device("cpu"), Progress()
STARS = Scale(1, 5, 1)
TARGETS, SELECTED = np.array([0, 1]), np.array([2, 3])
SMALL = ProfileGAN(generator=(6,), discriminator=(5,), generator_batch_size=16, discriminator_batch_size=8)
PLAIN = replace(SMALL, gan_weight=0.0, shilling_weight=0.0, reconstruction_weight=0.0, regularization=0.0)


def rated(own: float | None, scale: Scale = STARS) -> Interactions:
    """40 users: five of the items 4 to 11 and target 0 each, and ``own`` for both selected items (None: not rated)."""
    rng = np.random.default_rng(0)
    rows = [(u, i, rng.integers(1, 6)) for u in range(40) for i in 4 + rng.permutation(8)[:5]]
    rows += [(u, 0, 2) for u in range(40)]
    rows += [(u, i, own) for u in range(40) for i in SELECTED if own is not None]
    users, items, values = zip(*rows, strict=True)
    return Interactions(users, items, np.array(values) * scale.high / 5, 40, 12, scale)


def templates(own: float | None = 3, count: int = 3) -> Templates:
    return Templates(5 * rating_matrix(rated(own)), TARGETS, SELECTED, count)


def generated(gan: ProfileGAN, lent: Templates) -> torch.Tensor:
    """What the trained generator writes for every template, ``(n_templates, n_selected)``."""
    params = gan.train(lent, Seeds(0), CPU, QUIET)
    borrowed = lent.borrow(np.arange(len(lent)), np.random.default_rng(0))
    return gan.rate(params, torch.from_numpy(borrowed.dense(12)))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"n_selected": 0}, r"attack\.n_selected is 0: give 1 or more"),
        ({"select": "similar"}, r"attack\.select is 'similar': choose one of co_rated, popular"),
        ({"fillers": -1}, r"attack\.fillers is -1"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        AUSHAttack(targets=Targets(), **setting)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"generator": (4, 0)}, r"attack\.gan\.generator is \[4, 0\]"),
        ({"epochs": -1}, r"attack\.gan\.epochs is -1: give 0 or more"),
        ({"discriminator_batch_size": 0}, r"attack\.gan\.discriminator_batch_size is 0: give 1 or more"),
        ({"generator_learning_rate": float("inf")}, r"attack\.gan\.generator_learning_rate is inf"),
        ({"gan_weight": -1.0}, r"attack\.gan\.gan_weight is -1"),
        ({"zero_ratio": 1.5}, r"attack\.gan\.zero_ratio is 1\.5: give 0 to 1"),
    ],
)
def test_settings_of_the_networks_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        ProfileGAN(**setting)


def test_losses_by_hand():
    """No hidden layer, all numbers 0: ratings of 5 · 1/2, odds of 1. One of two own ratings, 4, counts."""
    gan = ProfileGAN(generator=(), discriminator=())
    networks = gan.start(12, 2, Seeds(0))
    generator, discriminator = ({name: 0 * x for name, x in params.items()} for params in networks)
    own, counted = torch.tensor([[4.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    losses = gan.losses(generator, discriminator, torch.zeros(1, 12), torch.from_numpy(SELECTED), own, counted)
    assert [loss.item() for loss in losses] == pytest.approx([np.log(2), 2.5**2, 1.5**2])
    everything = torch.ones(1, 2)
    again = gan.losses(generator, discriminator, torch.zeros(1, 12), torch.from_numpy(SELECTED), own, everything)
    assert again.reconstruction.item() == pytest.approx(1.5**2 + 2.5**2)


def test_the_discriminators_loss_by_hand():
    """Its weights are 1 for item 2: a real profile with a 3 has log odds 3, a fake one with a 1 has 1."""
    gan = ProfileGAN(discriminator=())
    discriminator = {"weight_0": torch.zeros(1, 12), "bias_0": torch.zeros(1)}
    discriminator["weight_0"][0, 2] = 1
    real, fake = torch.zeros(1, 12), torch.zeros(1, 12)
    real[0, 2], fake[0, 2] = 3, 1
    expected = np.log(1 + np.exp(-3)) + np.log(1 + np.exp(1))
    assert gan.doubt(discriminator, real, fake).item() == pytest.approx(expected)


@pytest.mark.parametrize("weight", ["gan_weight", "shilling_weight", "reconstruction_weight"])
def test_each_loss_moves_every_layer_of_the_generator(weight):
    """After one step. In RecAD's code the output is detached from the losses, and the generator stays as it began."""
    gan = replace(PLAIN, epochs=1, generator_batch_size=40, **{weight: 1.0})
    before, _ = gan.start(12, 2, Seeds(0).child("init"))
    after = gan.train(templates(), Seeds(0), CPU, QUIET)
    assert before.keys() == after.keys()
    for name, layer in before.items():
        moved = (after[name] - layer).abs()
        assert moved.max() == pytest.approx(gan.generator_learning_rate, rel=0.02)  # Adam's first step


def test_without_a_loss_the_generator_stays():
    """So that the test above is about the losses."""
    before, _ = PLAIN.start(12, 2, Seeds(0).child("init"))
    after = replace(PLAIN, epochs=3).train(templates(), Seeds(0), CPU, QUIET)
    assert all(torch.equal(after[name], layer) for name, layer in before.items())


@pytest.mark.parametrize(
    ("own", "zero_ratio", "shilling", "reconstruction", "expected"),
    [
        (3, 0.5, 1.0, 0.0, 5.0),  # (g - 5)² alone
        (3, 0.5, 0.0, 1.0, 3.0),  # real ratings are reconstructed, whatever zero_ratio
        (3, 0.0, 1.0, 1.0, (2.5 + 3) / 1.5),  # a mean of two shillings, a sum of two reconstructions: (g-5)²/2 + (g-3)²
        (None, 1.0, 1.0, 1.0, 2.5 / 1.5),  # nobody rated it: (g-5)²/2 + g²
        (None, 0.5, 1.0, 1.0, 2.5 / 1.0),  # half of the time: (g-5)²/2 + g²/2
    ],
)
def test_selected_items_are_rated_where_the_losses_meet(own, zero_ratio, shilling, reconstruction, expected):
    """In the ports the selected items have the targets' place, or real ratings are never reconstructed."""
    weights = {"shilling_weight": shilling, "reconstruction_weight": reconstruction, "zero_ratio": zero_ratio}
    gan = replace(PLAIN, epochs=150, generator_batch_size=40, generator_learning_rate=0.03, **weights)
    ratings = generated(gan, templates(own)).mean(0)
    assert ratings.tolist() == pytest.approx([expected] * 2, abs=0.15)


def test_the_shilling_loss_falls():
    seen = []

    class Listener(Progress):
        def step(self, done, total, **figures):
            seen.append(figures["shilling"])

    replace(SMALL, epochs=20, reconstruction_weight=0.0, generator_learning_rate=0.05).train(
        templates(), Seeds(0), CPU, Listener()
    )
    assert len(seen) == 20
    assert seen[-1] < 0.5 < 4 < seen[0]


def test_the_generator_follows_what_the_discriminator_says():
    """It takes low ratings of item 2 for real: the log odds are 6 minus three times the rating; of item 3, nothing."""
    gan = replace(PLAIN, discriminator=())
    networks = gan.start(12, 2, Seeds(0))
    generator = {name: tensor.requires_grad_() for name, tensor in networks[0].items()}
    discriminator = {"weight_0": torch.zeros(1, 12), "bias_0": torch.tensor([6.0])}
    discriminator["weight_0"][0, 2] = -3
    fillers = torch.from_numpy(templates().borrow(np.arange(40), np.random.default_rng(0)).dense(12))
    batch = (fillers, torch.from_numpy(SELECTED), torch.zeros(40, 2), torch.zeros(40, 2))
    rule = torch.optim.Adam(generator.values(), 0.05)
    before, odds = gan.rate(generator, fillers).detach(), []
    for _ in range(60):
        rule.zero_grad()
        loss = gan.losses(generator, discriminator, *batch).gan
        loss.backward()
        rule.step()
        odds.append(loss.item())
    after = gan.rate(generator, fillers).detach()
    assert odds[0] == pytest.approx(torch.log1p((3 * before[:, 0] - 6).exp()).mean().item())
    assert odds[-1] < 0.05 < 1 < odds[0]
    assert (after[:, 0] < 1.2).all()
    assert (after[:, 0] < before[:, 0] - 1).all()


def test_the_discriminator_learns_to_tell_them_apart():
    """The generator stays as it is: its ratings are near 2.5, and real ones are 1."""
    keeping = Kept()
    gan = replace(PLAIN, gan_weight=1.0, epochs=40, discriminator_learning_rate=0.05, generator_learning_rate=1e-9)
    gan.train(templates(own=1), Seeds(0), CPU, keeping)
    networks = gan.start(12, 2, Seeds(0).child("init"))
    lent = templates(own=1)
    fillers = torch.from_numpy(lent.borrow(np.arange(40), np.random.default_rng(0)).dense(12))
    fake = with_selected(fillers, torch.from_numpy(SELECTED), gan.rate(networks[0], fillers))
    real = torch.from_numpy(lent.whole.toarray()).float()
    learned = {name: keeping.states[-1][f"discriminator/param.{name}"] for name in networks[1]}
    assert all(not torch.equal(learned[name], layer) for name, layer in networks[1].items())
    assert gan.doubt(learned, real, fake).item() < 0.1 < 1.2 < gan.doubt(networks[1], real, fake).item()


def test_targets_are_no_part_of_any_profile():
    """Every user rated target 0; nobody sees that, and the selected items are where they belong."""
    lent = templates()
    assert len(lent) == 40
    assert lent.whole[:, TARGETS].nnz == 0
    assert lent.fillers[:, SELECTED].nnz == 0
    assert lent.has_selected.all()
    fillers = torch.from_numpy(lent.borrow(np.arange(40), np.random.default_rng(0)).dense(12))
    profiles = with_selected(fillers, torch.from_numpy(SELECTED), torch.full((40, 2), 2.0))
    assert (profiles[:, SELECTED] == 2).all()
    assert (profiles[:, TARGETS] == 0).all()


def test_fillers_are_drawn_without_replacement_and_evenly():
    """Each of a template's 5 items is among 3 fillers in 3 of 5 draws."""
    lent = templates()
    borrowed = lent.borrow(np.full(5000, 7), np.random.default_rng(0))
    assert (np.diff(borrowed.items, axis=1) > 0).all()
    items, counts = np.unique(borrowed.items, return_counts=True)
    assert items.tolist() == lent.fillers[7].indices.tolist()
    assert counts / 5000 == pytest.approx(0.6, abs=0.03)


def crafted(data: Interactions, targets=TARGETS, n_fakes: int = 30, **settings):
    settings = {"gan": replace(SMALL, epochs=3), "fillers": 4, "n_selected": 2, "select": "popular"} | settings
    attack = AUSHAttack(targets=Targets("list", targets.tolist()), n_fake_users=n_fakes, **settings)
    change = attack.poison(data, targets, Seeds(3), CPU, QUIET)
    return change.items.reshape(n_fakes, -1), change.values.reshape(n_fakes, -1)


def test_a_fake_user_is_targets_selected_items_and_a_real_users_ratings():
    data = rated(3)
    items, values = crafted(data)
    assert (items[:, :4] == [0, 1, 2, 3]).all()
    assert (values[:, :2] == 5).all()
    real, owners = data.csr.toarray(), []
    for i in range(30):
        assert len(set(items[i, 4:])) == 4
        owners.append(np.flatnonzero((real[:, items[i, 4:]] == values[i, 4:]).all(axis=1)))
    assert all(len(owner) for owner in owners)


def test_selected_items_have_the_generators_ratings():
    """All real users rate them 3 and only that is taught, so 3 it is: not the targets' 5, and not a forced 5."""
    gan = replace(PLAIN, reconstruction_weight=1.0, epochs=40, generator_learning_rate=0.1)
    _, values = crafted(rated(3), gan=gan)
    assert (values[:, 2:4] == 3).all()
    assert (values[:, :2] == 5).all()


def test_ratings_are_off_the_grid_where_that_is_asked_for():
    items, values = crafted(rated(3), round_ratings=False)
    again, rounded = crafted(rated(3))
    assert np.array_equal(items, again)
    assert np.array_equal(np.clip(np.rint(values), 1, 5), rounded)
    assert (values[:, 2:4] != rounded[:, 2:4]).any()


def test_a_scale_that_ends_at_10_is_the_same_attack():
    (items, values), (again, doubled) = crafted(rated(3)), crafted(rated(3, Scale(2, 10, 2)))
    assert np.array_equal(items, again)
    assert np.array_equal(2 * values, doubled)


def test_each_fake_user_has_a_template_of_its_own():
    """40 users rated 8 items besides, no two alike, and fake users copy all of that; 50 fake users share some."""
    users, items = np.divmod(np.arange(40 * 10), 10)
    ratings = np.random.default_rng(1).integers(1, 6, 400)
    data = Interactions(users, items + 2, ratings, 40, 12, Scale(1, 5, 1))
    real = np.unique(data.csr[:, 4:].toarray(), axis=0)
    _, values = crafted(data, n_fakes=40, fillers=8)
    assert len(real) == 40
    assert np.array_equal(np.unique(values[:, 4:], axis=0), real)
    _, more = crafted(data, n_fakes=50, fillers=8)
    assert np.isin(np.unique(more[:, 4:], axis=0) @ 6 ** np.arange(8), real @ 6 ** np.arange(8)).all()


def test_a_rating_of_0_is_a_rating():
    users, items = np.divmod(np.arange(6 * 4), 4)
    data = Interactions(users, items + 2, np.zeros(24), 6, 6, Scale(0, 5, 1))
    items, values = crafted(data, n_fakes=2, fillers=2)
    assert items.tolist() == [[0, 1, 2, 3, 4, 5]] * 2
    assert (values[:, 4:] == 0).all()


def test_more_fillers_than_any_user_can_lend_are_refused():
    with pytest.raises(ConfigError, match=r"attack\.fillers is 6, but no user rated so many.*give 5 or less"):
        crafted(rated(3), fillers=6)


def test_more_selected_items_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"attack\.n_selected is 11, but the catalogue has 12 items.*give 10 or less"):
        crafted(rated(3), n_selected=11)


def test_data_without_ratings_are_refused_before_they_are_read():
    attack = AUSHAttack(targets=Targets())
    with pytest.raises(IncompatibleParts, match="AUSHAttack writes ratings, and these data have none: choose"):
        Parts(Planted("planted", 40), MF(), attack, evaluation=FullRanking())


def test_who_serves_as_a_template_is_said():
    notes = []

    class Listener(Progress):
        def note(self, text):
            notes.append(text)

    attack = AUSHAttack(targets=Targets("list", [0]), n_fake_users=2, fillers=4, n_selected=2, gan=SMALL)
    short = rated(3).take(np.arange(len(rated(3))) >= 10)  # users 0 and 1 keep no filler
    replace(attack, gan=replace(SMALL, epochs=0)).poison(short, np.array([0]), Seeds(0), CPU, Listener())
    assert notes == ["38 of 40 users have 4 fillers to lend and are AUSH's templates"]


def test_a_model_that_ignores_ratings_is_remarked_upon():
    data = type("Rated", (), {"has_ratings": True})()
    parts = type("Together", (), {"dataset": data, "defense": type("None", (), {"reads_values": False})()})()
    for model, expected in ((MF(), 0), (BPRMF(), 1)):
        parts.model = model
        assert len(AUSHAttack(targets=Targets()).remarks(parts)) == expected


def test_training_goes_on_where_it_was_killed():
    """From the state after each epoch, bit for bit."""
    gan, first = replace(SMALL, epochs=4), Kept()
    whole = gan.train(templates(), Seeds(0), CPU, first)
    assert len(first.states) == 4
    for done, state in enumerate(first.states, 1):
        again = Kept(state)
        resumed = gan.train(templates(), Seeds(0), CPU, again)
        assert len(again.states) == 4 - done
        assert all(torch.equal(whole[name], resumed[name]) for name in whole)
