"""On a machine with several GPUs, launches go to the device of their tensors."""

from contextlib import contextmanager

import torch

from recpoison.algebra.current import current
from recpoison.training import captured
from recpoison.training.captured import CapturedBatches


def test_cuda_becomes_current_and_a_cpu_does_not(monkeypatch):
    entered = []

    @contextmanager
    def device(which):
        entered.append(which)
        yield

    monkeypatch.setattr(torch.cuda, "device", device)
    for name in ("cpu", "cuda:1"):
        with current(torch.device(name)):
            pass
    assert entered == [torch.device("cuda:1")]


def test_batches_are_walked_on_their_own_device(monkeypatch):
    inside, seen = [], []

    @contextmanager
    def noted(which):
        inside.append(which)
        yield
        inside.pop()

    monkeypatch.setattr(captured, "current", noted)
    cpu = torch.device("cpu")
    CapturedBatches(lambda rows: seen.append(list(inside)), 1, 5, 2, cpu).run((torch.arange(5),))
    assert seen == [[cpu]] * 3
