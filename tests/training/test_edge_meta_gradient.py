"""The passes over labelled edges against each other, and meta-gradients against differences and hand arithmetic."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.data.interactions import LabelledEdges
from recpoison.errors import ConfigError
from recpoison.seeds import Seeds
from recpoison.training.edges.fused_kernels import BLOCK
from recpoison.training.edges.fused_pass import FusedPass
from recpoison.training.edges.meta_gradient import meta_gradient
from recpoison.training.edges.network import Drops, Network, logits, mixed
from recpoison.training.edges.passes import TorchPass, mean_log_loss
from recpoison.training.edges.trainer import EdgeTrainer
from recpoison.training.trainer import Diverged

USERS, ITEMS, SEEDS = 5, 6, Seeds(3).child("train")
INNER = Network(product_size=3, weighted=False)
HEAD = Network(sum_size=3, sum_hidden=(5,))
GMF = Network(product_size=4, product_hidden=(9, 3))
NEUMF = Network(product_size=3, sum_size=4, sum_hidden=(10, 5))
BOTH_DEEP = Network(product_size=5, product_hidden=(3,), sum_size=2, sum_hidden=(7, 4, 2))
NETWORKS = {"inner": INNER, "head": HEAD, "gmf": GMF, "neumf": NEUMF, "plain": Network(4), "both": BOTH_DEEP}
RULES = {"sgd": 2.0, "momentum": 0.5, "adam": 0.05}


def values(network, n_users=USERS, n_items=ITEMS, seed=0, scale=0.5):
    generator = torch.Generator().manual_seed(seed)
    shapes = network.shapes(n_users, n_items).items()
    return {name: scale * torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes}


def graph(n=17, n_users=USERS, n_items=ITEMS, seed=1):
    """Edges with fractional labels; pairs may repeat, and users come in no order."""
    rng = np.random.default_rng(seed)
    return LabelledEdges(rng.integers(n_users, size=n), rng.integers(n_items, size=n), rng.random(n))


def loss_after(network, trainer, params, edges, outer):
    """The mean log loss on labels ``outer`` after training on those of ``edges``."""
    last = trainer.fit(network, params, edges, SEEDS, progress=Quiet())
    users, items = torch.from_numpy(edges.users), torch.from_numpy(edges.items)
    return float(mean_log_loss(logits(network, last, users, items), torch.from_numpy(outer)))


class Quiet:
    """Hears steps; loops start afresh."""

    def __init__(self):
        self.heard = []

    def step(self, done, total, **figures):
        self.heard.append((done, total, figures["loss"]))

    def loop(self, work, fits):
        from recpoison.progress import Loop

        return Loop()


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_fused_pass_equals_torch(name, activation, dropout):
    network = replace(NETWORKS[name], activation=activation, dropout=dropout)
    edges = graph(2 * BLOCK + 61, 30, 40)
    users, items, labels = map(torch.from_numpy, edges)
    params, along = (tuple(values(network, 30, 40, seed).values()) for seed in (0, 1))
    ways = TorchPass(network, users, items), FusedPass(network, users, items)
    for call in (lambda way: way.gradient(params, labels, 5), lambda way: way.product(params, labels, along, 5)):
        (theirs, theirs_each), (ours, ours_each) = map(call, ways)
        for a, b in zip((ours, *ours_each), (theirs, *theirs_each), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_the_fused_pass_does_not_depend_on_threads():
    users, items, labels = map(torch.from_numpy, graph(9 * BLOCK, 30, 40))
    params = tuple(tensor.float() for tensor in values(NEUMF, 30, 40).values())
    way, before, found = FusedPass(NEUMF, users, items), torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(way.product(params, labels.float(), params, None))
    torch.set_num_threads(before)
    assert found[0][0].dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(*((first, *rest) for first, rest in found), strict=True))


def test_a_logit_by_hand():
    """One product of 2 * 3, one unit relu(1 + 2 * 5 - 1 * 4 - 1) = 6: 0.5 * 6 + 0.25 * 6 + 0.125."""
    network = Network(product_size=1, sum_size=1, sum_hidden=(1,))
    params = {
        "user": torch.tensor([[2.0, 5.0]]),
        "item": torch.tensor([[3.0, 4.0]]),
        "output": torch.tensor([0.5, 0.25]),
        "bias": torch.tensor([0.125]),
        "weight_0": torch.tensor([[2.0, -1.0]]),
        "bias_0": torch.tensor([0.0]),
    }
    assert logits(network, params, torch.tensor([0]), torch.tensor([0])).item() == 0.5 * 6 + 0.25 * 6 + 0.125
    passes = FusedPass(network, torch.tensor([0]), torch.tensor([0]))
    found, _ = passes.gradient(tuple(params[name] for name in network.names), torch.ones(1), None)
    assert found.item() == 4.625


def test_dropout_leaves_out_its_share_and_keeps_the_mean():
    drops = Drops(replace(GMF, dropout=0.3), 7)
    out = drops(torch.ones(20_000, 16), 0, torch.arange(20_000))
    assert (out == 0).double().mean().item() == pytest.approx(0.3, abs=0.005)
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.7])
    units = torch.corrcoef((out[:, :4] > 0).double().T)
    assert (units - torch.eye(4)).abs().max() < 0.03
    assert mixed(1) == 1753845952  # by hand: ((1 * 0x7feb352d) ^ >> 15) * 0x846ca68b ...


@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize("name", ["inner", "head", "gmf", "neumf"])
@pytest.mark.parametrize("outer_labels", ["included", "fixed"])
def test_exact_equals_differences(name, optimizer, outer_labels):
    # A relu that turns within the difference would spoil it, so the smooth ones here; relu below, at one point.
    activation = {"sgd": "tanh", "momentum": "sigmoid", "adam": "tanh"}[optimizer]
    network = replace(NETWORKS[name], activation=activation, dropout=0.3 if name != "inner" else 0.0)
    _compare(network, EdgeTrainer(7, optimizer, RULES[optimizer]), outer_labels)


@pytest.mark.parametrize("name", ["head", "gmf", "neumf"])
def test_exact_equals_differences_with_relu(name):
    _compare(NETWORKS[name], EdgeTrainer(4, "sgd", 0.5), "included")


def _compare(network, trainer, outer_labels):
    edges, params = graph(), values(network)
    found = meta_gradient(network, trainer, params, edges, SEEDS, outer_labels=outer_labels)
    assert found.gradient.norm() > 1e-6
    for k in (0, 5, 16):
        shifted = []
        for sign in (1, -1):
            labels = edges.labels.copy()
            labels[k] += sign * 1e-5
            outer = labels if outer_labels == "included" else edges.labels
            shifted.append(loss_after(network, trainer, params, edges._replace(labels=labels), outer))
        assert found.gradient[k].item() == pytest.approx((shifted[0] - shifted[1]) / 2e-5, rel=1e-5, abs=1e-10)


@pytest.mark.parametrize("optimizer", RULES)
def test_stepping_again_gives_the_stored_gradient_bit_for_bit(optimizer):
    trainer, edges = EdgeTrainer(10, optimizer, RULES[optimizer]), graph()
    params = values(NEUMF)
    table = sum(tensor.nbytes for tensor in params.values()) / 2**20
    enough, little = (meta_gradient(NEUMF, trainer, params, edges, SEEDS, memory_mb=mb) for mb in (256, 29 * table))
    assert torch.equal(enough.gradient, little.gradient)
    with pytest.raises(ConfigError, match=r"attack.memory_mb is .* 10 steps needs"):
        meta_gradient(NEUMF, trainer, params, edges, SEEDS, memory_mb=table)


def test_torch_and_numba_train_and_differentiate_alike():
    network, params, edges = replace(GMF, dropout=0.2), values(GMF), graph()
    found = [
        meta_gradient(network, EdgeTrainer(6, backend=backend), params, edges, SEEDS) for backend in ("torch", "numba")
    ]
    torch.testing.assert_close(found[0].gradient, found[1].gradient, rtol=1e-10, atol=1e-14)


def test_approximate_by_hand():
    """Two steps of SGD at rate 1 on one pair with label 1, of a bias alone: z grows by 1 - sigmoid(z)."""
    params = {"user": torch.zeros(1, 1), "item": torch.zeros(1, 1), "bias": torch.zeros(1)}
    params = {name: tensor.double() for name, tensor in params.items()}
    edges = LabelledEdges(np.array([0]), np.array([0]), np.array([1.0]))
    first = 0.5
    second = first + 1 - 1 / (1 + math.exp(-first))
    given = replace(INNER, product_size=1), EdgeTrainer(2, "sgd", 1.0), params, edges, SEEDS
    before = meta_gradient(*given, approximate="before_steps")
    after = meta_gradient(*given, approximate="after_steps")
    assert before.gradient.item() == pytest.approx(-(0 + first))
    assert after.gradient.item() == pytest.approx(-(first + second))
    assert before.logits.item() == after.logits.item() == pytest.approx(second)
    # one step back: the label moves z by the rate, and the loss falls by 1 - sigmoid(z) with z
    falls = sum(1 - 1 / (1 + math.exp(-z)) for z in (first, second))
    look = meta_gradient(*given, approximate="dependence")
    assert look.gradient.item() == pytest.approx(-(first + second) - falls)


@pytest.mark.parametrize("outer_labels", ["included", "fixed"])
@pytest.mark.parametrize("optimizer", RULES)
def test_one_step_of_dependence_is_exact_after_one_step(optimizer, outer_labels):
    network, trainer = replace(NEUMF, dropout=0.3), EdgeTrainer(1, optimizer, RULES[optimizer])
    given = network, trainer, values(network), graph(), SEEDS
    exact = meta_gradient(*given, outer_labels=outer_labels)
    near = meta_gradient(*given, outer_labels=outer_labels, approximate="dependence")
    torch.testing.assert_close(near.gradient, exact.gradient, rtol=1e-12, atol=1e-15)


def test_what_would_leave_nothing_is_refused():
    given = INNER, EdgeTrainer(1), values(INNER), graph(), SEEDS
    with pytest.raises(ConfigError, match=r"attack.outer_labels=fixed leaves nothing"):
        meta_gradient(*given, approximate="before_steps", outer_labels="fixed")
    with pytest.raises(ConfigError, match=r"attack.approximate_sum is 'all': choose"):
        meta_gradient(*given, approximate="all")
    with pytest.raises(ConfigError, match=r"attack.outer_labels is 'moved': choose"):
        meta_gradient(*given, outer_labels="moved")


def test_a_meta_gradient_that_explodes_is_said():
    network = replace(INNER, product_size=1)
    params = {name: 2.0 * torch.ones(shape) for name, shape in network.shapes(1, 1).items()}
    edges = LabelledEdges(np.array([0]), np.array([0]), np.array([-1e3]))
    with pytest.raises(Diverged, match=r"through 60 steps left the finite numbers: lower attack.surrogate"):
        meta_gradient(network, EdgeTrainer(60, "sgd", 10.0), params, edges, SEEDS)
