"""Adversarial personalised ranking as a defense: its schedule, its limits and what it refuses."""

from dataclasses import replace

import pytest
import torch

from recpoison.algebra.perturbation import direction
from recpoison.data.synthetic import Synthetic
from recpoison.defenses.apr import APR
from recpoison.defenses.none import NoDefense
from recpoison.errors import ConfigError, IncompatibleParts, UserError
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.base import Monitor, Params
from recpoison.models.bprmf import BPRMF
from recpoison.models.item_knn import ItemKNN
from recpoison.models.lightgcn import LightGCN
from recpoison.models.mf import MF
from recpoison.models.popularity import Popularity
from recpoison.models.wrmf import WRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.adversarial import AdversarialBPR
from recpoison.training.checkpoint import Checkpoint
from recpoison.training.objectives import BPRObjective
from recpoison.training.trainer import Trainer, result

QUIET, CPU = Progress(), torch.device("cpu")
BPR = BPRMF(8, trainer=Trainer(6, 64))


def same(got: Params, want: Params) -> None:
    assert got.keys() == want.keys()
    for name in want:
        assert torch.equal(got[name], want[name]), name


def fit(defense, model, data, seeds, progress=QUIET, monitor=None) -> Params:
    return defense.fit(model, data, seeds, CPU, progress, monitor).params


@pytest.mark.parametrize("model", [BPR, MF(8, trainer=replace(MF().trainer, epochs=4)), WRMF(8)])
def test_weight_0_is_the_plain_fit_bit_for_bit(planted, seeds, model):
    monitor = Monitor(1, lambda epoch, params: -abs(epoch - 2))
    for watching in (None, monitor):
        want = fit(NoDefense(), model, planted.train, seeds, monitor=watching)
        same(fit(APR(weight=0.0), model, planted.train, seeds, monitor=watching), want)


def by_hand(data, seeds, *, restart) -> Params:
    """Two epochs of plain training, then four with the adversary."""
    plain = BPRObjective(data, seeds.child("train"))
    state = replace(BPR.trainer, epochs=2).run(plain, BPR.trainer.start(BPR.init(data, seeds)), QUIET)
    if restart:
        for name in ("user", "item"):
            state[f"sum.{name}"] = torch.full_like(state[f"sum.{name}"], 0.1)
    return result(BPR.trainer.run(AdversarialBPR(plain, APR().inner_attack(), 1.0), state, QUIET))


@pytest.mark.parametrize("restart", [False, True])
def test_a_warm_start_is_training_up_to_there_and_going_on(planted, seeds, restart):
    defense = APR(from_epoch=2, restart_optimizer=restart)
    got = fit(defense, BPR, planted.train, seeds)
    same(got, by_hand(planted.train, seeds, restart=restart))
    other = fit(replace(defense, restart_optimizer=not restart), BPR, planted.train, seeds)
    assert (got["user"] - other["user"]).abs().max() > 1e-3, "restarting should matter"


def test_by_default_the_second_half_is_adversarial(planted, seeds):
    same(fit(APR(), BPR, planted.train, seeds), fit(APR(from_epoch=3), BPR, planted.train, seeds))


def test_looking_changes_nothing_and_sees_the_second_phase_only(planted, seeds):
    looked = []

    def score(epoch, params):
        looked.append(epoch)
        return float(epoch)

    want = fit(APR(from_epoch=2), BPR, planted.train, seeds)
    same(fit(APR(from_epoch=2), BPR, planted.train, seeds, monitor=Monitor(1, score)), want)
    assert looked == [3, 4, 5, 6]


class Died(Exception):
    pass


class Mortal(Progress):
    def __init__(self, after):
        self.after, self.epochs = after, []

    def step(self, done, total, **figures):
        self.epochs.append(done)
        if len(self.epochs) == self.after:
            raise Died


@pytest.mark.parametrize("after", [2, 5])
def test_a_killed_fit_goes_on_bit_for_bit(planted, seeds, tmp_path, after):
    """Killed before the adversary comes in, and after."""
    want = fit(APR(from_epoch=3), BPR, planted.train, seeds)
    with pytest.raises(Died), Checkpoint(Mortal(after), tmp_path, 0.0) as progress:
        fit(APR(from_epoch=3), BPR, planted.train, seeds, progress)
    second = Mortal(99)
    with Checkpoint(second, tmp_path, 0.0) as progress:
        same(fit(APR(from_epoch=3), BPR, planted.train, seeds, progress), want)
    assert second.epochs == list(range(after, 7)), "only the epoch that was cut short is done again"


def test_the_adversary_hurts_less_where_it_was_trained_against(planted, seeds):
    """How much the same FGSM step raises the training loss: 40 against 26 (epsilon 0.5, 400 epochs)."""
    model = replace(BPR, trainer=Trainer(400, 64))
    rises = []
    for defense in (NoDefense(), APR()):
        params = fit(defense, model, planted.train, seeds)
        batch = next(iter(model.objective(planted.train, seeds, CPU).batches(Trainer(1, 10_000), 0, CPU)))
        leaves = {table: tensor.clone().requires_grad_() for table, tensor in params.items()}
        loss = model.loss(leaves, batch)
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        shift = direction(dict(zip(leaves, gradients, strict=True)), "row_l2")
        rises.append((model.loss({t: params[t] + 0.5 * shift[t] for t in params}, batch) - loss).item())
    assert rises[1] < 0.75 * rises[0], rises


@pytest.mark.parametrize("model", [Popularity(), ItemKNN()])
def test_a_model_without_gradients_is_refused_before_work_is_done(tmp_path, model):
    dataset = Synthetic("s", 40, 30, 3, 1.0)
    with pytest.raises(IncompatibleParts, match=rf"{type(model).__name__} does not: choose model=bprmf"):
        run(Parts(dataset, model, defense=APR(), evaluation=FullRanking()), data_dir=tmp_path / "none")
    with pytest.raises(IncompatibleParts):
        APR().fit(model, dataset.load(None, Seeds(0), QUIET).train, Seeds(0), CPU, QUIET)


@pytest.mark.parametrize(
    ("settings", "model", "words"),
    [
        ({"from_epoch": 6}, BPR, "defense.from_epoch is 6, but model.trainer.epochs is 6"),
        ({"unit": "instance"}, MF(), "defense.unit=instance needs a model trained on triples, and MF is not"),
        (
            {"unit": "instance", "steps": 2},
            replace(BPR, trainer=Trainer(6, backend="numba")),
            "defense.unit=instance has a numba kernel for one step alone: set model.trainer.backend=auto",
        ),
        ({"unit": "instance"}, LightGCN(), "after propagation: set model.shifted=final"),
    ],
)
def test_what_a_model_does_not_allow(settings, model, words):
    with pytest.raises(UserError, match=words):
        APR(**settings).check_model(model)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"epsilon": -0.1}, "defense.epsilon is -0.1"),
        ({"epsilon": float("nan")}, "defense.epsilon is nan"),
        ({"weight": -1.0}, "defense.weight is -1"),
        ({"from_epoch": -1}, "defense.from_epoch is -1"),
        ({"steps": 0}, "defense.steps is 0"),
        ({"step_size": 0.0}, "defense.step_size is 0"),
        ({"start": "normal"}, "defense.start is 'normal': choose one of zero, uniform"),
        ({"start_width": -0.05}, "defense.start_width is -0.05"),
        ({"projection": "ball"}, "defense.projection is 'ball': choose one of box, row_l2, none"),
        ({"unit": "matrix"}, "defense.unit is 'matrix': choose one of row_batch, instance"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        APR(**setting)


def test_a_start_of_no_width_is_bim(planted, seeds):
    settings = {"from_epoch": 2, "steps": 2}
    want = fit(APR(**settings), BPR, planted.train, seeds)
    same(fit(APR(start="uniform", start_width=0.0, **settings), BPR, planted.train, seeds), want)
    narrow, wide = (
        fit(APR(start="uniform", start_width=width, **settings), BPR, planted.train, seeds) for width in (0.05, 0.5)
    )
    shifts = [(table["item"] - want["item"]).norm().item() for table in (narrow, wide)]
    assert 0 < shifts[0] < shifts[1]


def test_steps_are_epsilon_long_or_a_quarter():
    assert [APR(steps=n).inner_attack().length for n in (1, 2, 10)] == [0.5, 0.125, 0.125]
    assert APR(steps=2, step_size=0.3).inner_attack().length == 0.3
