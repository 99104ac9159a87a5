"""Mult-VAE: its loss by hand and against a dense float64 reference, its sparse first layer, what scoring looks at."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.algebra.observed import Observed
from recpoison.data.interactions import Interactions
from recpoison.errors import ConfigError
from recpoison.models.mult_vae import MultVAE, kl_to_standard_normal
from recpoison.progress import Progress
from recpoison.training.optimizers import slots, step
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")


def small(**settings) -> MultVAE:
    trainer = Trainer(epochs=40, batch_size=16, optimizer="adam", learning_rate=0.01, eps=1e-8)
    return MultVAE(**({"hidden_size": 6, "code_size": 3, "trainer": trainer} | settings))


@pytest.fixture
def data():
    """30 users x 20 items; user 4 has nothing."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero((rng.random((30, 20)) < 0.3) & (np.arange(30) != 4)[:, None])
    return Interactions(users, items, np.ones(len(users)), 30, 20)


def double(params):
    """In float64, with biases that are not 0."""
    generator = torch.Generator().manual_seed(0)
    shifts = {name: torch.randn(t.shape, generator=generator, dtype=torch.float64) for name, t in params.items()}
    return {
        name: (t.double() + 0.3 * shifts[name] * name.endswith("bias")).requires_grad_() for name, t in params.items()
    }


def first_batch(model, data, seeds, kl_weight=0.3):
    """In float64, with a KL weight that is not 0."""
    indptr, items, kept, noise, _ = next(iter(model.objective(data, seeds, CPU).batches(model.trainer, 1, CPU)))
    return indptr, items, kept.double(), noise.double(), torch.tensor(kl_weight, dtype=torch.float64)


def dense_loss(model, params, batch):
    """The same from whole rows, by autograd alone."""
    indptr, items, kept, noise, kl_weight = batch
    rows = torch.repeat_interleave(torch.arange(len(noise)), indptr.diff())
    x = torch.zeros(len(noise), len(params["output_bias"]), dtype=torch.float64)
    x[rows, items] = 1
    mask = torch.zeros_like(x)
    mask[rows, items] = kept
    shown = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12) * mask
    hidden = torch.tanh(shown @ params["input_weight"] + params["input_bias"])
    code = hidden @ params["code_weight"] + params["code_bias"]
    mean, log_variance = code[:, : model.code_size], code[:, model.code_size :]
    z = mean + noise * torch.exp(0.5 * log_variance)
    logits = torch.tanh(z @ params["hidden_weight"] + params["hidden_bias"]) @ params["output_weight"].T
    logs = torch.log_softmax(logits + params["output_bias"], 1)
    likelihood = (x * logs).sum(1)
    if model.likelihood == "mean":
        likelihood = likelihood / x.sum(1).clamp(min=1)
    normal = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    unit = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return (kl_weight * torch.distributions.kl_divergence(normal, unit).sum(1) - likelihood).mean()


def test_loss_by_hand(seeds):
    """All weights 0, so every item has probability 1/4 and the code is N(0, exp(1)) from its bias alone."""
    data = Interactions(np.array([0, 0, 0, 1]), np.array([0, 1, 3, 2]), np.ones(4), 2, 4)
    model = small(hidden_size=2, code_size=1)
    params = {name: torch.zeros_like(tensor) for name, tensor in model.init(data, seeds).items()}
    params["code_bias"] = torch.tensor([0.5, 1.0])
    observed = Observed.of(data.seen)
    batch = observed.indptr, observed.indices, torch.ones(4), torch.zeros(2, 1), torch.tensor(0.1)
    kl = (math.e + 0.25 - 1 - 1) / 2
    assert model.loss(params, batch).item() == pytest.approx((3 + 1) / 2 * math.log(4) + 0.1 * kl)
    mean = replace(model, likelihood="mean")
    assert mean.loss(params, batch).item() == pytest.approx(math.log(4) + 0.1 * kl)


@pytest.mark.parametrize("likelihood", ["sum", "mean"])
def test_loss_and_gradients_equal_a_dense_reference(data, seeds, likelihood):
    model = small(likelihood=likelihood)
    params, batch = double(model.init(data, seeds)), first_batch(model, data, seeds)
    assert 0 in batch[0].diff()
    ours, reference = model.loss(params, batch), dense_loss(model, params, batch)
    assert ours.item() == pytest.approx(reference.item(), rel=1e-13)
    pairs = zip(*(torch.autograd.grad(loss, list(params.values())) for loss in (ours, reference)), strict=True)
    for name, (got, wanted) in zip(params, pairs, strict=True):
        assert wanted.norm() > 0, name
        assert (got - wanted).norm() < 1e-12 * wanted.norm(), name


def test_kl_is_the_closed_form():
    mean, log_variance = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4)]])
    assert kl_to_standard_normal(mean, log_variance).item() == pytest.approx(0.5 + (4 - 1 - math.log(4)) / 2)
    assert kl_to_standard_normal(torch.zeros(2, 3), torch.zeros(2, 3)).item() == 0


def test_the_kl_weight_grows_by_step_to_its_end_and_dropout_keeps_the_mean(data, seeds):
    model = small(kl_weight=0.25, kl_step=0.1, dropout=0.25)
    objective = model.objective(data, seeds, CPU)
    batches = [batch for epoch in range(40) for batch in objective.batches(model.trainer, epoch, CPU)]
    assert [batch[4].item() for batch in batches[:5]] == pytest.approx([0, 0.1, 0.2, 0.25, 0.25])
    kept = torch.cat([batch[2] for batch in batches])
    assert sorted(set(kept.tolist())) == pytest.approx([0, 4 / 3])
    assert kept.mean().item() == pytest.approx(1, abs=0.02)


def test_bfloat16_is_close_to_float32(data, seeds):
    model = small(hidden_size=64)
    params = model.init(data, seeds)
    batch = tuple(t.float() if t.is_floating_point() else t for t in first_batch(model, data, seeds))
    gradients = {}
    for precision in ("float32", "bfloat16"):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
        loss = replace(model, precision=precision).loss(leaves, batch)
        gradients[precision] = loss.item(), torch.autograd.grad(loss, list(leaves.values()))
    assert gradients["bfloat16"][0] == pytest.approx(gradients["float32"][0], rel=1e-3)
    apart = [(a - b).norm() / b.norm() for a, b in zip(gradients["bfloat16"][1], gradients["float32"][1], strict=True)]
    assert 0 < max(apart) < 0.02


def test_steps_are_adams_with_weight_decay(data, seeds):
    model = small(regularization=0.1)
    objective, state = model.objective(data, seeds, CPU), model.trainer.start(model.init(data, seeds))
    other = {name: tensor.clone() for name, tensor in state.items()}
    for epoch in range(3):
        objective.epoch(model.trainer, state, epoch)
        for batch in objective.batches(model.trainer, epoch, CPU):
            leaves = {name: tensor.clone().requires_grad_() for name, tensor in slots(other, "param").items()}
            gradients = torch.autograd.grad(model.loss(leaves, batch), list(leaves.values()))
            decayed = {name: g + 0.1 * other[f"param.{name}"] for name, g in zip(leaves, gradients, strict=True)}
            step("adam", other, decayed, 0.01, 1e-8)
    assert int(state["step"]) == int(other["step"]) == 6
    for name, tensor in other.items():
        if name != "epoch":
            torch.testing.assert_close(state[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_other_rules_lower_the_loss(data, seeds, optimizer):
    model = small(dropout=0.0, kl_weight=0.0)
    trainer = replace(model.trainer, optimizer=optimizer, learning_rate=0.05, epochs=1)
    objective, state = model.objective(data, seeds, CPU), trainer.start(model.init(data, seeds))
    losses = [objective.epoch(trainer, state, epoch) for epoch in range(30)]
    assert losses[-1] < losses[0] - 0.3


def test_scoring_is_the_decoded_mean_without_dropout(data, seeds):
    model = small(dropout=0.9)
    params = model.init(data, seeds)
    users = torch.tensor([7, 4])
    embeddings = model.user_embeddings(params, data, users)
    assert embeddings.shape == (2, 3)
    x = torch.from_numpy(data.seen[[7, 4]].toarray())
    x = x / x.norm(dim=1, keepdim=True).clamp(min=1)
    mean = ((x @ params["input_weight"]).tanh() @ params["code_weight"])[:, :3]
    torch.testing.assert_close(embeddings, mean)
    scores = (mean @ params["hidden_weight"]).tanh() @ params["output_weight"].T
    torch.testing.assert_close(model.scores(params, data, users), scores)


def test_two_tastes_are_told_apart_in_the_code(planted, seeds):
    trainer = Trainer(epochs=60, batch_size=64, optimizer="adam", learning_rate=0.01, eps=1e-8)
    model = small(hidden_size=16, trainer=trainer)
    params = model.fit(planted.train, seeds, CPU, Progress())
    codes = model.user_embeddings(params, planted.train, torch.arange(40))
    even, odd = codes[::2], codes[1::2]
    apart = (even.mean(0) - odd.mean(0)).norm()
    assert apart > 5 * (even - even.mean(0)).norm(dim=1).max()
    assert apart > 5 * (odd - odd.mean(0)).norm(dim=1).max()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"hidden_size": 0}, "model.hidden_size is 0"),
        ({"code_size": 0}, "model.code_size is 0"),
        ({"dropout": 1.0}, "model.dropout is 1"),
        ({"kl_weight": -1.0}, "model.kl_weight is -1"),
        ({"kl_step": float("nan")}, "model.kl_step is nan"),
        ({"regularization": -0.1}, "model.regularization is -0.1"),
        ({"likelihood": "max"}, "model.likelihood is 'max': choose one of sum, mean"),
        ({"precision": "half"}, "model.precision is 'half': choose one of float32, bfloat16"),
        ({"trainer": Trainer(backend="numba")}, "model.trainer.backend=numba"),
    ],
)
def test_settings_out_of_range(setting, words):
    with pytest.raises(ConfigError, match=words):
        MultVAE(**setting)
