"""A fit that was killed and went on gives the same parameters as one that was not, bit for bit."""

import hashlib
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from recpoison.data.synthetic import Synthetic
from recpoison.models.base import Monitor
from recpoison.models.bprmf import BPRMF
from recpoison.models.wrmf import WRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.stages.command import main
from recpoison.stages.store import Store
from recpoison.stages.upkeep import damaged_checkpoints
from recpoison.training.checkpoint import Checkpoint
from recpoison.training.trainer import Trainer

EPOCHS = 6
CONF = Path(__file__).parents[2] / "conf" / "model"
TRAINED = sorted(file for file in CONF.glob("*.yaml") if "\ntrainer:" in file.read_text())
CPU = torch.device("cpu")
BPR = BPRMF(embedding_size=4, trainer=Trainer(epochs=EPOCHS, batch_size=64))
MODELS = {
    "adagrad, numba": BPR,
    "sgd, torch": replace(BPR, trainer=replace(BPR.trainer, optimizer="sgd", backend="torch")),
    "adam, torch": replace(BPR, trainer=replace(BPR.trainer, optimizer="adam")),
    "wrmf": WRMF(embedding_size=4, trainer=replace(WRMF().trainer, epochs=EPOCHS, batch_size=16)),
}
# fit.py STORE RESULT: a fit through the store, slow enough to be killed; prints the epochs it does.
CHILD = """
import sys, time
from pathlib import Path
import torch
from safetensors.torch import load_file, save_file
from recpoison.data.synthetic import Synthetic
from recpoison.models.bprmf import BPRMF
from recpoison.progress import Progress
from recpoison.seeds import Seeds
from recpoison.stages.base import Stage
from recpoison.stages.obtaining import Stages
from recpoison.stages.store import Store
from recpoison.training.trainer import Trainer

class Slow(Progress):
    def step(self, done, total, **figures):
        print(done, flush=True)
        time.sleep(0.1)

torch.set_num_threads(1)
data = Synthetic("s", 40, 30, 3, 1.0).load(None, Seeds(0), Progress()).train
model = BPRMF(embedding_size=4, trainer=Trainer(epochs=int(sys.argv[3]), batch_size=64))

class Fitting(Stage):
    kind, title, seed, inputs = "fit", "fit", 0, {"a": 1}
    def compute(self, progress): return model.fit(data, Seeds(0), torch.device("cpu"), progress)
    def save(self, params, folder): save_file(params, folder / "params")
    def load(self, folder): return load_file(folder / "params")
    def promise(self, key): raise NotImplementedError

params = Stages(Store(Path(sys.argv[1])), Slow(), torch.device("cpu"), 0.0).obtain(Fitting())
save_file(params, sys.argv[2])
"""


class Died(Exception):
    pass


class Stopping(Progress):
    """Dies after some epochs, counting them."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.epochs, self.notes = after, [], []

    def step(self, done: int, total: int, **figures: float) -> None:
        self.epochs.append(done)
        if len(self.epochs) == self.after:
            raise Died

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def data():
    return Synthetic("s", 40, 30, 3, 1.0).load(None, Seeds(0), Progress()).train


def same(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def die_and_go_on(fit, folder: Path, after: int, every: float = 0.0) -> tuple[Stopping, object]:
    with pytest.raises(Died), Checkpoint(Stopping(after), folder, every) as progress:
        fit(progress)
    second = Stopping()
    with Checkpoint(second, folder, every) as progress:
        return second, fit(progress)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("after", [1, 4])
def test_a_fit_that_died_goes_on_bit_for_bit(name, after, data, tmp_path):
    model = MODELS[name]
    whole = model.fit(data, Seeds(0), CPU, Progress())
    second, params = die_and_go_on(lambda progress: model.fit(data, Seeds(0), CPU, progress), tmp_path, after)
    assert second.epochs == list(range(after, EPOCHS + 1))  # its last epoch was told, but not kept
    assert same(params, whole)


def built(node):
    """The part that a YAML node describes, without Hydra."""
    if not isinstance(node, dict):
        return node
    module, name = node["_target_"].rsplit(".", 1)
    fields = {key: built(value) for key, value in node.items() if key != "_target_"}
    return getattr(importlib.import_module(module), name)(**fields)


@pytest.mark.parametrize("file", TRAINED, ids=lambda file: file.stem)
def test_every_model_with_a_trainer_goes_on(file, data, tmp_path):
    """A new objective that does not say its ``inputs`` fails here: its fits would start afresh."""
    model = built(yaml.safe_load(file.read_text()))
    model = replace(model, trainer=replace(model.trainer, epochs=3))
    second, params = die_and_go_on(lambda progress: model.fit(data, Seeds(0), CPU, progress), tmp_path, 3)
    assert second.epochs == [3]
    assert same(params, model.fit(data, Seeds(0), CPU, Progress()))


def test_the_best_epoch_so_far_is_kept_too(data, tmp_path):
    """The monitor likes epoch 2 best, and the fit dies after it."""

    def fit(progress):
        monitor = Monitor(1, lambda epoch, params: -abs(epoch - 2))
        return BPR.fit(data, Seeds(0), CPU, progress, monitor)

    _, params = die_and_go_on(fit, tmp_path, 5)
    assert same(params, fit(Progress()))
    assert not same(params, BPR.fit(data, Seeds(0), CPU, Progress()))


def test_loops_of_one_stage_do_not_meet(data, tmp_path):
    """Two fits that differ in stream or data alone, then one of them again."""

    def fits(progress):
        first = BPR.fit(data, Seeds(0), CPU, progress)
        second = BPR.fit(data, Seeds(0).child("student"), CPU, progress)
        third = BPR.fit(data.take(data.items != 3), Seeds(0), CPU, progress)
        return [first, second, third, BPR.fit(data, Seeds(0), CPU, progress)]

    whole = fits(Progress())
    second, params = die_and_go_on(fits, tmp_path, EPOCHS + 3)
    assert all(same(left, right) for left, right in zip(params, whole, strict=True))
    assert second.epochs == [*range(3, EPOCHS + 1), *range(1, EPOCHS + 1)]  # the first and the last are known


def flip(path: Path, name: str) -> None:
    """Change the highest byte of the first number of a tensor: the exponent of a float."""
    content = bytearray(path.read_bytes())
    length = int.from_bytes(content[:8], "little")
    start, _ = json.loads(content[8 : 8 + length])[name]["data_offsets"]
    width = torch.tensor([], dtype=load_file(path)[name].dtype).element_size()
    content[8 + length + start + (width - 1 if width == 4 else 0)] ^= 1
    path.write_bytes(content)


def zeros(path: Path, n: int = 4096) -> None:
    content = path.read_bytes()
    kept = max(len(content) - n, 8 + int.from_bytes(content[:8], "little"))
    path.write_bytes(content[:kept] + bytes(len(content) - kept))


def rewritten(path: Path, change) -> None:
    """Other tensors under a name with their sha256: as if a loop of another kind had written them."""
    state = dict(load_file(path))
    change(state)
    path.unlink()
    save_file(state, path)
    name = path.name.partition("-")[0]
    path.rename(path.with_name(f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()}.safetensors"))


HARM = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "empty": lambda path: path.write_bytes(b""),
    "an exponent bit": lambda path: flip(path, "param.user"),
    "the epoch": lambda path: flip(path, "epoch"),
    "the seconds": lambda path: flip(path, "seconds before"),
    "4 kB of zeros": zeros,
    "a tensor's name": lambda path: path.write_bytes(path.read_bytes().replace(b"param.user", b"param.uzer")),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
}
OTHERS = {
    "another name": lambda state: state.update({"param.x": state.pop("param.user")}),
    "one more": lambda state: state.update({"sum.x": torch.zeros(3)}),
    "one less": lambda state: state.pop("sum.user"),
    "another shape": lambda state: state.update({"param.user": torch.zeros(41, 4)}),
    "another type": lambda state: state.update({"param.user": torch.zeros(40, 4, dtype=torch.float64)}),
    "an epoch with a shape": lambda state: state.update({"epoch": torch.tensor([3])}),
    "an epoch that is no whole number": lambda state: state.update({"epoch": torch.tensor(2.5)}),
    "an epoch before the first": lambda state: state.update({"epoch": torch.tensor(-1)}),
    "an epoch after the last": lambda state: state.update({"epoch": torch.tensor(EPOCHS + 1)}),
    "half a best epoch": lambda state: state.update({"best_score": torch.zeros((), dtype=torch.float64)}),
    "no seconds": lambda state: state.pop("seconds before"),
    "seconds with a shape": lambda state: state.update({"seconds before": torch.zeros(2)}),
    "a point of a curve at no epoch": lambda state: state.update({"seen.x": torch.zeros(2, dtype=torch.float64)}),
}


@pytest.mark.parametrize("kind", [*HARM, *OTHERS])
def test_a_damaged_checkpoint_is_dropped_with_one_warning(kind, data, tmp_path, caplog):
    """And the numbers are those of a fit that nothing happened to."""
    store = Store(tmp_path)
    part = store.part("fit", "a" * 64)

    def fit(progress):
        return BPR.fit(data, Seeds(0), CPU, progress)

    with pytest.raises(Died), Checkpoint(Stopping(3), part, 0.0) as progress:
        fit(progress)
    (path,) = part.iterdir()
    if kind in HARM:
        HARM[kind](path)
        assert [left.name for left in damaged_checkpoints(store)] == [path.name]
    else:
        rewritten(path, OTHERS[kind])
    second = Stopping()
    with Checkpoint(second, part, math.inf) as progress:
        assert same(fit(progress), fit(Progress()))
    assert second.epochs == list(range(1, EPOCHS + 1))
    (warning,) = caplog.records
    assert "is damaged" in warning.message
    assert not list(part.iterdir())


def test_verify_removes_damaged_checkpoints_and_no_others(data, tmp_path, capsys):
    store = Store(tmp_path)
    for key in ("a" * 64, "b" * 64):
        with pytest.raises(Died), Checkpoint(Stopping(3), store.part("fit", key), 0.0) as progress:
            BPR.fit(data, Seeds(0), CPU, progress)
    (harmed,) = store.part("fit", "a" * 64).iterdir()
    zeros(harmed)
    assert main(["verify", "--store-dir", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert f"damaged checkpoint: fit/.part-{'a' * 64}/" in out
    assert "0 stages checked, 0 damaged, 1 damaged checkpoints" in out
    assert not harmed.exists()
    assert main(["verify", "--store-dir", str(tmp_path)]) == 0
    assert len(list(store.part("fit", "b" * 64).iterdir())) == 1


def test_a_kill_between_writing_one_and_removing_the_last_leaves_the_newer(data, tmp_path):
    kept = {}
    with pytest.raises(Died), Checkpoint(Stopping(3), tmp_path, 0.0) as progress:
        BPR.fit(data, Seeds(0), CPU, progress)
    (old,) = tmp_path.iterdir()
    kept[old.name] = old.read_bytes()
    with pytest.raises(Died), Checkpoint(Stopping(2), tmp_path, 0.0) as progress:
        BPR.fit(data, Seeds(0), CPU, progress)
    assert len(list(tmp_path.iterdir())) == 1
    old.write_bytes(kept[old.name])
    os.utime(old, (1, 1))
    second = Stopping()
    with Checkpoint(second, tmp_path, 0.0) as progress:
        BPR.fit(data, Seeds(0), CPU, progress)
    assert second.epochs[0] == 4
    assert len(list(tmp_path.iterdir())) == 1
    assert not old.exists()


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path, caplog):
    (tmp_path / "part").write_text("")
    with Checkpoint(Progress(), tmp_path / "part", 0.0) as progress:
        loop = progress.loop("work")
        for _ in range(3):
            loop.keep(lambda: {"epoch": torch.zeros(())})
    assert len(caplog.records) == 1


def test_nothing_is_written_before_its_time(data, tmp_path):
    with Checkpoint(Progress(), tmp_path / "part", 3600.0) as progress:
        BPR.fit(data, Seeds(0), CPU, progress)
    assert not (tmp_path / "part").exists()


def test_writing_takes_at_most_2_percent_of_the_time(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("recpoison.training.checkpoint.time.monotonic", lambda: clock[0])
    writes = []

    def state():
        writes.append(clock[0])
        clock[0] += 3.0  # a slow disk
        return {"epoch": torch.zeros(())}

    with Checkpoint(Progress(), tmp_path, 10.0) as progress:
        loop = progress.loop("work")
        while clock[0] < 1000:
            clock[0] += 1.0
            loop.keep(state)
    assert writes == [10.0, 163.0, 316.0, 469.0, 622.0, 775.0, 928.0]  # 3 s of every 153


def test_seconds_before_the_kill_are_remembered(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("recpoison.training.checkpoint.time.monotonic", lambda: clock[0])
    for _ in range(3):
        with Checkpoint(Progress(), tmp_path, 0.0) as progress:
            loop = progress.loop("work")
            clock[0] += 7.0
            loop.keep(lambda: {"epoch": torch.zeros(())})
    with Checkpoint(Progress(), tmp_path, 0.0) as progress:
        progress.loop("work")
        assert progress.earlier_seconds == 21.0


class Stopped(KeyboardInterrupt):
    pass


@pytest.fixture
def stopped_by_sigterm():
    """As the command does."""

    def stop(number, frame):
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    yield stop
    signal.signal(signal.SIGTERM, before)


class Signalling(Progress):
    def __init__(self, number: int, times: int = 1) -> None:
        self.number, self.times = number, times

    def step(self, done: int, total: int, **figures: float) -> None:
        if done == 2:
            for _ in range(self.times):
                signal.raise_signal(self.number)


def test_sigterm_is_delivered_once_the_state_is_safe(data, tmp_path, stopped_by_sigterm):
    with pytest.raises(Stopped), Checkpoint(Signalling(signal.SIGTERM), tmp_path, math.inf) as progress:
        BPR.fit(data, Seeds(0), CPU, progress)
    assert signal.getsignal(signal.SIGTERM) is stopped_by_sigterm
    (path,) = tmp_path.iterdir()
    assert load_file(path)["epoch"] == 2
    with Checkpoint(Progress(), tmp_path, math.inf) as progress:
        assert same(BPR.fit(data, Seeds(0), CPU, progress), BPR.fit(data, Seeds(0), CPU, Progress()))


def test_a_second_sigterm_does_not_wait(data, tmp_path, stopped_by_sigterm):
    with pytest.raises(Stopped), Checkpoint(Signalling(signal.SIGTERM, 2), tmp_path, math.inf) as progress:
        BPR.fit(data, Seeds(0), CPU, progress)
    assert not list(tmp_path.iterdir())


def test_sigterm_after_the_last_round_is_delivered_at_the_end(tmp_path, stopped_by_sigterm):
    done = []

    def last_round(progress):
        progress.loop("work")
        signal.raise_signal(signal.SIGTERM)
        done.append("stored")

    with pytest.raises(Stopped), Checkpoint(Progress(), tmp_path, math.inf) as progress:
        last_round(progress)
    assert done == ["stored"]


def test_sigusr1_writes_and_goes_on(data, tmp_path):
    before = signal.getsignal(signal.SIGUSR1)
    with Checkpoint(Signalling(signal.SIGUSR1), tmp_path, math.inf) as progress:
        params = BPR.fit(data, Seeds(0), CPU, progress)
    assert same(params, BPR.fit(data, Seeds(0), CPU, Progress()))
    (path,) = tmp_path.iterdir()
    assert load_file(path)["epoch"] == 2
    assert signal.getsignal(signal.SIGUSR1) is before


def test_another_thread_leaves_signals_alone(data, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with Checkpoint(Progress(), tmp_path, 0.0) as progress:
            progress.loop("work")
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def start(store: Path, result: Path, epochs: int = 12) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, str(store), str(result), str(epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_killed_process_goes_on_bit_for_bit(number, data, tmp_path):
    child = start(tmp_path / "store", tmp_path / "result")
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) == 5:
            child.send_signal(number)
            break
    assert child.wait() == -number
    assert not (tmp_path / "result").exists()
    assert len(list((tmp_path / "store" / "fit").glob(".part-*/*.safetensors"))) == 1

    second = start(tmp_path / "store", tmp_path / "result")
    epochs = second.communicate(timeout=120)[0].split()
    assert second.returncode == 0
    assert int(epochs[0]) in ((5, 6) if number == signal.SIGKILL else (6, 7))
    whole = replace(BPR, trainer=replace(BPR.trainer, epochs=12)).fit(data, Seeds(0), CPU, Progress())
    assert same(load_file(tmp_path / "result"), whole)
    assert not list((tmp_path / "store" / "fit").glob(".part-*"))
