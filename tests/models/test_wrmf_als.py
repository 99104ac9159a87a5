"""WRMF by ALS: the loss falls to a stationary point of the whole weighted squared error."""

import numpy as np
import pytest
import torch

from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.wrmf_als import WRMFALS
from recpoison.progress import Progress
from recpoison.training.trainer import Diverged


def weighted_loss(params, data, weight, ridge) -> float:
    seen = data.seen.toarray()
    scores = (params["user"] @ params["item"].T).double().numpy()
    lengths = sum(float(t.double().square().sum()) for t in params.values())
    return float(((1 + (weight - 1) * seen) * (seen - scores) ** 2).sum() + ridge * lengths)


SOLVED = ("cholesky", "cg")
SOLVERS = pytest.mark.parametrize("solver", SOLVED)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"weight": 0.5}, "model.weight is 0.5"),
        ({"weight": float("inf")}, "model.weight is inf"),
        ({"regularization": 0.0}, "model.regularization is 0"),
        ({"regularization": float("inf")}, "model.regularization is inf"),
        ({"sweeps": 0}, "model.sweeps is 0"),
        ({"embedding_size": 0}, "model.embedding_size is 0"),
        ({"initial_std": 0.0}, "model.initial_std is 0"),
        ({"initial_std": float("nan")}, "model.initial_std is nan"),
        ({"solver": "lu"}, "model.solver is 'lu': choose one of cholesky, cg"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        WRMFALS(**setting)


@SOLVERS
def test_a_weight_beyond_rounding_is_an_error_that_names_the_remedy(planted, seeds, solver):
    words = r"raise model\.regularization \(now 1e-06\) or lower model\.weight \(now 1e\+(20|38)\)"
    with pytest.raises(Diverged, match=words):
        WRMFALS(4, 1e20 if solver == "cholesky" else 1e38, 1e-6, 3, solver=solver).fit(
            planted.train, seeds, torch.device("cpu"), Progress()
        )


@SOLVERS
def test_each_sweep_lowers_the_loss_to_a_stationary_point(seeds, solver):
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((25, 18)) < 0.3)
    data = Interactions(users, items, np.ones(len(users)), 25, 18)
    fits = {
        n: WRMFALS(4, 6.0, 0.5, n, solver=solver).fit(data, seeds, torch.device("cpu"), Progress())
        for n in (1, 2, 5, 300)
    }
    losses = [weighted_loss(params, data, 6.0, 0.5) for params in fits.values()]
    assert losses == sorted(losses, reverse=True)
    user, item = (fits[300][name].double().requires_grad_() for name in ("user", "item"))
    seen = torch.from_numpy(data.seen.toarray()).double()
    loss = ((1 + 5 * seen) * (seen - user @ item.T) ** 2).sum() + 0.5 * (user.square().sum() + item.square().sum())
    for gradient in torch.autograd.grad(loss, (user, item)):
        assert gradient.abs().max() < 1e-2


def test_weight_one_and_full_rank_is_a_shrunk_svd(seeds):
    """With weight 1 the best factorisation keeps the singular vectors and lowers each singular value by the ridge."""
    rng = np.random.default_rng(1)
    users, items = np.nonzero(rng.random((12, 9)) < 0.5)
    data = Interactions(users, items, np.ones(len(users)), 12, 9)
    params = WRMFALS(9, 1.0, 0.2, 500).fit(data, seeds, torch.device("cpu"), Progress())
    left, values, right = np.linalg.svd(data.seen.toarray().astype(float), full_matrices=False)
    want = left * np.maximum(values - 0.2, 0) @ right
    np.testing.assert_allclose((params["user"] @ params["item"].T).numpy(), want, atol=2e-3)


def test_conjugate_gradients_come_to_the_loss_of_exact_sweeps(seeds):
    """Behind at first, and level after the ten sweeps that are the default."""
    rng = np.random.default_rng(2)
    users, items = np.nonzero(rng.random((60, 40)) < rng.random(40))
    data, losses = Interactions(users, items, np.ones(len(users)), 60, 40), {}
    for sweeps in (1, 10):
        fits = (WRMFALS(16, sweeps=sweeps, solver=s).fit(data, seeds, torch.device("cpu"), Progress()) for s in SOLVED)
        losses[sweeps] = [weighted_loss(params, data, 5.0, 5.0) for params in fits]
    assert losses[1][0] < losses[1][1]
    assert losses[10][1] == pytest.approx(losses[10][0], rel=1e-3)
