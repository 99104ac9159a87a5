"""Leases of GPUs, without a GPU: processes that hold one, and the kernel that takes it back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from recpoison.command.leases import leased

# Takes one of two devices, notes it, holds it.
CHILD = """
import sys, time
from pathlib import Path
from recpoison.command.leases import leased
with leased(["a", "b"], int(sys.argv[2]), Path(sys.argv[1]), 0.02) as index:
    print(index, flush=True)
    time.sleep(float(sys.argv[3]))
"""


def hold(folder: Path, jobs: int, seconds: float) -> subprocess.Popen:
    arguments = [sys.executable, "-c", CHILD, str(folder), str(jobs), str(seconds)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def test_jobs_spread_over_the_devices_and_the_next_one_waits(tmp_path, caplog):
    with leased(["a", "b"], 1, tmp_path) as first, leased(["a", "b"], 1, tmp_path) as second:
        assert [first, second] == [0, 1]
        got = []

        def third():
            with leased(["a", "b"], 1, tmp_path, look_seconds=0.01) as index:
                got.append(index)

        thread = threading.Thread(target=third)
        thread.start()
        time.sleep(0.1)
        assert got == []
    thread.join(timeout=5)
    assert got == [0]
    assert [record.getMessage() for record in caplog.records] == [
        "all 2 GPUs have a job each (jobs_per_gpu=1): waiting until one ends. To let more share a GPU, where its "
        "memory suffices, stop this and type the same command with jobs_per_gpu=2"
    ]


def test_who_types_what_a_waiting_job_said_shares_at_once(tmp_path, caplog):
    with leased(["a"], 1, tmp_path) as first, leased(["a"], 2, tmp_path) as second:
        assert [first, second] == [0, 0]
        assert not caplog.records
        thread = threading.Thread(target=lambda: leased(["a"], 2, tmp_path, look_seconds=0.01).__enter__())
        thread.start()
        time.sleep(0.1)
    thread.join(timeout=5)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("the GPU has 2 jobs (jobs_per_gpu=2): waiting until one ends.")
    assert said.endswith("jobs_per_gpu=3")


def test_several_jobs_share_a_device_once_all_have_one(tmp_path):
    with (
        leased(["a", "b"], 2, tmp_path) as first,
        leased(["a", "b"], 2, tmp_path) as second,
        leased(["a", "b"], 2, tmp_path) as third,
        leased(["b"], 2, tmp_path) as fourth,
    ):
        assert [first, second, third, fourth] == [0, 1, 0, 0]


def test_a_dead_job_holds_nothing(tmp_path):
    dead = hold(tmp_path, 1, 60)
    assert dead.stdout.readline() == "0\n"
    dead.kill()
    dead.wait()
    with leased(["a", "b"], 1, tmp_path) as index:
        assert index == 0


def test_two_processes_never_hold_the_same_place(tmp_path):
    holders = [hold(tmp_path, 1, 60) for _ in range(2)]
    assert sorted(holder.stdout.readline() for holder in holders) == ["0\n", "1\n"]
    for holder in holders:
        holder.kill()
        holder.wait()


@pytest.mark.skipif(os.name != "posix", reason="files are locked on POSIX only")
def test_an_error_gives_the_device_back(tmp_path):
    with pytest.raises(ZeroDivisionError), leased(["a"], 1, tmp_path):
        raise ZeroDivisionError
    with leased(["a"], 1, tmp_path) as index:
        assert index == 0
