"""What is said of a fit that learned nothing. On planted blocks popularity's HR@5 is 5 of 21 equal candidates."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from recpoison.attacks.profiles.random import RandomAttack
from recpoison.attacks.targets import Targets
from recpoison.data.synthetic import Planted
from recpoison.evaluation import learning
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.evaluation.learning import Losses, Rates, learned_nothing
from recpoison.evaluation.sampled import Sampled
from recpoison.experiment import Parts, run
from recpoison.models.bprmf import BPRMF
from recpoison.models.item_knn import ItemKNN
from recpoison.models.popularity import Popularity
from recpoison.models.random import RandomModel
from recpoison.progress import Progress
from recpoison.stages.fit import _HeardLosses
from recpoison.stages.store import Store
from recpoison.training.trainer import Trainer

PLANTED, FIVE = Planted("planted", 40), FullRanking(metrics=("AUC",), cutoffs=(1, 5))
WILD = BPRMF(8, trainer=Trainer(5, learning_rate=1e6))
BELOW = [Rates(5, 0.1, 0.3, 40, 40), Rates(5, 0.2, 0.3, 40, 40)]


@dataclass(frozen=True)
class Backwards(ItemKNN):
    """Recommends what a neighbour model likes least."""

    def scores(self, params, data, users):
        return -super().scores(params, data, users)


def told(model, evaluation=FIVE, **options) -> list[str]:
    notes = run(Parts(PLANTED, model, evaluation=evaluation), **options).about["notes"]
    return [note for note in notes if not note.startswith("ties decide")]


def test_a_model_below_popularity_is_told_with_both_numbers_whatever_is_measured():
    assert told(Backwards(40)) == [
        f"Backwards learned nothing: its HR@5 on held-out items is 0.0000, below popularity's {5 / 21:.4f}, "
        "without attack and defense; try other settings of the model"
    ]
    numbers = run(Parts(PLANTED, Popularity(), evaluation=FullRanking(metrics=("HR",), cutoffs=(5,)))).metrics()
    assert numbers.value.tolist() == pytest.approx([5 / 21])


@pytest.mark.parametrize("model", [ItemKNN(40), BPRMF(8, trainer=Trainer(5)), Popularity(), RandomModel()])
def test_nothing_is_said_of_what_learned_or_need_not_learn(model):
    assert told(model) == []


def test_of_many_users_some_are_asked(monkeypatch):
    """Every third of 40 users: 14."""
    monkeypatch.setattr(learning, "MOST_USERS", 15)
    (note,) = told(Backwards(40))
    assert f"below popularity's {5 / 21:.4f} (of 14 of 40 users), " in note
    (note,) = told(Backwards(40), Sampled(metrics=("HR",), cutoffs=(5,), n_negatives=10))
    assert "learned nothing: its HR@5 on held-out items is 0.0000, below popularity's 0." in note


def test_a_loss_that_rose_is_told_computed_and_reused_and_of_the_plain_fit_alone(tmp_path: Path):
    heard: list[tuple[int, float]] = []

    class Spy(Progress):
        def step(self, done, total, **figures):
            if "loss" in figures:
                heard.append((done, figures["loss"]))

    attack = RandomAttack(targets=Targets(rule="list", items=(40,)), n_fake_users=2)
    parts = Parts(PLANTED, WILD, attack, evaluation=FIVE)
    first, again = (run(parts, store=Store(tmp_path), progress=Spy()) for _ in range(2))
    assert all(cost.reused for cost in again.costs)
    assert [done for done, _ in heard] == [1, 2, 3, 4, 5] * 2, "the clean fit, then the attacked one"
    note = (
        f"BPRMF may have learned nothing: its loss went from {heard[0][1]:.4g} in the first epoch to "
        f"{heard[4][1]:.4g} in the last, without attack and defense; "
        "try another model.trainer.learning_rate (now 1e+06) or model.trainer.epochs (now 5)"
    )
    assert heard[4][1] > heard[0][1]
    assert first.about["notes"][-1] == again.about["notes"][-1] == note
    assert first.metrics().equals(again.metrics())


@pytest.mark.parametrize(
    ("rates", "losses", "start"),
    [
        (BELOW, [Losses(1, 0.5)], "m ranks worse than popularity: its HR@5 on held-out items is 0.1500, below "),
        (BELOW, [Losses(1, 0.5), Losses(1, 1.5)], "m learned nothing: its HR@5 on held-out items is 0.1500, below "),
        ([], [Losses(1, 1.5)], "m may have learned nothing: its loss went from 1 in the first epoch to 1.5 in the "),
    ],
)
def test_means_over_seeds_decide(rates, losses, start):
    (note,) = learned_nothing("m", WILD, rates, losses)
    assert note.startswith(start)
    assert learned_nothing("m", WILD, [Rates(5, 0.3, 0.3, 40, 40)], [Losses(1, 0.9)]) == []
    assert learned_nothing("m", WILD, [], []) == []


@pytest.mark.parametrize(
    ("steps", "losses"),
    [
        ([(1, 3, 5.0), (2, 3, 9.0), (3, 3, 4.0)], Losses(5.0, 4.0)),
        ([(1, 2, 5.0), (2, 2, 4.0), (1, 2, 3.0), (2, 2, 2.0)], Losses(3.0, 2.0)),
        ([(3, 4, 5.0), (4, 4, 4.0)], None),
        ([(1, 1, 5.0)], None),
    ],
    ids=["one loop", "the last of two", "gone on from a checkpoint", "one epoch"],
)
def test_losses_are_those_of_a_whole_loop(steps, losses):
    heard = _HeardLosses(Progress())
    for done, total, loss in steps:
        heard.step(done, total, loss=loss)
    assert heard.losses == losses
