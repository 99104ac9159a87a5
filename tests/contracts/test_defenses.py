"""What every defense of conf/defense must keep."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.defenses.base import Defense
from recpoison.errors import IncompatibleParts
from recpoison.models.base import Fitted, GradientModel, Model, Params
from recpoison.models.bprmf import BPRMF
from recpoison.models.mf import MF
from recpoison.progress import QUIET, Progress
from recpoison.seeds import Seeds
from recpoison.training.checkpoint import Checkpoint
from recpoison.training.trainer import BatchObjective, Trainer

FILES = sorted((Path(__file__).parents[2] / "conf" / "defense").glob("*.yaml"))
CPU = torch.device("cpu")


def build(file: Path) -> Defense:
    return instantiate(OmegaConf.load(file), _convert_="all")


DEFENSES = [pytest.param(build(file), id=file.stem) for file in FILES]


class Counts(BatchObjective):
    """All items in one batch, which knows how many users each has."""

    def __init__(self, data: Interactions, seeds: Seeds) -> None:
        self.counts, self.seeds = torch.from_numpy(data.item_counts).float(), seeds

    def inputs(self):
        return self.counts, self.seeds

    def batches(self, trainer, epoch, device):
        yield (self.counts,)

    def epoch(self, trainer, state, epoch):
        for (counts,) in self.batches(trainer, epoch, torch.device("cpu")):
            table = state["param.item"]
            table -= trainer.learning_rate * (table.sum(1) - counts)[:, None]
        return 0.0


@dataclass(frozen=True)
class NoisyCounts(GradientModel):
    """Item popularity as the product of two ones, which all users have, and two numbers.

    The numbers start as noise, so that drawing twice would show.
    """

    tables: ClassVar[tuple[str, ...]] = ("user", "item")
    trainer: Trainer = field(default_factory=lambda: Trainer(4, 1, "sgd", 0.1))

    def init(self, data, seeds) -> Params:
        noise = torch.from_numpy(seeds.numpy("init").random((data.n_items, 2), dtype=np.float32))
        return {"user": torch.ones(data.n_users, 2), "item": noise}

    def loss(self, params, batch):
        return (params["item"] @ params["user"].mean(0) - batch[0]).square().sum() / 2

    def objective(self, data, seeds, device):
        return Counts(data, seeds.child("train"))

    def fit(self, data, seeds, device, progress, monitor=None) -> Params:
        return self.trainer.fit(self.objective(data, seeds, device), self.init(data, seeds), progress, monitor)

    def scores(self, params, data, users):
        return params["user"].index_select(0, users) @ params["item"].T


@pytest.fixture
def poisoned() -> Interactions:
    """200 users of two tastes x 60 items, and 6 fake users after them."""
    rng = np.random.default_rng(7)
    rows = np.argwhere(rng.random((200, 60)) < np.kron(0.1 + 0.4 * np.eye(2), np.ones((100, 30))))
    data = Interactions(rows[:, 0], rows[:, 1], np.ones(len(rows)), 200, 60)
    attack = RandomAttack(targets=Targets("list", [0]), n_fake_users=6)
    return attack.poison(data, np.array([0]), Seeds(0), CPU, Progress()).apply(data)


def takes(defense: Defense, model: Model) -> bool:
    try:
        defense.check_model(model)
    except IncompatibleParts:
        return False
    return True


def fit(defense: Defense, data: Interactions, progress: Progress = QUIET) -> Fitted:
    """Of counts, or of ratings for a defense that is about these."""
    values = 1 + (data.user_counts[data.users] + 3 * data.items) % 5
    rated = replace(data, values=values, scale=Scale(1, 5))
    data = rated if defense.needs_ratings else data
    if takes(defense, NoisyCounts()):
        return defense.fit(NoisyCounts(), data, Seeds(3), CPU, progress)
    if takes(defense, BPRMF()):
        return defense.fit(BPRMF(4, trainer=Trainer(4, 256)), data, Seeds(3), CPU, progress)
    return defense.fit(MF(4, trainer=Trainer(5, 256, "adagrad", 1.0)), rated, Seeds(3), CPU, progress)


def test_there_are_defenses():
    assert {
        "none",
        "filter",
        "apr",
        "vat",
        "pamacf",
        "amf_random",
        "at",
        "distillation",
        "apt",
        "apt_rand",
        "reliability",
    } <= {file.stem for file in FILES}


def test_no_defense_is_the_plain_fit_bit_for_bit(poisoned):
    none = next(param.values[0] for param in DEFENSES if param.id == "none")
    plain = NoisyCounts().fit(poisoned, Seeds(3), CPU, Progress())
    assert torch.equal(fit(none, poisoned).params["item"], plain["item"])


@pytest.mark.parametrize("defense", DEFENSES)
def test_every_user_is_scored(defense, poisoned):
    fitted = fit(defense, poisoned)
    assert fitted.data.n_users == poisoned.n_users
    scores = fitted.scores(torch.arange(poisoned.n_users))
    assert scores.shape == (poisoned.n_users, poisoned.n_items)
    assert torch.isfinite(scores).all()


@pytest.mark.parametrize("defense", DEFENSES)
def test_same_seed_same_numbers_and_data_untouched(defense, poisoned):
    before = poisoned.fingerprint
    first, second = (fit(defense, poisoned).params["item"] for _ in range(2))
    assert torch.equal(first, second)
    assert poisoned.fingerprint == before


class Died(Exception):
    pass


class Mortal(Progress):
    """Dies in a step, and remembers all that it was told of."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.steps = after, []

    def step(self, done, total, **figures):
        self.steps.append((done, total))
        if len(self.steps) == self.after:
            raise Died


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_killed_fit_goes_on_bit_for_bit(defense, poisoned, tmp_path):
    """Only the step that was cut short is done again."""
    whole, second = Mortal(), Mortal()
    expected = fit(defense, poisoned, whole).params["item"]
    after = len(whole.steps) // 2 + 1
    with pytest.raises(Died), Checkpoint(Mortal(after), tmp_path, 0.0) as progress:
        fit(defense, poisoned, progress)
    with Checkpoint(second, tmp_path, 0.0) as progress:
        assert torch.equal(fit(defense, poisoned, progress).params["item"], expected)
    assert second.steps == whole.steps[after - 1 :]


@pytest.mark.parametrize("defense", [each for each in DEFENSES if takes(each.values[0], NoisyCounts())])
def test_ids_and_order_of_users_tell_nothing(defense, poisoned):
    """Fake users come last; a defense that knew would do otherwise when everyone is renumbered.

    MF's initial values depend on a user's number, so that defenses of it are asked in tests of their own.
    """
    rng = np.random.default_rng(1)
    renumbered = replace(poisoned, users=rng.permutation(poisoned.n_users)[poisoned.users])
    shuffled = renumbered.take(rng.permutation(len(renumbered)))
    expected = fit(defense, poisoned).params["item"]
    assert torch.equal(fit(defense, shuffled).params["item"], expected)
