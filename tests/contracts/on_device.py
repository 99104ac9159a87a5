"""What every part must do on a device that is not the CPU: the CPU's numbers, one device at a time, few waits.

The name is not one that pytest looks for: ``test_on_device.py`` runs this file in a process of its own, with the name
of a device in the environment (``RECPOISON_TEST_DEVICE``; pretend where it is not said). By hand,
``python tests/contracts/on_device.py [WORD ...]`` prints the waits of each part whose name has these words.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.overrides import TorchFunctionMode

from recpoison.attacks.base import Attack, EmbeddingAttack, ProfileAttack
from recpoison.data.graph import NodeSplit
from recpoison.data.interactions import Edges, Interactions, Scale
from recpoison.data.splitting import Split
from recpoison.data.synthetic import Planted
from recpoison.errors import UserError
from recpoison.evaluation.base import Evaluation
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.evaluation.node_accuracy import NodeAccuracy
from recpoison.experiment import run
from recpoison.models.base import Fitted, GradientModel, Model
from recpoison.models.bprmf import BPRMF
from recpoison.models.edge_learner import EdgeLearner
from recpoison.parts import Parts
from recpoison.progress import Loop, Progress
from recpoison.seeds import Seeds
from recpoison.training import adversarial, adversarial_graph, inner_attack
from recpoison.training.inner_attack import InnerAttack
from recpoison.training.sampling import DevicePairs

sys.path.insert(0, str(Path(__file__).parents[1]))
import pretend_device
from given_fakes import given_file
from pretend_device import Mixed, Pretending, pretending, where
from small_graph import two_blocks

CONF = Path(__file__).parents[2] / "conf"
ASKED = os.environ.get("RECPOISON_TEST_DEVICE", pretend_device.NAME)
CPU, DEVICE = torch.device("cpu"), pretend_device.device() if ASKED == pretend_device.NAME else torch.device(ASKED)
SEEDS = Seeds(0)
SMALL = {
    "batch_size": 64, "code_size": 3, "cutoffs": [3, 10], "discriminator_batch_size": 16, "edges_per_step": 3,
    "embedding_size": 4, "epochs": 3, "generator_batch_size": 16, "hidden_size": 6, "iterations": 3,
    "learning_rate": 0.05, "n_fake_users": 3, "n_flips": 9, "n_negatives": 20, "perplexities": [5.0],
    "pre_training": 1, "retrainings": 2, "searches": 2, "steps": 4, "sweeps": 3,
}  # fmt: skip
PER_STEP = 1  # waits of an epoch, an outer iteration or a step of an attack
PER_BLOCK = 8  # of an evaluation of one block of users
AROUND = 40  # before the first and after the last step: data go to the device, and what was found is looked at
DIFFERENT = {  # on a real device, and why
    "attack/bilevel_ensemble": "a click is within rounding of the threshold: on a CPU too the last objective moves by "
    "1.8% where each surrogate's weight is 20.00006",
    "attack/bilevel_ensemble on clicks": "likewise",
}
MORE = {  # waits of a step of what does not do with one
    "attack/bim on lightgcn": 2,  # the loss of pairs, and of the regulariser's rows
    "attack/copy": 32,  # a step is a round: a fit of the victim for each group, and policies, which live on the host
    "attack/dp": 86,  # a step is a group of fake users: fits of a surrogate, and for each of its rounds whom to win
    "attack/feo": 116,  # likewise
    "attack/leg_up": 211,  # a step is an epoch of the generator and of the surrogate that it is scored by
    "attack/pgd on lightgcn": 2,
    "attack/wrmf_als_gradient": 2,  # the fake users go to the host, which sorts rows by their length, and come back
    "defense/apt": 11,  # every few epochs: an inverse by conjugate gradient, which is asked twice a product, and draws
    "defense/apt_rand": 3,  # every few epochs the host draws ERM users and makes data of them
}
MORE_AROUND = {  # likewise, outside of steps
    "attack/dp": 86,  # its first group, before a step is told
    "attack/feo": 116,
    "attack/copy": 41,  # the source's users are weighed before the first round
    "attack/leg_up": 254,  # the generator is taught before the first look
}

Numbers = dict[str, np.ndarray]
Tensors = Mapping[str, Tensor | np.ndarray]
Start = Callable[[torch.device], Callable[[Progress], Tensors]]


@cache
def ratings() -> Interactions:
    """80 users x 60 items, a tenth of all pairs rated."""
    rng = np.random.default_rng(7)
    rows = np.argwhere(rng.random((80, 60)) < 0.1)
    return Interactions(*rows.T, rng.integers(1, 6, len(rows)).astype(float), 80, 60, Scale(1, 5, 1))


@cache
def clicks() -> Interactions:
    """The same without ratings."""
    return replace(ratings(), values=np.ones(len(ratings())), scale=None)


@cache
def edges() -> Interactions:
    """The same with as many zeros."""
    rows = np.argwhere(ratings().seen.toarray() == 0)
    zeros = rows[np.random.default_rng(8).choice(len(rows), len(ratings()), replace=False)]
    return replace(clicks(), zeros=Edges(*zeros.T))


def split(data: Interactions) -> Split:
    """Its first row of each user is held out."""
    first = np.unique(data.users, return_index=True)[1]
    held, left = (data.take(rows) for rows in (first, np.setdiff1d(np.arange(len(data)), first)))
    if data.zeros is None:
        return Split(left, held)
    zeros = [Edges(data.zeros.users[part], data.zeros.items[part]) for part in (slice(9), slice(9, None))]
    return Split(replace(left, zeros=zeros[1]), replace(held, zeros=zeros[0]))


@cache
def nodes() -> NodeSplit:
    return NodeAccuracy().divide(two_blocks(), SEEDS)


def shrink(node: DictConfig) -> DictConfig:
    """Few epochs, small tables, small batches; a value where only a user can give one."""
    if OmegaConf.is_missing(node, "path"):
        node.path = given_file()
    if OmegaConf.is_interpolation(node, "queried"):  # the victim, in a run
        node.queried, node.queries = OmegaConf.load(CONF / "model" / "item_knn.yaml"), 14
    node.update({name: value for name, value in SMALL.items() if name in node})
    for part in node.values():
        if isinstance(part, DictConfig):
            shrink(part)
    return node


@cache
def parts(group: str) -> dict[str, Any]:
    """Every part of a group by the stem of its YAML."""
    files = sorted((CONF / group).glob("*.yaml"))
    return {file.stem: instantiate(shrink(OmegaConf.load(file)), _convert_="all") for file in files}


_fitted: dict[tuple[str, str], Fitted] = {}


def fitted(model: Model, data: Any, device: torch.device) -> Fitted:
    """The same numbers on any device: those of the CPU."""
    key = repr(model), data.fingerprint
    if key not in _fitted:
        _fitted[key] = model.fitted(data, SEEDS, CPU, Progress())
    return replace(_fitted[key], params={name: x.to(device) for name, x in _fitted[key].params.items()})


def takes(check: Callable[..., None], *arguments: Any) -> bool:
    try:
        check(*arguments)
    except UserError:
        return False
    return True


@dataclass(frozen=True)
class Case:
    """A part and what it is asked to do.

    Args:
        name: ``group/part``, and on what where that is not the first choice.
        start: Makes what is not looked at (a fitted victim) on a device, and gives what is.
        per_step: Waits allowed between two steps.
        around: Waits allowed besides.
        slow: Whether it is one of the long tail.
    """

    name: str
    start: Start
    per_step: int = PER_STEP
    around: int = AROUND
    slow: bool = False


def model_cases() -> Iterator[Case]:
    for name, model in parts("model").items():
        yield Case(f"model/{name}", _fit(model, nodes().train if model.works_on == "graph" else ratings()))
        if isinstance(model, EdgeLearner):
            yield Case(f"model/{name} on edges", _fit(model, edges()))


def _fit(model: Model, data: Any) -> Start:
    def start(device: torch.device) -> Callable[[Progress], Tensors]:
        def work(progress: Progress) -> Tensors:
            found = model.fitted(data, SEEDS, device, progress)
            return {**found.params, "scores": found.scores(torch.arange(20, device=device))}

        return work

    return start


def attack_cases() -> Iterator[Case]:
    for name, attack in parts("attack").items():
        if isinstance(attack, EmbeddingAttack):
            for on, model in parts("model").items():
                if takes(attack.check_model, model):
                    told = "" if on == "bprmf" else f" on {on}"
                    yield Case(f"attack/{name}{told}", _perturb(attack, model), slow=bool(told))
        elif attack.works_on == "graph":
            yield Case(f"attack/{name}", _poison(attack, nodes().train))
        else:
            yield Case(f"attack/{name}", _poison(attack, edges() if attack.flips else ratings()))
            if isinstance(attack, ProfileAttack) and not attack.needs_ratings:
                yield Case(f"attack/{name} on clicks", _poison(attack, clicks()), slow=True)


def _perturb(attack: EmbeddingAttack, model: GradientModel) -> Start:
    def start(device: torch.device) -> Callable[[Progress], Tensors]:
        victim = fitted(model, clicks(), device)
        return lambda progress: attack.perturb(victim, attack.choose_targets(clicks(), SEEDS), SEEDS, progress).tables

    return start


def _poison(attack: Attack, data: Any) -> Start:
    def start(device: torch.device) -> Callable[[Progress], Tensors]:
        targets = attack.choose_targets(data, SEEDS)
        return lambda progress: attack.poison(data, targets, SEEDS, device, progress).arrays()

    return start


def defense_cases() -> Iterator[Case]:
    for name, defense in parts("defense").items():
        kinds = [on for on, model in parts("model").items() if model.works_on != "graph"]
        fits = [on for on in sorted(kinds, key=lambda on: on not in ("bprmf", "mf")) if _fits(defense, on)]
        for on in fits:
            told = "" if on == fits[0] else f" on {on}"
            yield Case(f"defense/{name}{told}", _defend(defense, parts("model")[on]), slow=bool(told))


def _fits(defense: Any, on: str) -> bool:
    return takes(defense.check_model, parts("model")[on])


def _defend(defense: Any, model: Model) -> Start:
    def start(device: torch.device) -> Callable[[Progress], Tensors]:
        told = (ratings(),) if defense.oracle else ()
        return lambda progress: defense.fit(model, ratings(), SEEDS, device, progress, None, *told).params

    return start


def evaluation_cases() -> Iterator[Case]:
    for name, evaluation in parts("evaluation").items():
        yield Case(f"evaluation/{name}", _look(evaluation), PER_BLOCK, PER_BLOCK)


def _look(evaluation: Evaluation) -> Start:
    def start(device: torch.device) -> Callable[[Progress], Tensors]:
        judged: Any = split(edges() if evaluation.divides_edges else clicks())
        model = parts("model")["cf" if evaluation.divides_edges else "bprmf"]
        if evaluation.works_on == "graph":
            judged, model = nodes(), parts("model")["gcn"]
        victim = fitted(model, judged.train, device)
        targets = np.array([3]) if evaluation.works_on != "graph" else np.zeros(0, dtype=np.int64)
        return lambda progress: evaluation.look(victim, judged, targets, SEEDS, device, progress).arrays()

    return start


CASES = {case.name: case for found in (model_cases, attack_cases, defense_cases, evaluation_cases) for case in found()}
PARAMS = [pytest.param(case, id=name, marks=[pytest.mark.slow] if case.slow else []) for name, case in CASES.items()]


class Marks(Progress):
    """Keeps how often the host waited between a step and the next of the same loop."""

    def __init__(self, waits: Counter[str]) -> None:
        self.waits, self.between = waits, list[int]()
        self._last: int | None = None

    def loop(self, *given: Any) -> Loop:
        self._last = None
        return super().loop(*given)

    def step(self, done: int, total: int, **figures: float) -> None:
        now = self.waits.total()
        if self._last is not None and done > 1:
            self.between.append(now - self._last)
        self._last = now


@dataclass(frozen=True)
class Outcome:
    """What a case gave on the device.

    Args:
        numbers: What was asked.
        waits: Of the host, by line and why.
        per_step: Most waits between a step and the next of the same loop.
        around: All others.
        drew: Whether the device drew other numbers than the CPU.
    """

    numbers: Numbers
    waits: Counter[str]
    per_step: int
    around: int
    drew: bool

    @property
    def told(self) -> str:
        return "\n".join(f"{count:5} {place}" for place, count in self.waits.most_common(12))


class _Warned:
    """Counts what CUDA's own mode warns of: operations on which the host waited."""

    def __init__(self) -> None:
        self.waits: Counter[str] = Counter()

    def __call__(self, message: Warning | str, *_: Any, **__: Any) -> None:
        if "synchronizing CUDA operation" in str(message) and (place := where()):
            self.waits[place] += 1


@contextmanager
def watching() -> Iterator[Pretending | _Warned]:
    """Counts waits inside; on the CPU there are none to count."""
    if DEVICE.type == pretend_device.NAME:
        with pretending() as mode:
            yield mode
    else:
        warned = _Warned()
        with patch("warnings.showwarning", warned), patch("warnings.filters", [("always", None, Warning, None, 0)]):
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield warned
            finally:
                torch.cuda.set_sync_debug_mode("default")


class HostDraws(TorchFunctionMode):
    """Numbers for the device from a generator of the CPU, which torch refuses: drawn there, and copied."""

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        named = named or {}
        generator, device = named.get("generator"), named.get("device")
        if generator is None or device is None or generator.device.type == torch.device(device).type:
            return function(*given, **named)
        return function(*given, **named | {"device": CPU}).to(device)


@contextmanager
def draws(same: bool) -> Iterator[SimpleNamespace]:
    """What is drawn in another way on a device than on a CPU; with ``same`` the CPU's numbers are taken there too."""
    told = SimpleNamespace(differ=False)
    of_seeds = Seeds.torch

    def of_device(self: Seeds, *names: str | int, device: str | torch.device = "cpu") -> torch.Generator:
        told.differ = told.differ or torch.device(device).type == "cuda"  # the pretended one draws as a CPU
        return of_seeds(self, *names, device="cpu" if same else device)

    device_draws, device_generator, starts = DevicePairs.draws, inner_attack.generator_of, InnerAttack.starts

    def epoch(self: DevicePairs, seeds: Seeds, epoch: int, per_pair: int = 1) -> tuple[Tensor, ...]:
        told.differ = True
        if not same:
            return device_draws(self, seeds, epoch, per_pair)
        order, uniforms = (torch.from_numpy(array) for array in self.pairs.draws(seeds, epoch, per_pair))
        return order.long().to(self.users.device), uniforms.to(self.users.device)

    def generator(seeds: Seeds, epoch: int, device: torch.device) -> Any:
        return device_generator(seeds, epoch, CPU if same else device)

    def drawn(self: InnerAttack, shape: tuple[int, int], generator: Any) -> Tensor:
        told.differ = True
        return starts(self, shape, generator).to(DEVICE) if same else starts(self, shape, generator)

    with (
        HostDraws(),
        patch.object(Seeds, "torch", of_device),
        patch.object(DevicePairs, "draws", epoch),
        patch.object(adversarial, "generator_of", generator),
        patch.object(adversarial_graph, "generator_of", generator),
        patch.object(InnerAttack, "starts", drawn),
    ):
        yield told


def on_the_cpu(numbers: Tensors) -> Numbers:
    return {name: x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x) for name, x in numbers.items()}


def carry_out(case: Case, same: bool = False) -> Outcome:
    """A case on the device."""
    with watching() as seen, draws(same) as told:
        work = case.start(DEVICE)
        seen.waits.clear()
        progress = Marks(seen.waits)
        found = work(progress)
        waits, between = Counter(seen.waits), progress.between
        numbers = on_the_cpu(found)
    return Outcome(numbers, waits, max(between, default=0), waits.total() - sum(between), told.differ)


@cache
def outcome(name: str) -> Outcome:
    return carry_out(CASES[name])


def test_there_are_parts_of_every_group():
    """One case or more for each YAML."""
    for group in ("model", "attack", "defense", "evaluation"):
        stems = {file.stem for file in (CONF / group).glob("*.yaml")}
        covered = {name.split("/")[1].split(" on ")[0] for name in CASES if name.startswith(f"{group}/")}
        assert stems == covered
        assert stems


@pytest.mark.skipif(DEVICE.type != pretend_device.NAME, reason="it is about the pretended device")
def test_the_device_refuses_and_counts_what_cuda_does():
    with patch.object(pretend_device, "PACKAGE", Path(__file__).parent), pretending() as mode:
        here, there, place = torch.arange(3.0, device=DEVICE), torch.ones(3), torch.tensor([0])
        for mixed in (
            lambda: here + there,
            lambda: there.add_(here),
            lambda: torch.cat([here, there]),
            lambda: here.index_select(0, place),
            lambda: here.index_select(0, place[0]),
            lambda: there[here.long()],
            lambda: torch.rand(2, device=DEVICE, generator=torch.Generator()),
            lambda: torch.rand(2, generator=torch.Generator(DEVICE)),
        ):
            with pytest.raises(Mixed):
                mixed()
        assert (here + there[0] + 1).masked_fill(here > 1, 0.0)[1:].device.type == pretend_device.NAME
        assert torch.rand(2, device=DEVICE, generator=torch.Generator(DEVICE)).device.type == pretend_device.NAME
        there.to(DEVICE, non_blocking=True)
        assert not mode.waits
        numbers = here.long()
        for number, waiting in enumerate(
            (
                lambda: float(here.sum()),
                lambda: here.tolist(),
                lambda: here.cpu(),
                lambda: there.to(DEVICE),
                lambda: torch.tensor([1.0], device=DEVICE),
                lambda: torch.unique(here),
                lambda: here[here > 1],
                lambda: here[place],
                lambda: here.index_put_((numbers,), there[0]),
                lambda: torch.repeat_interleave(here, numbers),
                lambda: torch.bincount(numbers),
                lambda: torch.linalg.cholesky(torch.eye(2, device=DEVICE)),
            ),
            1,
        ):
            waiting()
            assert mode.waits.total() == number, mode.waits
        assert all(told.startswith("on_device.py:") for told in mode.waits)


@pytest.mark.parametrize("case", PARAMS)
def test_the_cpus_numbers(case, request):
    if DEVICE.type == "cuda" and case.name in DIFFERENT:
        request.applymarker(pytest.mark.xfail(reason=DIFFERENT[case.name], strict=False))
    found = outcome(case.name)
    numbers = carry_out(case, same=True).numbers if found.drew else found.numbers
    expected = on_the_cpu(case.start(CPU)(Progress()))
    assert numbers.keys() == expected.keys()
    for name, array in expected.items():
        assert numbers[name].dtype == array.dtype, name
        if array.dtype.kind == "f" and array.size:
            near = np.isclose(numbers[name], array, rtol=0, atol=3e-3 * np.abs(array).max(), equal_nan=True)
            assert near.mean() > 0.95, f"{name}: {(~near).sum()} of {near.size} differ"  # Adam makes steps of rounding
        else:
            np.testing.assert_array_equal(numbers[name], array, err_msg=name)


@pytest.mark.parametrize("case", PARAMS)
def test_the_host_seldom_waits(case):
    found = outcome(case.name)
    per_step = MORE.get(case.name, MORE.get(case.name.split(" on ")[0], case.per_step))
    assert found.per_step <= per_step, f"{found.per_step} waits a step; by line:\n{found.told}"
    around = MORE_AROUND.get(case.name.split(" on ")[0], case.around)
    assert found.around <= around, f"{found.around} waits outside of steps; by line:\n{found.told}"


def test_a_whole_run_gives_the_cpus_numbers():
    """By the name of the device alone, as a user gives it."""
    found = Parts(Planted("planted"), BPRMF(4), parts("attack")["fgsm"], evaluation=FullRanking(cutoffs=[5]))
    expected = run(found, seeds=[1]).metrics()
    with watching(), draws(same=True):
        assert run(found, seeds=[1], device=DEVICE.type).metrics().equals(expected)


if __name__ == "__main__":
    for case in CASES.values():
        if all(word in case.name for word in sys.argv[1:]):
            try:
                found = carry_out(case)
                print(f"{case.name}: {found.per_step} a step, {found.around} around\n{found.told}")
            except Exception:
                print(f"{case.name}: FAILED")
                traceback.print_exc(limit=-6)
