"""What of the machine a job takes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf

from recpoison.command import leases, machine
from recpoison.command.machine import choose_device, device_of_one, set_up, threads_of_one


@pytest.mark.parametrize(
    ("launcher", "threads"),
    [
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, None),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 2}, 4),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 3}, 2),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 100}, 1),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -1}, 1),
        ({"_target_": "x.JoblibLauncher", "n_jobs": -7}, 4),
        ({"_target_": "x.JoblibLauncher", "n_jobs": 1}, None),
        ({"_target_": "x.SlurmLauncher", "cpus_per_task": 6}, 6),
        ({"_target_": "x.LocalLauncher", "cpus_per_task": None}, 1),
        ({"_target_": "x.RayLauncher", "ray": {"remote": {"num_cpus": 2}}}, 2),
        ({"_target_": "x.RayLauncher", "ray": {"remote": {}}}, 1),
    ],
)
def test_parallel_jobs_share_eight_cores(monkeypatch, launcher, threads):
    monkeypatch.setattr(machine, "cores", lambda: 8)
    assert threads_of_one(OmegaConf.create(launcher)) == threads


def test_one_job_among_many_leases_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(leases, "cuda_names", lambda: ["gpu-x", "gpu-y"])
    monkeypatch.setattr(leases, "default_folder", lambda: tmp_path)
    anyone, second = torch.device("cuda"), torch.device("cuda:1")
    with device_of_one(anyone, 1) as one, device_of_one(anyone, 1) as other:
        assert (one, other) == (torch.device("cuda:0"), torch.device("cuda:1"))
    with device_of_one(second, 1) as one:
        assert one == torch.device("cuda:1")
    with device_of_one(torch.device("cpu"), 1) as one:
        assert one == torch.device("cpu")


def test_setting_up_imports_no_compiler():
    start = "import sys; from recpoison.command.machine import set_up; set_up(False, 1); "
    program = start + "print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_threads_are_set(monkeypatch):
    before = torch.get_num_threads()
    set_up(False, 1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_the_cpu_is_chosen_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
