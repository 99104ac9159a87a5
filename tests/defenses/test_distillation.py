"""Distillation: its loss against the dense one, what the student learns, and its limits."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch.overrides import TorchFunctionMode

from recpoison.algebra.perturbation import direction
from recpoison.data.synthetic import Synthetic
from recpoison.defenses.distillation import Distillation, ScoreRegression
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.base import Monitor, Params, Watch
from recpoison.models.bprmf import BPRMF
from recpoison.models.item_knn import ItemKNN
from recpoison.models.mf import MF
from recpoison.models.wrmf import WRMF
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.checkpoint import Checkpoint
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.trainer import Diverged, Trainer

QUIET, CPU = Progress(), torch.device("cpu")
BPR = BPRMF(8, initial_std=0.1, trainer=Trainer(20, 64))


def tables(n_users: int, n_items: int, size: int, scale: float = 1.0, dtype=torch.float64, seed: int = 0) -> Params:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"user": (n_users, size), "item": (n_items, size)}
    return {name: scale * torch.randn(shape, generator=generator, dtype=dtype) for name, shape in shapes.items()}


def scores(params: Params) -> torch.Tensor:
    return params["user"] @ params["item"].T


def dense(params: Params, teacher: Params, temperature: float) -> tuple[torch.Tensor, Params]:
    """The matrix, and autograd."""
    leaves = {name: table.clone().requires_grad_() for name, table in params.items()}
    loss = (scores(leaves) - scores(teacher) / temperature).square().mean()
    return loss.detach(), dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


def student(teacher: Params, start: Params, *, epochs: int = 1, loss: float = 1.0, **settings) -> Params:
    defense = Distillation(**{"epochs": epochs, **settings})
    objective = ScoreRegression(teacher, defense.temperature, defense.inner_attack(), defense.weight)
    if loss != 1.0:
        objective.n_pairs /= loss
    return defense.trainer.fit(objective, start, QUIET)


def fit(defense, data, seeds, model=BPR, progress=QUIET, monitor=None) -> Params:
    return defense.fit(model, data, seeds, CPU, progress, monitor).params


@pytest.mark.parametrize("size", [3, 5, 8])
@pytest.mark.parametrize("temperature", [0.25, 1.0, 7.0])
def test_loss_and_gradient_are_those_of_the_matrix(size, temperature):
    params, teacher = tables(30, 40, size), tables(30, 40, 5, seed=1)
    want_loss, want = dense(params, teacher, temperature)
    loss, got = ScoreRegression(teacher, temperature, InnerAttack(), 0.0).loss_and_gradient(params)
    assert torch.allclose(loss, want_loss, rtol=1e-10, atol=0)
    for name in want:
        assert (got[name] - want[name]).norm() < 1e-10 * want[name].norm(), name


def test_the_adversarial_term_is_the_loss_at_rows_shifted_up_the_gradient():
    """The first step of SGD at rate 1 shows the gradient that is followed."""
    params, teacher = tables(30, 40, 4), tables(30, 40, 4, seed=1)
    clean = dense(params, teacher, 2.0)[1]
    shifted = {name: params[name] + 0.3 * rows for name, rows in direction(clean, "row_l2").items()}
    adverse = dense(shifted, teacher, 2.0)[1]
    trainer = Trainer(1, optimizer="sgd", learning_rate=1.0)
    got = trainer.fit(ScoreRegression(teacher, 2.0, InnerAttack(0.3), 0.7), params, QUIET)
    for name in params:
        want = params[name] - clean[name] - 0.7 * adverse[name]
        assert (got[name] - want).norm() < 1e-10 * (want - params[name]).norm(), name


def test_the_student_meets_a_teacher_of_its_size():
    teacher = tables(60, 80, 6, dtype=torch.float32)
    got = student(teacher, tables(60, 80, 6, 0.01, torch.float32, seed=1), epochs=500)
    assert (scores(got) - scores(teacher)).norm() < 1e-3 * scores(teacher).norm()


def test_a_smaller_student_meets_the_best_approximation_of_its_rank():
    """Eckart and Young: what is left is the singular values beyond its size."""
    teacher = tables(60, 80, 12, dtype=torch.float32)
    got = student(teacher, tables(60, 80, 5, 0.01, torch.float32, seed=1), epochs=800)
    least = torch.linalg.svdvals(scores(teacher))[5:].norm()
    assert least <= (scores(got) - scores(teacher)).norm() * (1 + 1e-5) < 1.001 * least


@pytest.mark.parametrize("temperature", [0.25, 4.0])
def test_temperature_divides_scores_and_shortens_rows(temperature):
    teacher, start = tables(60, 80, 6, dtype=torch.float32), tables(60, 80, 6, 0.01, torch.float32, seed=1)
    plain = student(teacher, start, epochs=500)
    got = student(teacher, start, epochs=500, temperature=temperature)
    want = scores(teacher) / temperature
    assert (scores(got) - want).norm() < 1e-3 * want.norm()
    shares = got["item"].norm(dim=1) / plain["item"].norm(dim=1)
    assert shares.mean().item() == pytest.approx(temperature**-0.5, rel=0.02)


def test_weight_0_is_plain_distillation_bit_for_bit(planted, seeds):
    want = fit(Distillation(epochs=30), planted.train, seeds)
    got = fit(Distillation(epochs=30, weight=0.0, epsilon=3.0), planted.train, seeds)
    assert all(torch.equal(got[name], want[name]) for name in want)
    other = fit(Distillation(epochs=30, weight=1.0, epsilon=3.0), planted.train, seeds)
    assert (other["user"] - want["user"]).abs().max() > 1e-2


def test_epsilon_0_is_plain_distillation_on_1_plus_weight_times_the_loss():
    teacher, start = tables(30, 40, 5), tables(30, 40, 5, 0.1, seed=1)
    got = student(teacher, start, epochs=50, weight=3.0, epsilon=0.0)
    want = student(teacher, start, epochs=50, loss=4.0)
    for name in want:
        assert torch.allclose(got[name], want[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("model", [BPR, MF(8, trainer=replace(MF().trainer, epochs=10)), WRMF(8)])
def test_a_fitted_student_scores_as_its_teacher(planted, seeds, model):
    fitted = Distillation(epochs=1000).fit(model, planted.train, seeds, CPU, QUIET)
    assert fitted.model is model
    assert fitted.data is planted.train
    teacher = model.fit(planted.train, seeds, CPU, QUIET)
    assert (scores(fitted.params) - scores(teacher)).norm() < 0.01 * scores(teacher).norm()
    assert (fitted.params["user"] - teacher["user"]).norm() > 0.1 * teacher["user"].norm(), "its own initial values"


def test_the_teacher_may_be_larger(planted, seeds):
    fitted = Distillation(teacher_embedding_size=16, epochs=400).fit(BPR, planted.train, seeds, CPU, QUIET)
    assert fitted.model is BPR
    assert fitted.params["user"].shape == (40, 8)
    teacher = scores(replace(BPR, embedding_size=16).fit(planted.train, seeds, CPU, QUIET))
    assert torch.corrcoef(torch.stack([scores(fitted.params).flatten(), teacher.flatten()]))[0, 1] > 0.95


def test_the_teachers_epochs_and_then_the_students_are_looked_at(planted, seeds):
    looked = []

    def score(epoch: int, params: Params) -> float:
        looked.append(epoch)
        return -abs(epoch - 4)

    got = fit(Distillation(epochs=7), planted.train, seeds, monitor=Monitor(2, score))
    assert looked == [*range(2, 21, 2), 2, 4, 6, 7]
    want = fit(Distillation(epochs=4), planted.train, seeds, replace(BPR, trainer=Trainer(4, 64)))
    assert all(torch.equal(got[name], want[name]) for name in want)


class Died(Exception):
    pass


class Mortal(Progress):
    def __init__(self, after: int) -> None:
        self.after, self.epochs = after, []

    def step(self, done, total, **figures):
        self.epochs.append((done, total))
        if len(self.epochs) == self.after:
            raise Died


@pytest.mark.parametrize("after", [5, 25])
def test_a_killed_fit_goes_on_bit_for_bit(planted, seeds, tmp_path, after):
    """Killed in the teacher's fit, and in the student's."""
    defense = Distillation(epochs=10, weight=1.0)
    want = fit(defense, planted.train, seeds)
    with pytest.raises(Died), Checkpoint(Mortal(after), tmp_path, 0.0) as progress:
        fit(defense, planted.train, seeds, progress=progress)
    second = Mortal(99)
    with Checkpoint(second, tmp_path, 0.0) as progress:
        got = fit(defense, planted.train, seeds, progress=progress)
    assert all(torch.equal(got[name], want[name]) for name in want)
    everything = [(epoch, 20) for epoch in range(1, 21)] + [(epoch, 10) for epoch in range(1, 11)]
    assert second.epochs == everything[after - 1 :], "only the epoch that was cut short is done again"


class Largest(TorchFunctionMode):
    """How many numbers the largest tensor holds that is made inside."""

    numbers = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.numbers = max(self.numbers, made.numel())
        return made


def test_memory_does_not_grow_with_pairs():
    """No tensor of a step on 90 million pairs is larger than a table."""
    teacher, start = tables(30_000, 3_000, 2, dtype=torch.float32), tables(30_000, 3_000, 2, 0.01, torch.float32)
    defense = Distillation()
    state = defense.trainer.start(start)
    objective = ScoreRegression(teacher, 1.0, InnerAttack(), 1.0)
    with Largest() as seen:
        assert objective.epoch(defense.trainer, state, 0) > 0
    assert seen.numbers == 30_000 * 2


@dataclass(frozen=True)
class Shifted(BPRMF):
    """Has the tables, but another score."""

    def scores(self, params, data, users):
        return super().scores(params, data, users) + 0.1 * params["item"].norm(dim=1)


@pytest.mark.parametrize("model", [ItemKNN(), WRMFALS(), Shifted()])
def test_other_scores_are_refused_before_work_is_done(tmp_path, model):
    dataset = Synthetic("s", 40, 30, 3, 1.0)
    words = rf"those of {type(model).__name__} are not: choose model=bprmf, mf or wrmf, or another defense"
    with pytest.raises(IncompatibleParts, match=words):
        run(Parts(dataset, model, defense=Distillation(), evaluation=FullRanking()), data_dir=tmp_path / "none")


def test_divergence_names_the_students_setting(planted, seeds):
    with pytest.raises(Diverged, match=r"lower defense\.learning_rate \(now 1e\+30\)"):
        fit(Distillation(learning_rate=1e30), planted.train, seeds)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"temperature": 0.0}, "defense.temperature is 0: give a finite number above 0"),
        ({"temperature": float("inf")}, "defense.temperature is inf"),
        ({"learning_rate": -1.0}, "defense.learning_rate is -1"),
        ({"weight": -1.0}, "defense.weight is -1"),
        ({"epsilon": -0.1}, "defense.epsilon is -0.1"),
        ({"epochs": 0}, "defense.epochs is 0: give 1 or more"),
        ({"teacher_embedding_size": 0}, "defense.teacher_embedding_size is 0"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        Distillation(**setting)


def test_seeds_decide(planted):
    one, again, other = (fit(Distillation(epochs=5), planted.train, Seeds(seed)) for seed in (0, 0, 1))
    assert torch.equal(one["item"], again["item"])
    assert not torch.equal(one["item"], other["item"])


def test_the_teacher_is_chosen_as_the_fit_without_the_defense(planted, seeds):
    """The first of the epochs is liked best, so that is the teacher's, and its scores are what the student meets."""
    model = replace(BPR, trainer=Trainer(6, 64))
    first = replace(model, trainer=Trainer(1, 64)).fit(planted.train, seeds, CPU, QUIET)
    last = model.fit(planted.train, seeds, CPU, QUIET)

    def is_student(params: Params) -> float:
        """Near to the first teacher: of its own epochs that likes the last, of the teacher's the first."""
        return -float((scores(params) - scores(first)).square().mean())

    watch = Watch(1, lambda epoch, params: [0.0])
    monitor = Monitor(1, lambda epoch, params: is_student(params), watch)
    student = fit(Distillation(epochs=400), planted.train, seeds, model, monitor=monitor)
    assert (scores(student) - scores(first)).abs().max() < 0.05 * scores(first).abs().max()
    assert (scores(student) - scores(last)).abs().max() > scores(first).abs().max()
    assert max(watch.seen) == 400, "the curve is the student's"
