"""The suite of ``on_device.py`` on the pretended device, and on CUDA where there is one."""

import os
import subprocess
import sys
from pathlib import Path

import pretend_device
import pytest
import torch

SUITE = Path(__file__).with_name("on_device.py")
DEVICES = [
    pytest.param("pretend", marks=pytest.mark.skipif(bool(pretend_device.missing()), reason=pretend_device.missing())),
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
        ],
    ),
]
each = pytest.mark.parametrize("device", DEVICES)


def passes(device: str, which: str, names: str = "") -> None:
    """In a process of its own: a backend that was registered stays, and nobody else should see it."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", which, "-k", names, str(SUITE)]
    environment = os.environ | {"RECPOISON_TEST_DEVICE": device}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    found = subprocess.run(command, env=environment, cwd=SUITE.parents[2], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-8000:] + found.stderr[-2000:]


@each
def test_every_model_and_evaluation_on_a_device(device):
    passes(device, "not slow", "model or evaluation or rules")


@each
@pytest.mark.slow
def test_every_part_on_a_device(device):
    passes(device, "not slow")


@each
@pytest.mark.slow
def test_the_long_tail_on_a_device(device):
    passes(device, "slow")


def test_nothing_of_it_is_seen_here():
    assert torch._C._get_privateuse1_backend_name() != pretend_device.NAME
