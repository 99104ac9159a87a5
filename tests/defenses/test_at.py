"""Adversarial training of a rating loss: its shift by hand, and what it shares with apr."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.data.scales import Scale
from recpoison.defenses.apr import APR
from recpoison.defenses.at import AT
from recpoison.defenses.none import NoDefense
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.models.bprmf import BPRMF
from recpoison.models.mf import MF
from recpoison.models.popularity import Popularity
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = MF(8, trainer=replace(MF().trainer, epochs=5, batch_size=64))


def fit(defense, model, data):
    return defense.fit(model, data, Seeds(0), CPU, Progress()).params


def one_rating(trainer: Trainer) -> MF:
    """A model that starts at p = (1, 0.5) and q = (0.6, -0.8), so that its score of the only pair is 0.2."""

    class Started(MF):
        def init(self, data, seeds):
            return {"user": torch.tensor([[1.0, 0.5]]), "item": torch.tensor([[0.6, -0.8]])}

    return Started(2, regularization=0, trainer=trainer)


@pytest.mark.parametrize(
    ("direction", "shift_p", "shift_q"),
    [  # rating 4 of 5: error -0.6, slope -1.2, so the gradients are -1.2 q = (-0.72, 0.96) and -1.2 p = (-1.2, -0.6)
        ("row_l2", (-0.06, 0.08), (-0.0894427, -0.0447214)),
        ("sign", (-0.1, 0.1), (-0.1, -0.1)),
        ("matrix_l2", (-0.04, 0.0533333), (-0.0666667, -0.0333333)),  # common length 1.8
        ("value", (-0.072, 0.096), (-0.12, -0.06)),
    ],
)
@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_one_step_by_hand(direction, shift_p, shift_q, backend):
    """Each row moves against the gradient at the tables plus half the gradient at the shifted tables."""
    data = Interactions(np.array([0]), np.array([0]), np.array([4.0]), 1, 1, Scale(1, 5, 1))
    model = one_rating(Trainer(1, 4, "sgd", 0.25, backend=backend))
    got = fit(AT(epsilon=0.1, weight=0.5, direction=direction), model, data)
    p, q = np.array([1.0, 0.5]), np.array([0.6, -0.8])
    moved_p, moved_q = p + shift_p, q + shift_q
    slope = 2 * (moved_p @ moved_q - 0.8)
    want_p = p - 0.25 * (-1.2 * q + 0.5 * slope * moved_q)
    want_q = q - 0.25 * (-1.2 * p + 0.5 * slope * moved_p)
    np.testing.assert_allclose(got["user"][0], want_p, atol=2e-6)
    np.testing.assert_allclose(got["item"][0], want_q, atol=2e-6)


@pytest.mark.parametrize("model", [SMALL, BPRMF(8, trainer=Trainer(5, 64))], ids=["mf", "bprmf"])
def test_along_rows_it_is_apr_without_a_plain_phase_bit_for_bit(planted, model):
    got, want = (fit(defense, model, planted.train) for defense in (AT(), APR(epsilon=0.03, from_epoch=0)))
    for name, table in fit(NoDefense(), model, planted.train).items():
        assert torch.equal(got[name], want[name])
        assert (got[name] - table).abs().max() > 1e-3, "the adversary changed nothing"


@pytest.mark.parametrize("direction", ["row_l2", "sign", "matrix_l2", "value"])
def test_it_trains_any_model_with_tables(planted, direction):
    """By its own kernel where there is one for the direction, and by autograd elsewhere: bprmf either way."""
    model = BPRMF(8, trainer=Trainer(5, 64))
    plain = fit(AT(epsilon=0.0, direction=direction), model, planted.train)
    moved = fit(AT(epsilon=0.3, direction=direction), model, planted.train)
    assert (moved["item"] - plain["item"]).abs().max() > 1e-3


def test_weight_0_is_the_plain_fit_bit_for_bit(planted):
    want = fit(NoDefense(), SMALL, planted.train)
    for name, table in fit(AT(weight=0.0), SMALL, planted.train).items():
        assert torch.equal(table, want[name])


def test_settings_out_of_range_and_models_without_a_gradient():
    with pytest.raises(ConfigError, match=r"defense\.epsilon is -1"):
        AT(epsilon=-1.0)
    with pytest.raises(ConfigError, match=r"defense\.direction is 'l1': choose one of row_l2, matrix_l2, sign, value"):
        AT(direction="l1")
    with pytest.raises(IncompatibleParts, match="adversarial training needs a model that names its embeddings"):
        AT().check_model(Popularity())
