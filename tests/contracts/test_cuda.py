"""What only a CUDA device can show: whole runs, graphs that are replayed, and equal bytes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.targets import Targets
from recpoison.data.synthetic import Planted
from recpoison.defenses.apr import APR
from recpoison.defenses.none import NoDefense
from recpoison.defenses.vat import VAT
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import run
from recpoison.models.bprmf import BPRMF
from recpoison.models.lightgcn import LightGCN
from recpoison.models.mf import MF
from recpoison.models.mult_vae import MultVAE
from recpoison.models.wrmf import WRMF
from recpoison.models.wrmf_als import WRMFALS
from recpoison.parts import Parts
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.training.trainer import Trainer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
]
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def _trainer(optimizer="adagrad", backend="auto"):
    return Trainer(epochs=5, batch_size=64, optimizer=optimizer, learning_rate=0.05, backend=backend)


@pytest.fixture(scope="module")
def data():
    return Planted("planted", n_users=300).load(None, Seeds(0), Progress()).train


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_replayed_graphs_train_as_launched_operations_do(data, optimizer):
    ends = [
        BPRMF(16, 0.01, trainer=_trainer(optimizer, backend)).fitted(data, Seeds(1), CUDA, Progress()).params
        for backend in ("auto", "torch")
    ]
    for name, table in ends[1].items():
        torch.testing.assert_close(ends[0][name], table, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_lightgcn_by_graphs_is_lightgcn(data, backend):
    graph = LightGCN(16, layers=2, trainer=_trainer("adam", backend)).fitted(data, Seeds(1), CUDA, Progress()).params
    plain = LightGCN(16, layers=2, trainer=_trainer("adam", "torch")).fitted(data, Seeds(1), CUDA, Progress()).params
    for name, table in plain.items():
        near = torch.isclose(graph[name], table, rtol=1e-3, atol=1e-4)
        assert near.float().mean() > 0.98  # sums are added in any order, and Adam makes steps of rounding


@pytest.mark.parametrize(
    ("model", "defense"),
    [(BPRMF(16, trainer=_trainer()), None), (BPRMF(16, trainer=_trainer()), APR()), (MF(16), None)],
    ids=["bprmf", "apr", "mf"],
)
def test_kernels_give_equal_bytes_twice(model, defense):
    parts = Parts(Planted("planted"), model, evaluation=FullRanking(cutoffs=[5]))
    if defense is not None:
        parts = Parts(Planted("planted"), model, defense=defense, evaluation=FullRanking(cutoffs=[5]))
    found = [run(parts, seeds=[1], device="cuda").metrics() for _ in range(2)]
    assert found[0].equals(found[1])


SEVERAL = {
    "bprmf": (BPRMF(16, trainer=_trainer()), APR()),
    "mf": (MF(16), NoDefense()),
    "wrmf": (WRMF(8, trainer=replace(WRMF().trainer, epochs=3)), NoDefense()),
    "wrmf_als": (WRMFALS(8), NoDefense()),
    "mult_vae": (MultVAE(trainer=Trainer(3, 16, optimizer="adam")), NoDefense()),
    "lightgcn": (LightGCN(16, layers=2, shifted="final", trainer=_trainer("adam")), VAT()),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_seeds_at_once_have_the_numbers_of_seeds_one_after_the_other(name):
    """Eight threads in streams of their own, which capture graphs while others train."""
    model, defense = SEVERAL[name]
    attack = AverageAttack(targets=Targets(rule="list", items=(39,)), n_fake_users=5, fillers=4)
    parts = Parts(Planted("planted", n_users=300), model, attack, defense, evaluation=FullRanking(cutoffs=[5]))
    torch.use_deterministic_algorithms(True)
    try:
        alone = run(parts, seeds=range(8), device="cuda")
        found = [run(parts, seeds=range(8), device="cuda", workers=8).metrics() for _ in range(3)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert [one.equals(alone.metrics()) for one in found] == [True] * 3


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
def test_deterministic_gives_lightgcn_equal_bytes_twice(data, optimizer):
    torch.use_deterministic_algorithms(True)
    try:
        model = LightGCN(16, layers=2, trainer=_trainer(optimizer))
        ends = [model.fitted(data, Seeds(1), CUDA, Progress()).params for _ in range(2)]
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(ends[0][name], table) for name, table in ends[1].items())


def test_blocks_by_free_memory_change_no_rank(data):
    split = Planted("planted", n_users=300).load(None, Seeds(0), Progress())
    fitted = BPRMF(16, trainer=_trainer()).fitted(split.train, Seeds(1), CUDA, Progress())
    looks = [
        FullRanking(cutoffs=[5], memory_mb=memory).look(fitted, split, np.array([3]), Seeds(0), CUDA, Progress())
        for memory in (None, 1)
    ]
    assert all(np.array_equal(looks[0].arrays()[name], found) for name, found in looks[1].arrays().items())
