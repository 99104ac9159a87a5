"""Seeds at once: the numbers are each seed's own, and stopping, failing and signals are as with one after the other."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
import torch

from recpoison.algebra import current
from recpoison.attacks.profiles.average import AverageAttack
from recpoison.attacks.targets import Targets
from recpoison.data.splitting import Splitter
from recpoison.data.synthetic import Synthetic
from recpoison.defenses.apr import APR
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.bprmf import BPRMF
from recpoison.models.mult_vae import MultVAE
from recpoison.models.wrmf import WRMF
from recpoison.stages import at_once
from recpoison.stages.store import Store
from recpoison.training.signals import Signals
from recpoison.training.trainer import Trainer

CPU = torch.device("cpu")
DATA = Synthetic("made", 60, 40, 8, 3.0, Splitter("leave_one_out_random"))
ATTACK = AverageAttack(targets=Targets(rule="list", items=(39,)), n_fake_users=3, fillers=4)
FEW = FullRanking(cutoffs=(5,))
PARTS = {
    "a kernel": Parts(DATA, BPRMF(8, trainer=Trainer(3)), ATTACK, APR(), evaluation=FEW),
    "torch": Parts(DATA, MultVAE(trainer=Trainer(2, 16, optimizer="adam")), ATTACK, evaluation=FEW),
    "linear algebra": Parts(DATA, WRMF(8, trainer=replace(WRMF().trainer, epochs=2)), ATTACK, evaluation=FEW),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind != "a kernel")) for kind in PARTS]
)
def test_the_numbers_of_a_seed_do_not_depend_on_how_many_run_beside_it(kind: str, tmp_path: Path) -> None:
    parts = PARTS[kind]
    seeds = [3, 0, 2, 1]
    expected = run(parts, seeds)
    for workers in (2, 4):
        found = run(parts, seeds, workers=workers, store=Store(tmp_path / str(workers)))
        assert found.metrics().equals(expected.metrics())
        assert list(found.about["data"]) == seeds
        assert [(cost.stage, cost.cell, cost.seed) for cost in found.costs] == [
            (cost.stage, cost.cell, cost.seed) for cost in expected.costs
        ]
        for one, other in zip(found.results, expected.results, strict=True):
            mine, same = one.seen.arrays(), other.seen.arrays()
            assert all(np.array_equal(mine[name], same[name]) for name in same)
    again = run(parts, seeds, workers=4, store=Store(tmp_path / "2"))
    assert all(cost.reused for cost in again.costs)


def meeting(n_threads: int) -> threading.Barrier:
    return threading.Barrier(n_threads, timeout=60)


def test_as_many_run_at_once_as_there_are_workers() -> None:
    two = meeting(2)
    found = at_once.at_once(
        [lambda n=n: (two.wait(), n, threading.get_ident())[1:] for n in range(6)], 2, Signals(), CPU
    )
    assert [number for number, _ in found] == list(range(6))
    assert len({thread for _, thread in found}) == 2


def test_threads_have_the_torch_threads_of_the_one_that_began_them() -> None:
    assert at_once.at_once([torch.get_num_threads] * 3, 2, Signals(), CPU) == [1, 1, 1]


class Working:
    """A work that goes on until it is stopped."""

    def __init__(self) -> None:
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self) -> None:
        try:
            self.begun.set()
            for _ in range(6000):
                time.sleep(0.005)
        finally:
            self.ended.set()


def test_what_one_raises_is_raised_and_the_others_are_stopped() -> None:
    endless, never = Working(), Working()

    def fails() -> None:
        endless.begun.wait(60)
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        at_once.at_once([endless, fails, never], 2, Signals(), CPU)
    assert endless.ended.is_set()
    assert not never.begun.is_set()


def test_ctrl_c_stops_all() -> None:
    both = [Working(), Working()]

    def interrupt() -> None:
        for one in both:
            one.begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            at_once.at_once(both, 2, Signals(), CPU)
    finally:
        signal.signal(signal.SIGINT, before)
    assert all(one.ended.is_set() for one in both)


@pytest.mark.parametrize(
    ("free", "took", "expected"),
    [(10**9, 0, 3), (6_000, 2_000, 3), (6_000, 3_000, 2), (6_000, 10**9, 1)],
    ids=["all fit", "three fit beside the first", "two", "none: one after the other"],
)
def test_where_memory_may_not_suffice_the_first_shows_how_many_fit(monkeypatch, free, took, expected) -> None:
    """100 cells of 64 bytes for each of 3 workers are 19,200 bytes."""
    monkeypatch.setattr(at_once, "available_memory", lambda: free)
    monkeypatch.setattr(at_once, "resident_memory", lambda peak=False: 500 + took * peak)
    lock, running, most, order = threading.Lock(), [0], [0], []
    all_there = threading.Event()

    def work(number: int) -> int:
        with lock:
            running[0] += 1
            order.append(number)
            most[0] = max(most[0], running[0])
            if running[0] >= expected:
                all_there.set()
        if number or took == 0:
            all_there.wait(60)
        with lock:
            running[0] -= 1
        return number

    works = [lambda number=number: work(number) for number in range(5)]
    assert at_once.all_of(works, 3, 100, Signals(), CPU) == list(range(5))
    assert most[0] == expected
    assert took == 0 or order[0] == 0


def test_a_signal_waits_until_every_thread_in_a_loop_has_written() -> None:
    """Two threads are in loops and one is not: USR1 reaches its handler once both have written, and only then."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    signals, entered = Signals(), meeting(3)
    written, ends = [threading.Event(), threading.Event()], threading.Event()

    def loop(place: int) -> int:
        signals.enter()
        entered.wait()
        while not signals.ask():
            time.sleep(0.005)
        if place:
            written[0].wait(60)
            time.sleep(0.1)
            assert not heard  # this one has not written yet
        signals.wrote()
        written[place].set()
        assert not signals.ask()
        ends.wait(60)
        signals.leave()
        return place

    def outside() -> int:
        entered.wait()
        os.kill(os.getpid(), signal.SIGUSR1)
        written[1].wait(60)
        while not heard:
            time.sleep(0.005)
        ends.set()
        return 2

    try:
        assert at_once.at_once([lambda: loop(0), lambda: loop(1), outside], 3, signals, CPU) == [0, 1, 2]
        assert heard == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


# A run of two seeds at once that is killed, and says each epoch it does.
CHILD = """
import sys, time
from pathlib import Path
import torch
from recpoison.data.splitting import Splitter
from recpoison.data.synthetic import Synthetic
from recpoison.evaluation.full_ranking import FullRanking
from recpoison.experiment import Parts, run
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.stages.store import Store
from recpoison.training.trainer import Trainer

class Slow(Progress):
    def step(self, done, total, **figures):
        if total == 40:
            sys.stdout.write(f"{done}\\n")  # in one piece
            sys.stdout.flush()
            time.sleep(float(sys.argv[2]))

torch.set_num_threads(1)
data = Synthetic("made", 60, 40, 8, 3.0, Splitter("leave_one_out_random"))
parts = Parts(data, BPRMF(8, trainer=Trainer(40)), evaluation=FullRanking(cutoffs=(5,)))
record = run(parts, [0, 1], store=Store(Path(sys.argv[1])), progress=Slow(), checkpoint_seconds=None, workers=2)
Path(sys.argv[1], "metrics").write_text(record.metrics().to_csv())
"""


@pytest.mark.slow
def test_after_sigterm_both_seeds_go_on_from_their_checkpoints(tmp_path: Path) -> None:
    def started(store: str, pause: float) -> subprocess.Popen:
        words = [sys.executable, "-c", CHILD, str(tmp_path / store), str(pause)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    child = started("stopped", 0.1)
    epochs = [int(child.stdout.readline()) for _ in range(6)]
    assert max(epochs) < 10
    child.terminate()
    child.communicate(timeout=120)
    assert child.returncode == -signal.SIGTERM
    assert len(list((tmp_path / "stopped" / "fit").glob(".part-*/*.safetensors"))) == 2
    after = started("stopped", 0.0)
    told, _ = after.communicate(timeout=300)
    assert min(map(int, told.split())) > 2  # neither starts afresh
    assert after.returncode == 0
    whole = run(Parts(DATA, BPRMF(8, trainer=Trainer(40)), evaluation=FEW), [0, 1])
    assert (tmp_path / "stopped" / "metrics").read_text() == whole.metrics().to_csv()


def test_a_stage_that_all_want_is_asked_for_once() -> None:
    asked: list[str] = []

    class Wanted:
        kind = "change"

    def obtain(stage: Wanted) -> int:
        asked.append(stage.kind)
        time.sleep(0.05)
        return len(asked)

    once = at_once.Once(lambda stage: True)
    works = [lambda: once.through(obtain)(Wanted()) for _ in range(4)]
    assert at_once.at_once(works, 4, Signals(), CPU) == [1, 1, 1, 1]


def test_streams_are_many_blocks_on_a_cpu_and_no_more_than_torch_has() -> None:
    with at_once.streams(CPU, 2)[1]:
        assert torch.ones(1).item() == 1
    with pytest.raises(ValueError, match="33 threads would share 32 streams"):
        at_once.streams(torch.device("cuda"), 33)


def test_memory_is_the_device_s_where_seeds_work_on_one(monkeypatch) -> None:
    """A card of which 6,000 bytes are free, 3,000 of them kept by torch, while the host has none: two fit beside."""
    monkeypatch.setattr(at_once, "available_memory", lambda: 0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_000, 80_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 4_000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 1_000)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 4_000)
    asked: list[int] = []
    monkeypatch.setattr(
        at_once, "at_once", lambda works, workers, *_: asked.append(workers) or [work() for work in works]
    )
    assert at_once.all_of([lambda: 7] * 4, 3, 100, Signals(), torch.device("cuda")) == [7] * 4
    assert asked == [2]
    monkeypatch.setattr(current._Queue, "inside", 4)
    assert current.free_memory(torch.device("cuda")) == 1_500


def test_a_thread_that_ends_while_others_look_up_is_not_told_as_an_error(monkeypatch) -> None:
    """One that has nothing left to do, but has not said so; after an error, one that is told to stop just then."""
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    class Slow(SimpleQueue):
        def put(self, item: object) -> None:
            time.sleep(0.3)
            super().put(item)

    signals = Signals()
    signals.news = Slow()
    monkeypatch.setattr(at_once, "_LOOK_SECONDS", 0.01)
    assert at_once.at_once([lambda: 1, lambda: 2], 2, signals, CPU) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        at_once.at_once([lambda: 1 // 0, lambda: 2], 2, signals, CPU)
    time.sleep(0.4)
    assert told == []
