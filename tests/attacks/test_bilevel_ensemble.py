"""Several surrogates: means that no surrogate drowns, and a result that helps against each."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.bilevel import Look
from recpoison.attacks.profiles.bilevel_ensemble import BilevelEnsembleAttack, _mean
from recpoison.attacks.profiles.outer import OuterOptimizer
from recpoison.attacks.profiles.unrolled import UnrolledTraining
from recpoison.attacks.targets import Targets
from recpoison.data.synthetic import Synthetic
from recpoison.descriptions import code_version, describe, digest, identity
from recpoison.errors import ConfigError
from recpoison.models.item_ae import ItemAE
from recpoison.models.wrmf import WRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
NONE = torch.zeros(0, dtype=torch.int64)


def adam(rate):
    return Trainer(epochs=25, batch_size=1000, optimizer="adam", learning_rate=rate, eps=1e-8)


@dataclass(frozen=True)
class Edited(ItemAE):
    """A user's own model, whose code is read too."""


MF = WRMF(embedding_size=8, regularization=0.01, trainer=adam(0.2))
AE = ItemAE((16, 8), "selu", regularization=0.0, trainer=adam(0.03))


def attack(surrogates, **settings):
    return BilevelEnsembleAttack(targets=Targets("list", (0,)), n_fake_users=40, surrogates=surrogates, **settings)


@pytest.fixture
def data():
    return (
        Synthetic(name="small", n_users=150, n_items=80, rank=8, threshold=3.0).load(None, Seeds(0), Progress()).train
    )


def looks(made, data, shown):
    """What the ensemble and each of its members say."""
    seeds, targets = Seeds(0), torch.tensor([0])
    whole = made._surrogate(data, targets, 40, seeds, CPU)(shown, True)
    each = [
        UnrolledTraining(made, model, "", data, targets, 40, seeds.child(name), CPU)(shown, True)
        for name, model in made.surrogates.items()
    ]
    return whole, each


def some_fakes(data):
    return torch.from_numpy((np.random.default_rng(1).random((40, data.n_items)) < 0.2).astype(np.float32))


def test_one_surrogate_is_itself(data):
    whole, (alone,) = looks(attack({"only": AE}), data, some_fakes(data))
    assert whole[:2] == alone[:2]
    torch.testing.assert_close(whole.gradient, alone.gradient)


def test_objective_and_hits_are_means_and_each_direction_counts_alike(data):
    whole, (mf, ae) = looks(attack({"wrmf": MF, "item_ae": AE}), data, some_fakes(data))
    assert whole.objective == pytest.approx((mf.objective + ae.objective) / 2)
    assert whole.hit_ratio == pytest.approx((mf.hit_ratio + ae.hit_ratio) / 2)
    cosines = [torch.nn.functional.cosine_similarity(whole.gradient, g.gradient, dim=1) for g in (mf, ae)]
    torch.testing.assert_close(*cosines, rtol=1e-3, atol=1e-4)
    assert (cosines[0] > 0).all()


def test_means_by_hand():
    pair = [
        Look(4.0, 0.5, torch.tensor([[3.0, 4.0, 9.0], [0.0, 0.0, 1.0]])),
        Look(2.0, 0.0, torch.tensor([[0.0, 1e-3, 0.0], [0.0, 2.0, 0.0]])),
    ]
    found = _mean(pair, torch.tensor([2]))
    assert found[:2] == (3.0, 0.25)
    # Row 0: directions (0.6, 0.8) and (0, 1), lengths 5 and 0.001. Row 1: nothing and (0, 1), lengths 0 and 2.
    wanted = torch.tensor([[0.3 * 2.5005, 0.9 * 2.5005, 0.0], [0.0, 0.5, 0.0]])
    torch.testing.assert_close(found.gradient, wanted)
    assert _mean([Look(4.0, 0.5, None)], NONE).gradient is None


@pytest.mark.slow
def test_the_target_rises_on_both_and_the_result_rescores_identically(data):
    made, seeds = attack({"wrmf": MF, "item_ae": AE}, outer=OuterOptimizer(iterations=8)), Seeds(0)
    change = made.poison(data, np.array([0]), seeds, CPU, Progress())
    assert len(change.trace["HR"]) == len(change.trace["Objective"]) == 9
    assert change.trace["HR"].max() > change.trace["HR"][0] + 0.15
    start, best = torch.zeros(40, data.n_items), torch.zeros(40, data.n_items)
    best[change.profile, change.items] = 1
    again = made._surrogate(data, torch.tensor([0]), 40, seeds.child("attack", "surrogate"), CPU)(best, False)
    assert again.hit_ratio == change.trace["HR"].max()
    for before, after in zip(looks(made, data, start)[1], looks(made, data, best)[1], strict=True):
        assert after.hit_ratio > before.hit_ratio + 0.1


def test_a_mapping_of_models_is_described_and_hashed():
    made, turned = attack({"wrmf": MF, "item_ae": AE}), attack({"item_ae": AE, "wrmf": MF})
    assert describe(made)["surrogates"]["item_ae"]["hidden"] == [16, 8]
    assert digest(identity(made)) == digest(identity(turned))
    assert digest(identity(made)) != digest(identity(attack({"wrmf": MF})))
    assert hash(made) == hash(turned)
    assert made == turned
    assert code_version(made) != code_version(attack({"wrmf": MF, "item_ae": Edited()}))


def test_there_must_be_a_surrogate():
    with pytest.raises(ConfigError, match=r"attack\.surrogates is empty"):
        attack({})
