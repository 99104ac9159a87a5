"""PamaCF: what it is where users are alike, what its choice changes, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.defenses.apr import APR
from recpoison.defenses.pamacf import PamaCF
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.models.bprmf import BPRMF
from recpoison.models.lightgcn import LightGCN
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
MODEL = BPRMF(8, initial_std=0.4, trainer=Trainer(4, 64))
GRAPH = LightGCN(8, shifted="final", trainer=replace(LightGCN().trainer, epochs=3, batch_size=64))


def fit(defense, model, data) -> torch.Tensor:
    return defense.fit(model, data, Seeds(0), CPU, Progress()).params["user"]


def test_users_who_are_alike_train_as_with_apr():
    """Every user has two of four items and starts as every other: one batch an epoch keeps them alike."""

    class Alike(BPRMF):
        def init(self, data, seeds):
            return {"user": torch.full((6, 8), 0.3), "item": torch.full((4, 8), 0.2)}

    data = Interactions([u for u in range(6) for _ in range(2)], [0, 1] * 6, [1.0] * 12, 6, 4)
    model = Alike(8, trainer=Trainer(1, 12, "sgd", 0.05))
    want = fit(APR(epsilon=0.3, unit="instance", from_epoch=0), model, data)
    torch.testing.assert_close(fit(PamaCF(epsilon=0.3, from_epoch=0), model, data), want, atol=1e-6, rtol=0)
    farther = fit(PamaCF(epsilon=0.3, user_lambda=1.0, from_epoch=0), model, data)
    near = fit(APR(epsilon=0.15, unit="instance", from_epoch=0), model, data)
    torch.testing.assert_close(farther, near, atol=1e-6, rtol=0)
    assert (farther - want).abs().max() > 1e-4


@pytest.mark.parametrize("model", [MODEL, GRAPH], ids=["bprmf", "lightgcn"])
def test_its_choice_matters_where_they_differ(planted, model):
    fits = [
        fit(defense, model, planted.train)
        for defense in (PamaCF(), PamaCF(length="plain"), APR(unit="instance"), PamaCF(weight=0.0))
    ]
    for place, one in enumerate(fits):
        assert torch.isfinite(one).all()
        for two in fits[:place]:
            assert (one - two).abs().max() > 1e-5


def test_what_it_refuses():
    with pytest.raises(IncompatibleParts, match="PamaCF needs a model trained on triples, and MF is not: choose"):
        PamaCF().check_model(MF())
    with pytest.raises(ConfigError, match=r"PamaCF shifts the rows of a triple, after propagation: set model\.shifted"):
        PamaCF().check_model(LightGCN())
    with pytest.raises(ConfigError, match=r"defense\.length is 'x': choose one of square, plain"):
        PamaCF(length="x")
    with pytest.raises(ConfigError, match=r"defense\.user_lambda is -1"):
        PamaCF(user_lambda=-1)
