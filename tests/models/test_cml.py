"""CML: settings, the loss and the scores by hand, gradients by differences, the kernel against torch."""

import math
from dataclasses import replace

import pytest
import torch

from recpoison.errors import ConfigError
from recpoison.models.cml import CML
from recpoison.progress import Progress
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
PLAIN = {"warp": False, "max_norm": None}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"embedding_size": 0}, "model.embedding_size is 0"),
        ({"negatives": 0}, "model.negatives is 0"),
        ({"margin": 0.0}, "model.margin is 0: give a finite number above 0"),
        ({"initial_std": float("nan")}, "model.initial_std is nan"),
        ({"covariance": -1.0}, "model.covariance is -1"),
        ({"regularization": -0.1}, "model.regularization is -0.1"),
        ({"max_norm": 0.0}, "model.max_norm is 0: .* or null for no bound"),
        ({"covariance": 1.0, "trainer": Trainer(backend="numba")}, "backend=numba has no model.covariance"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        CML(**setting)


def by_hand():
    return {"user": torch.tensor([[0.0, 0], [3, 0]]), "item": torch.tensor([[1.0, 0], [0, 2], [3, 3]])}


def test_scores_by_hand(planted):
    scores = CML(2).scores(by_hand(), planted.train, torch.tensor([0, 1]))
    assert scores.tolist() == [[-1, -4, -18], [-4, -13, -9]]


def test_loss_by_hand():
    """User 0 has item 0 at 1, others at 4 and 18; user 1 has item 2 at 9, others at 4 and 13. Margin 5.

    Hinges 5 + 1 - 4 = 2 with one of two in the margin, and 5 + 9 - 4 = 10 with both; ranks 3 * 1 // 2 = 1 and 3.
    """
    batch = (
        torch.tensor([0, 1]), torch.tensor([0, 2]), torch.tensor([[2, 1], [1, 0]]), torch.tensor(3)
    )  # fmt: skip
    assert CML(2, 5.0, 2, **PLAIN).loss(by_hand(), batch).item() == pytest.approx(12)
    weighted = CML(2, 5.0, 2, warp=True, max_norm=None).loss(by_hand(), batch).item()
    assert weighted == pytest.approx(2 * math.log(2) + 10 * math.log(4))
    rows = (0 + 1 + 4) + (9 + 18 + 1)
    assert CML(2, 5.0, 2, regularization=0.1, **PLAIN).loss(by_hand(), batch).item() == pytest.approx(12 + 0.05 * rows)
    assert CML(2, 2.0, 2, **PLAIN).loss(by_hand(), batch).item() == pytest.approx(7), "2 + 1 - 4 is below 0"
    # Rows (0,0), (3,0), (1,0), (3,3): means 7/4 and 3/4, covariance (9/4 - 21/16) = 15/16, twice, for two positives.
    assert CML(2, 5.0, 2, covariance=1.0, **PLAIN).loss(by_hand(), batch).item() == pytest.approx(
        12 + 2 * 2 * (15 / 16) ** 2
    )


@pytest.mark.parametrize("warp", [False, True])
def test_gradient_by_differences(planted, seeds, warp):
    model = CML(3, 2.0, 4, warp=warp, max_norm=None, covariance=0.3, regularization=0.1, initial_std=0.5)
    params = {name: tensor.double() for name, tensor in model.init(planted.train, seeds).items()}
    batch = next(model.objective(planted.train, seeds, CPU).batches(Trainer(batch_size=6), 0, CPU))
    leaves = tuple(tensor.requires_grad_() for tensor in params.values())
    assert torch.autograd.gradcheck(lambda *values: model.loss(dict(zip(params, values, strict=True)), batch), leaves)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("setting", [{}, {"warp": False, "max_norm": None, "regularization": 0.05}])
def test_the_kernel_is_the_torch_fit(planted, seeds, optimizer, setting):
    trainer = Trainer(3, 32, optimizer, 0.02, backend="numba")
    model = CML(6, 0.5, 4, trainer=trainer, **setting)
    losses = {"numba": [], "torch": []}
    fits = {}
    for backend, heard in losses.items():

        class Listener(Progress):
            def step(self, done, total, heard=heard, **figures):
                heard.append(figures["loss"])

        part = replace(model, trainer=replace(trainer, backend=backend))
        fits[backend] = part.fit(planted.train, seeds, CPU, Listener())
    assert losses["numba"] == pytest.approx(losses["torch"], rel=1e-4)
    for name, table in fits["torch"].items():
        torch.testing.assert_close(fits["numba"][name], table, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_rows_stay_in_the_ball(planted, seeds, backend):
    model = CML(8, margin=2.0, max_norm=0.7, trainer=Trainer(5, 32, learning_rate=0.1, backend=backend))
    for table in model.fit(planted.train, seeds, CPU, Progress()).values():
        assert table.norm(dim=1).max() <= 0.7 * (1 + 1e-5)
        assert table.norm(dim=1).max() > 0.69, "a bound that binds nobody is not tested"


def test_users_lie_at_their_rows(planted, seeds):
    params = CML(4).init(planted.train, seeds)
    users = torch.tensor([7, 2])
    assert torch.equal(CML(4).user_embeddings(params, planted.train, users), params["user"][users])
