"""What vat and pamacf share: ``apr`` where users are alike, another fit where they differ, and what is refused."""

from dataclasses import replace

import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.defenses.apr import APR
from recpoison.errors import ConfigError, IncompatibleParts
from recpoison.models.bprmf import BPRMF
from recpoison.models.lightgcn import LightGCN
from recpoison.models.mf import MF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
MODELS = {
    "bprmf": BPRMF(8, initial_std=0.4, trainer=Trainer(4, 64)),
    "lightgcn": LightGCN(8, shifted="final", trainer=replace(LightGCN().trainer, epochs=3, batch_size=64)),
}


def fit(defense, model, data) -> torch.Tensor:
    return defense.fit(model, data, Seeds(0), CPU, Progress()).params["user"]


def trains_as_apr_where_users_are_alike(defense) -> None:
    """Every user has two of four items and starts as every other: one batch an epoch keeps them alike."""

    class Alike(BPRMF):
        def init(self, data, seeds):
            return {"user": torch.full((6, 8), 0.3), "item": torch.full((4, 8), 0.2)}

    data = Interactions([u for u in range(6) for _ in range(2)], [0, 1] * 6, [1.0] * 12, 6, 4)
    model = Alike(8, trainer=Trainer(1, 12, "sgd", 0.05))
    want = fit(APR(epsilon=0.3, unit="instance", from_epoch=0), model, data)
    torch.testing.assert_close(fit(defense(epsilon=0.3, from_epoch=0), model, data), want, atol=1e-6, rtol=0)
    farther = fit(defense(epsilon=0.3, user_lambda=1.0, from_epoch=0), model, data)
    near = fit(APR(epsilon=0.15, unit="instance", from_epoch=0), model, data)
    torch.testing.assert_close(farther, near, atol=1e-6, rtol=0)
    assert (farther - want).abs().max() > 1e-4


def all_differ(defenses, model, data) -> None:
    fits = [fit(defense, model, data) for defense in defenses]
    for place, one in enumerate(fits):
        assert torch.isfinite(one).all()
        for two in fits[:place]:
            assert (one - two).abs().max() > 1e-5


def refuses(defense, setting: str, choices: str) -> None:
    name = defense.__name__
    with pytest.raises(IncompatibleParts, match=f"{name} needs a model trained on triples, and MF is not: choose"):
        defense().check_model(MF())
    with pytest.raises(
        ConfigError, match=rf"{name} shifts the rows of a triple, after propagation: set model\.shifted"
    ):
        defense().check_model(LightGCN())
    with pytest.raises(ConfigError, match=rf"defense\.{setting} is 'x': choose one of {choices}"):
        defense(**{setting: "x"})
    with pytest.raises(ConfigError, match=r"defense\.user_lambda is -1"):
        defense(user_lambda=-1)
