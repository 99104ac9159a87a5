"""What of the machine a job takes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf

from recpoison.command import leases, machine
from recpoison.command.machine import (
    choose_device,
    device_of_one,
    prepared,
    seeds_at_once,
    set_up,
    threads_of_a_seed,
    threads_of_one,
)


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


@pytest.mark.parametrize(
    ("settings", "device", "of_job", "threads", "workers"),
    [
        ({"repeats": 5}, "cpu", None, 1, 8),  # all cores
        ({"repeats": 5}, "cpu", 4, 1, 4),  # a job of a parallel sweep has four of them
        ({"repeats": 5, "threads": 3}, "cpu", None, 3, 2),
        ({"repeats": 5, "workers": 3}, "cpu", 4, 1, 3),
        ({"repeats": 1}, "cpu", None, None, 8),
        ({"repeats": 1}, "cpu", 4, 4, 1),
        ({"repeats": 5, "workers": 3}, "cuda", None, None, 3),
        ({"repeats": 5}, "cuda", None, None, 4),  # threads that launch wait for Python's lock
        ({"repeats": 5, "jobs_per_gpu": 4}, "cuda", None, None, 2),  # each of the four has two of the cores
    ],
)
def test_seeds_share_the_cores_and_a_seed_s_threads_do_not_depend_on_how_many_run(
    monkeypatch, settings, device, of_job, threads, workers
):
    monkeypatch.setattr("recpoison.command.machine.cores", lambda: 8)
    cfg = OmegaConf.create({"threads": None, "workers": None, "jobs_per_gpu": 1} | settings)
    assert threads_of_a_seed(cfg, torch.device(device), of_job) == threads
    assert seeds_at_once(cfg, torch.device(device), of_job) == workers


def test_a_process_has_its_threads_again_after_a_run():
    from threadpoolctl import threadpool_info

    def of_blas() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    before, blas = torch.get_num_threads(), of_blas()
    torch.set_num_threads(3)
    with prepared(False, 1):
        assert torch.get_num_threads() == 1
        assert set(of_blas()) <= {1}
    assert (torch.get_num_threads(), of_blas()) == (3, blas)
    torch.set_num_threads(before)
