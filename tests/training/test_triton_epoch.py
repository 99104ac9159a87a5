"""Triton's kernels: on CUDA where there is one, else interpreted; that they compile for two cards needs neither."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
pytest.importorskip("triton")

from recpoison.algebra.propagation import Propagation  # noqa: E402
from recpoison.data.interactions import Interactions, Scale  # noqa: E402
from recpoison.models.lightgcn import LightGCN  # noqa: E402
from recpoison.seeds import Seeds  # noqa: E402
from recpoison.training.adversarial import AdversarialBPR, adversarial  # noqa: E402
from recpoison.training.adversarial_graph import AdverseRows  # noqa: E402
from recpoison.training.captured import CapturedBatches, CapturedEpoch, LastingTables  # noqa: E402
from recpoison.training.inner_attack import InnerAttack  # noqa: E402
from recpoison.training.magnitudes import Magnitude  # noqa: E402
from recpoison.training.objectives import BPRObjective  # noqa: E402
from recpoison.training.ratings import RatingObjective  # noqa: E402
from recpoison.training.sampling import DevicePairs  # noqa: E402
from recpoison.training.trainer import Trainer  # noqa: E402
from recpoison.training.triton_epoch import TritonBPR, TritonRatings  # noqa: E402

SIZE = 5  # no power of two
BATCH = 7  # 20 pairs: the last batch is smaller


@pytest.fixture(scope="module")
def data():
    draw = np.random.default_rng(0)
    cells = draw.permutation(9 * 6)[:20]
    ratings = draw.integers(1, 6, 20)
    return Interactions(cells // 6, cells % 6, ratings, n_users=9, n_items=6, scale=Scale(1, 5))


@pytest.fixture
def params(data):
    draw = torch.Generator().manual_seed(1)
    tables = {"user": torch.randn(data.n_users, SIZE, generator=draw)}
    tables["item"] = torch.randn(data.n_items, SIZE, generator=draw)
    return {name: table.to(DEVICE) for name, table in tables.items()}


def trainer_of(optimizer, **settings):
    return Trainer(epochs=1, batch_size=BATCH, optimizer=optimizer, learning_rate=0.1, backend="torch", **settings)


def agree(found, right):
    assert found.keys() == right.keys()
    for name, tensor in right.items():
        torch.testing.assert_close(found[name], tensor, rtol=2e-5, atol=1e-5, msg=lambda text, name=name: name + text)


def columns_of(objective, epoch):
    return DevicePairs.of(objective.pairs, DEVICE).epoch(objective.seeds, epoch)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@pytest.mark.parametrize("adversary", [None, (0.5, 0.7)])
def test_an_epoch_of_bpr_is_that_of_torch(data, params, optimizer, adversary):
    trainer = trainer_of(optimizer)
    plain = objective = BPRObjective(data, Seeds(3), regularization=0.01)
    if adversary:
        objective = AdversarialBPR(plain, InnerAttack(epsilon=adversary[0]), weight=adversary[1])
    by_torch, by_triton = trainer.start(params), trainer.start(params)
    right = objective.epoch(trainer, by_torch, epoch=0)
    kernels = TritonBPR(trainer, by_triton, 20, 0.01, *(adversary or ()))
    assert kernels.run(by_triton, *columns_of(plain, 0)) / 20 == pytest.approx(right, rel=1e-6)
    agree(by_triton, by_torch)


def test_a_dropped_batch_is_not_trained_on(data, params):
    trainer = trainer_of("sgd", drop_last=True)
    objective = BPRObjective(data, Seeds(3))
    by_torch, by_triton = trainer.start(params), trainer.start(params)
    objective.epoch(trainer, by_torch, epoch=0)
    TritonBPR(trainer, by_triton, 14, 0.0).run(by_triton, *columns_of(objective, 0))
    agree(by_triton, by_torch)


def test_a_row_in_every_pair_takes_the_sum_of_all_and_equal_bytes_twice(params):
    """More occurrences than a program adds at once: 40 pairs of one user in one batch."""
    trainer = replace(trainer_of("adagrad"), batch_size=40)
    data = Interactions([0] * 40, range(40), [1] * 40, n_users=1, n_items=41)
    draw = torch.Generator().manual_seed(2)
    tables = {"user": torch.randn(1, 4, generator=draw), "item": torch.randn(41, 4, generator=draw)}
    tables = {name: table.to(DEVICE) for name, table in tables.items()}
    objective = BPRObjective(data, Seeds(3))
    by_torch = trainer.start(tables)
    objective.epoch(trainer, by_torch, epoch=0)
    ends = []
    for _ in range(2):
        ends.append(trainer.start(tables))
        TritonBPR(trainer, ends[-1], 40, 0.0).run(ends[-1], *columns_of(objective, 0))
    agree(ends[0], by_torch)
    assert all(torch.equal(ends[0][name], tensor) for name, tensor in ends[1].items())


def test_a_shift_is_as_long_as_it_reaches_whatever_the_gradient():
    """A gradient of 1e-30, whose squares are 0 in float32, has a direction; none at all has no shift."""
    trainer = trainer_of("sgd")
    state = trainer.start({"user": torch.zeros(2, 4, device=DEVICE), "item": torch.zeros(3, 4, device=DEVICE)})
    state["param.user"][0, 0] = 1e-30
    kernels = TritonBPR(trainer, state, 1, 0.0, 0.5, 1.0)
    one = torch.zeros(1, dtype=torch.int64, device=DEVICE)
    kernels.run(state, one, one, one + 1)
    shift = kernels.shift[[0, 2, 3]].cpu()  # user 0, items 0 and 1
    assert shift[0].eq(0).all()  # both items are zero, so the user has no gradient
    assert shift[1:].tolist() == [
        [pytest.approx(-x, abs=1e-6) for x in row] for row in [[0.5, 0, 0, 0], [-0.5, 0, 0, 0]]
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_an_epoch_of_ratings_is_that_of_torch(data, params, optimizer):
    trainer = trainer_of(optimizer)
    objective = RatingObjective(data, Seeds(3), regularization=0.01)
    by_torch, by_triton = trainer.start(params), trainer.start(params)
    right = objective.epoch(trainer, by_torch, epoch=0) * 20
    kernels = TritonRatings(trainer, by_triton, 20, 0.01)
    assert kernels.run_rated(by_triton, *objective.drawn(0, DEVICE)) == pytest.approx(right, rel=1e-6)
    agree(by_triton, by_torch)


def test_kernels_serve_the_fit_they_were_made_for(data, params):
    trainer = trainer_of("sgd")
    state = trainer.start(params)
    kernels = TritonBPR(trainer, state, 20, 0.0)
    assert kernels.serves(trainer, trainer.start(params))
    assert not kernels.serves(trainer_of("adagrad"), state)
    assert not kernels.serves(trainer, state | {"param.user": torch.zeros(9, SIZE + 1, device=DEVICE)})


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_graph_is_propagated_as_by_dense_products(layers, dtype):
    cells = (np.random.default_rng(0).random((30, 4)) < 0.7).astype(float)  # an item has over 16 users
    cells[3] = 0  # a user without items
    seen = sp.csr_matrix(cells)
    graph = Propagation.of(seen, layers, DEVICE)
    table = torch.randn(34, SIZE, dtype=dtype, generator=torch.Generator().manual_seed(1))
    adjacency = np.block([[np.zeros((30, 30)), seen.toarray()], [seen.toarray().T, np.zeros((4, 4))]])
    roots = np.where(adjacency.sum(1) > 0, 1 / np.sqrt(np.maximum(adjacency.sum(1), 1)), 0)
    step = torch.from_numpy(roots[:, None] * adjacency * roots).to(dtype)
    mean = sum(torch.linalg.matrix_power(step, k) @ table for k in range(layers + 1)) / (layers + 1)
    graph.__dict__["on_triton"] = True
    torch.testing.assert_close(
        graph.nested(table.to(DEVICE)).cpu(), mean, rtol=1e-5 if dtype.itemsize == 4 else 1e-12, atol=1e-6
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
@pytest.mark.parametrize("adversary", [None, InnerAttack(0.3, unit="instance", magnitude=Magnitude("loss"))])
def test_captured_epochs_of_lightgcn_are_those_of_torch(data, optimizer, adversary):
    trainer = trainer_of(optimizer)
    model = LightGCN(SIZE, layers=2, regularization=0.01, shifted="final" if adversary else "layer_0", trainer=trainer)
    plain = objective = model.objective(data, Seeds(3), DEVICE)
    more = ()
    if adversary:
        objective = adversarial(plain, model, adversary, 0.7)
        more = AdverseRows(adversary, 0.7, 0.0, data.n_users, None), 1.7
    params = model.start(data, Seeds(0), DEVICE)
    by_torch, captured = trainer.start(params), trainer.start(params)
    for epoch in range(2):
        right = objective.epoch(trainer, by_torch, epoch) * 20
        assert plain.captured_epoch(trainer, captured, epoch, *more) == pytest.approx(right, rel=1e-5)
    agree(captured, by_torch)


@pytest.mark.parametrize("optimizer", ["adagrad", "adam"])
@pytest.mark.parametrize("rule", ["loss", "square"])
def test_captured_epochs_of_vat_are_those_of_torch(data, params, optimizer, rule):
    trainer = trainer_of(optimizer)
    plain = BPRObjective(data, Seeds(3), 0.01)
    objective = AdversarialBPR(plain, InnerAttack(0.3, unit="instance", magnitude=Magnitude(rule)), 0.7)
    by_torch, captured = trainer.start(params), trainer.start(params)
    batches = CapturedEpoch(trainer, captured, 20, objective.training(captured, None))
    for epoch in range(2):
        right = objective.epoch(trainer, by_torch, epoch) * 20
        assert batches.run(captured, *columns_of(plain, epoch)) == pytest.approx(right, rel=1e-5)
    agree(captured, by_torch)


def test_batches_are_walked_in_order_and_a_smaller_one_comes_last():
    seen = []
    batches = CapturedBatches(lambda rows: seen.append(rows.tolist()), 1, 5, 2, torch.device("cpu"))
    batches.run((torch.tensor([4, 3, 2, 1, 0, 9]),))
    assert seen == [[[4, 3]], [[2, 1]], [[0]]]


def test_tables_that_last_begin_from_the_state_that_is_loaded(params):
    trainer = trainer_of("adam")
    state = trainer.start(params)
    joint = LastingTables(trainer, state)
    state["step"] += 3
    state["param.user"].fill_(2)
    joint.load(state)
    assert joint.tables["param"][0, 0] == 2
    assert joint.powers.tolist() == pytest.approx([0.9**3, 0.999**3], rel=1e-15)


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from recpoison.algebra import propagation_kernel
from recpoison.training import triton_kernels

POINTERS = {"rows": "*i32", "slots": "*i32", "batch": "*i32", "order": "*i32", "indptr": "*i32", "indices": "*i32",
    "losses": "*fp64", "powers": "*fp64"}
FP32 = ("regularization", "weight", "reach", "learning_rate", "eps", "beta_1", "beta_2")
INT32 = ("n_pairs", "batch_size", "n_places", "per_batch", "size", "layers", "n")
SCALARS = dict.fromkeys(INT32, "i32") | dict.fromkeys(FP32, "fp32")
TILES = {"TILE": 16, "WIDTH": 64, "BLOCK": 1024, "SHIFTED": True, "ADAGRAD": True, "LAST": False}

for module in (triton_kernels, propagation_kernel):
    for name, kernel in vars(module).items():
        if not isinstance(kernel, triton.JITFunction) or name.startswith("_"):
            continue
        tiles = {argument: TILES[argument] for argument in kernel.arg_names if argument in TILES}
        known = POINTERS | SCALARS | dict.fromkeys(tiles, "constexpr")
        kinds = {argument: known.get(argument, "*fp32") for argument in kernel.arg_names}
        places = {(kernel.arg_names.index(argument),): value for argument, value in tiles.items()}
        for architecture in (80, 90):
            source = ASTSource(kernel, signature=kinds, constexprs=places)
            made = triton.compile(source, target=GPUTarget("cuda", architecture, 32), options={"num_warps": 1})
            print(name, architecture, len(made.asm["cubin"]) > 0)
"""


@pytest.mark.slow
def test_every_kernel_compiles_for_two_generations_of_cards(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    found = subprocess.run(
        [sys.executable, "-c", COMPILED], env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    kernels = ["adam", "bpr_slopes", "rating_slopes", "shift_rows", "spread", "step_rows"]
    right = {f"{name} {architecture} True" for name in kernels for architecture in (80, 90)}
    assert set(found.stdout.split("\n")) - {""} == right
