"""What APT and APT-rand share: when ERM users come and go, what they rate, and what is refused."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from recpoison.attacks.none import NoAttack
from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.targets import Targets
from recpoison.data.interactions import Interactions, Scale
from recpoison.data.synthetic import Planted, Synthetic
from recpoison.defenses.apt import APT
from recpoison.defenses.apt_rand import APTRand
from recpoison.defenses.erm_users import NOBODY, PoisonedRatings, start_with
from recpoison.defenses.none import NoDefense
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.base import Monitor, Watch
from recpoison.models.bprmf import BPRMF
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.checkpoint import Checkpoint
from recpoison.training.trainer import Trainer, result

QUIET, CPU, SEEDS = Progress(), torch.device("cpu"), Seeds(0)
TRAINER = Trainer(epochs=10, batch_size=256, optimizer="adagrad", learning_rate=1.0)
MODEL = MF(8, trainer=TRAINER)
SETTINGS = {"erm_users": 0.1, "fillers": 12, "pre_training": 3, "interval": 3}
DEFENSES = [pytest.param(kind(**SETTINGS), id=kind.__name__) for kind in (APT, APTRand)]


def ratings() -> Interactions:
    """60 users who rated about 25 of 50 items; item 7 has two ratings of 1, and item 8 none."""
    rng = np.random.default_rng(5)
    liking = 3 + rng.standard_normal((60, 3)) @ rng.standard_normal((3, 50))
    users, items = np.nonzero((rng.random(liking.shape) < 0.5) & ~np.isin(np.arange(50), (7, 8)))
    values = np.clip(np.rint(liking[users, items]), 1, 5)
    return Interactions([*users, 0, 1], [*items, 7, 7], [*values, 1, 1], n_users=60, n_items=50, scale=Scale(1, 5))


@pytest.fixture(scope="module")
def data() -> Interactions:
    return ratings()


@dataclass(frozen=True)
class Rated(Synthetic):
    """These ratings, one of each user held out."""

    @property
    def has_ratings(self):
        return True

    def read(self, data_dir, seeds, progress):
        return ratings()


class Recording(PoisonedRatings):
    """Keeps what every epoch was trained on, and the tables after it."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.items, self.values, self.rows, self.tables = [], [], [], []

    def epoch(self, trainer, state, epoch):
        loss = super().epoch(trainer, state, epoch)
        self.items.append(state["erm.items"].clone().numpy())
        self.values.append(state["erm.values"].clone().numpy())
        self.rows.append(len((self._poisoned[1] if self._poisoned else self.plain).ratings))
        self.tables.append(state["param.user"].clone())
        return loss


def recorded(defense, data, model=MODEL, rated=None) -> Recording:
    shape = defense.count(data.n_users), defense.fillers
    objective = Recording(defense, model, data, rated or data, Seeds(0), CPU, QUIET)
    state = model.trainer.run(objective, start_with(shape, model, data, Seeds(0), CPU), QUIET)
    objective.result = result(state)
    return objective


def fit(defense, data, model=MODEL, seeds=SEEDS, progress=QUIET, monitor=None):
    return defense.fit(model, data, seeds, CPU, progress, monitor)


@pytest.mark.parametrize("defense", DEFENSES)
def test_users_are_replaced_and_not_accumulated(defense, data):
    """Renewed before the epochs 3, 6 and 9; always six of them, with twelve items each."""
    seen = recorded(defense, data)
    assert seen.rows == [len(data)] * 3 + [len(data) + 6 * 12] * 7
    for epoch in range(1, 10):
        same = np.array_equal(seen.items[epoch], seen.items[epoch - 1])
        assert same == (epoch not in (3, 6, 9)), epoch
    assert (seen.items[2] == NOBODY).all()
    for items in seen.items[3:]:
        assert items.shape == (6, 12)
        assert all(len(set(row)) == 12 for row in items.tolist())
        assert ((items >= 0) & (items < data.n_items)).all()


@pytest.mark.parametrize("defense", DEFENSES)
@pytest.mark.parametrize("initial", ["xavier", "xavier_own", "normal"])
@pytest.mark.parametrize(("optimizer", "rate"), [("adagrad", 1.0), ("sgd", 1.0), ("adam", 0.01)])
def test_before_they_come_it_is_the_plain_fit_bit_for_bit(defense, data, initial, optimizer, rate):
    """For each initial value and optimiser; one epoch with them shows."""
    model = replace(MODEL, initial=initial, trainer=replace(TRAINER, optimizer=optimizer, learning_rate=rate, epochs=5))
    looked = {}
    watch = Watch(1, lambda epoch, params: [looked.setdefault(epoch, params["user"].clone()).sum().item()])
    fit(defense, data, model, monitor=Monitor(watch=watch))
    for epochs in (2, 3, 4):
        plain = fit(NoDefense(), data, replace(model, trainer=replace(model.trainer, epochs=epochs))).params["user"]
        assert looked[epochs].shape == plain.shape
        assert torch.equal(looked[epochs], plain) == (epochs <= 3)
    assert sorted(watch.seen) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("defense", DEFENSES)
def test_nobody_is_served_by_an_erm_users_row(defense, data):
    fitted = fit(defense, data)
    assert fitted.data is data
    assert {name: tuple(table.shape) for name, table in fitted.params.items()} == {"user": (60, 8), "item": (50, 8)}
    assert torch.equal(fitted.params["user"], recorded(defense, data).result["user"][:60])


@pytest.mark.parametrize("defense", DEFENSES)
def test_embeddings_of_erm_users_outlive_a_renewal(defense, data):
    """They were learned in the epochs 3 to 5, and 6 goes on from there."""
    seen = recorded(defense, data)
    start = start_with((6, 12), MODEL, data, Seeds(0), CPU)["param.user"]
    assert torch.equal(seen.tables[2][60:], start[60:]), "nothing moves them before they come"
    learned = [(table[60:] - start[60:]).norm() for table in seen.tables]
    assert learned[3] > 0.1
    assert learned[6] > learned[3] / 2


@pytest.mark.parametrize("defense", DEFENSES)
def test_the_same_seed_gives_the_same_numbers_and_another_does_not(defense, data):
    one, again, other = (fit(defense, data, seeds=Seeds(seed)).params["item"] for seed in (3, 3, 4))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_ratings_are_the_items_own_and_a_shift_on_the_grid(data):
    """Of an item with two ratings of 1 it is 1 and the shift, without spread; others average near their means."""
    many = APTRand(n_erm_users=400, fillers=50, pre_training=0, interval=20, shift=0.0)
    seen = recorded(many, data)
    items, values = seen.items[0], seen.values[0]
    assert set(values.ravel()) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert (values[items == 7] == 1).all()
    for item in (3, 20):
        own = data.values[data.items == item]
        drawn = Scale(1, 5).snap(np.random.default_rng(0).normal(own.mean(), own.std(), 100_000))
        assert values[items == item].mean() == pytest.approx(drawn.mean(), abs=4 * drawn.std() / 20)
        assert values[items == item].std() == pytest.approx(drawn.std(), rel=0.15)
    higher = recorded(replace(many, shift=2.0), data)
    assert (higher.values[0][higher.items[0] == 7] == 3).all()
    assert higher.values[0].max() == 5
    half = recorded(replace(many, shift=0.5), replace(data, scale=Scale(1, 5, 0.5)))
    assert (half.values[0][half.items[0] == 7] == 1.5).all()


def attacked(data: Interactions) -> Interactions:
    attack = AverageAttack(targets=Targets("list", [7]), n_fake_users=15, fillers=10)
    return attack.poison(data, np.array([7]), Seeds(0), CPU, QUIET).apply(data)


@pytest.mark.parametrize("kind", [APT, APTRand])
def test_an_oracle_rates_items_as_before_the_attack(kind, data):
    """Item 7 had two ratings of 1, and then fifteen of 5."""
    poisoned = attacked(data)
    defense = kind(n_erm_users=40, fillers=50, pre_training=3, interval=20, statistics="before", shift=0.0)
    told = recorded(defense, poisoned, rated=data)
    assert (told.values[3][told.items[3] == 7] == 1).all()
    known = defense.fit(MODEL, poisoned, Seeds(0), CPU, QUIET, before=data)
    assert torch.equal(known.params["user"], told.result["user"][: poisoned.n_users])
    unknown = replace(defense, statistics="data")
    blind = recorded(unknown, poisoned)
    assert blind.values[3][blind.items[3] == 7].mean() > 4
    assert torch.equal(
        unknown.fit(MODEL, poisoned, Seeds(0), CPU, QUIET, before=data).params["item"], blind.result["item"]
    )
    with pytest.raises(ConfigError, match=r"defense\.statistics is before, but nobody has said"):
        fit(defense, poisoned)


def parts(defense, **others) -> Parts:
    attack = AverageAttack(targets=Targets("list", [7]), budget=0.25, fillers=10)
    given = {"dataset": Rated("rated"), "model": MODEL, "attack": attack} | others
    return Parts(**given, defense=defense, evaluation=FullRanking(cutoffs=(10,), metrics=("HR",)))


def test_a_run_tells_the_oracle_and_says_that_it_is_one():
    defense = APTRand(pre_training=3, statistics="before")
    whole = parts(defense)
    (remark,) = [text for text in whole.remarks if "oracle" in text]
    assert "defense.statistics=before" in remark
    blind = parts(replace(defense, statistics="data"))
    assert not [text for text in blind.remarks if "oracle" in text]
    assert "defense.statistics" in parts(defense, attack=NoAttack()).idle
    one, other = (
        {(result.cell.attack, result.cell.defense): result.seen.test.above for result in run(each, [0]).results}
        for each in (whole, blind)
    )
    differ = {cell for cell in one if not np.array_equal(one[cell], other[cell])}
    assert len(one) == 4
    assert differ == {("AverageAttack", "APTRand")}, "without an attack there is nothing to know"


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_killed_fit_goes_on_to_the_same_numbers(defense, data, tmp_path):
    """Killed in the middle of a generation, so that its users must come from the checkpoint."""
    want = fit(defense, data).params

    class Stop(Exception):
        pass

    class Killed(Progress):
        def step(self, done, total, **figures):
            if done == 6:
                raise Stop

    with Checkpoint(Killed(), tmp_path, 0) as progress, pytest.raises(Stop):
        fit(defense, data, progress=progress)
    steps = []

    class Steps(Progress):
        def step(self, done, total, **figures):
            steps.append(done)

    with Checkpoint(Steps(), tmp_path, 0) as progress:
        got = fit(defense, data, progress=progress).params
    assert steps == [6, 7, 8, 9, 10]
    assert all(torch.equal(got[name], want[name]) for name in want)


@pytest.mark.parametrize("defense", DEFENSES)
def test_a_chosen_epoch_is_of_real_users(defense, data):
    """The best of the epochs is one of those that were looked at."""
    looked = {}

    def score(epoch, params):
        looked[epoch] = params["user"].clone()
        return -abs(epoch - 5)

    fitted = fit(defense, data, monitor=Monitor(1, score))
    assert torch.equal(fitted.params["user"], looked[5])


@pytest.mark.parametrize("kind", [APT, APTRand])
def test_defaults_follow_the_data(kind, data):
    """Three fifths of the epochs, 5% of the users, and fillers as many as the mean user has items."""
    defense = kind()
    assert defense.begin(MF().trainer) == 15
    assert defense.count(943) == 47
    assert defense._length(data) == round(len(data) / 60)
    assert kind(n_erm_users=50).count(10) == 50


@pytest.mark.parametrize("kind", [APT, APTRand])
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("erm_users", 0.0),
        ("erm_users", 1.5),
        ("n_erm_users", 0),
        ("fillers", 0),
        ("fillers", "median"),
        ("shift", float("nan")),
        ("statistics", "clean"),
        ("pre_training", -1),
        ("interval", 0),
    ],
)
def test_settings_out_of_range(kind, name, wrong):
    with pytest.raises(ConfigError, match=f"defense.{name} is"):
        kind(**{name: wrong})


@pytest.mark.parametrize("kind", [APT, APTRand])
def test_what_is_refused_before_any_work(kind, data):
    with pytest.raises(IncompatibleParts, match=r"BPRMF is fitted otherwise: choose model=mf"):
        parts(kind(), model=BPRMF(4))
    with pytest.raises(ConfigError, match=r"defense\.pre_training is 10, but model\.trainer\.epochs is 10"):
        parts(kind(pre_training=10))
    with pytest.raises(IncompatibleParts, match="works with ratings, and these data have none"):
        parts(kind(), dataset=Planted("planted", 40))
    implicit = replace(data, scale=None, values=np.ones(len(data)))
    with pytest.raises(IncompatibleParts, match="works with ratings, and these data have none"):
        fit(kind(), implicit)
    with pytest.raises(ConfigError, match=r"defense\.fillers is 51, but the catalogue has 50 items"):
        fit(kind(fillers=51), data)
    with pytest.raises(ConfigError, match=r"defense\.erm_users=0\.01 of 60 users is less than one"):
        fit(kind(erm_users=0.01), data)
