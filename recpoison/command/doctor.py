"""``recpoison-doctor``: what is installed, what this machine offers, which data are here, and what each gap costs."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recpoison import __version__
from recpoison.answering import answered
from recpoison.data.provenance import data_folder, find
from recpoison.data.sources import SOURCES
from recpoison.paths import CONF_DIR

REQUIRED = (
    "torch",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scipy",
    "pandas",
    "rich",
    "numba",
    "safetensors",
    "matplotlib",
)
EXTRAS = {
    "test": (("pytest", "hypothesis", "scikit-learn"), "running the tests"),
    "dev": (("ruff", "mypy", "build"), "linting, type checks, building the wheel"),
    "bench": (("implicit", "cornac"), "comparing speed with other libraries"),
    "parquet": (("pyarrow",), "reading your own table from parquet"),
    "joblib": (("hydra-joblib-launcher",), "sweeps in several processes: hydra/launcher=joblib"),
    "slurm": (("hydra-submitit-launcher",), "sweeps on a cluster: hydra/launcher=submitit_slurm"),
    "optuna": (("hydra-optuna-sweeper",), "searches for settings: hydra/sweeper=optuna"),
    "ray": (("hydra-ray-launcher",), "sweeps on a Ray cluster: hydra/launcher=ray"),
    "tensorboard": (("tensorboard",), "runs in TensorBoard: trackers=[tensorboard]"),
    "mlflow": (("mlflow-skinny",), "runs in MLflow: trackers=[mlflow]"),
    "wandb": (("wandb",), "runs in Weights & Biases: trackers=[wandb]"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the report; a gap is no failure, so the exit code is 0."""
    parser = argparse.ArgumentParser(
        "recpoison-doctor", description="What is installed, which data are here, what is missing."
    )
    parser.add_argument(
        "--data-dir", type=Path, help="where to look for data; else $RECPOISON_DATA, else the user cache"
    )
    options = parser.parse_args(arguments)
    return answered("recpoison-doctor", lambda: _report(options.data_dir, Console()))


def _report(data_dir: Path | None, console: Console) -> None:
    _table(console, "Software", software())
    _table(console, "Machine", machine())
    _table(console, f"Data in {data_folder(data_dir)}", data(data_dir))
    _table(console, "Extras", extras())


def software() -> Iterator[tuple[str, str]]:
    """Names and versions of recpoison, Python and the packages it cannot do without."""
    yield "recpoison", f"{__version__}, settings in {CONF_DIR}"
    yield "Python", f"{platform.python_version()} at {sys.executable}"
    for name in REQUIRED:
        yield name, installed(name) or "missing: install recpoison again"


def machine() -> Iterator[tuple[str, str]]:
    """System, threads and devices. Imports torch."""
    import torch

    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield (
        "threads",
        f"{torch.get_num_threads()} of {os.cpu_count()} (OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')})",
    )
    if not torch.cuda.is_available():
        yield "device", "cpu; PyTorch sees no CUDA device, so device=cuda is refused"
        return
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield f"cuda:{number}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    slower = "missing: CUDA trains by torch's operations, BPR 53 times as long on an H200 (pip install triton)"
    yield "triton", installed("triton") or slower


def data(data_dir: Path | None) -> Iterator[tuple[str, str]]:
    """Each known dataset: found, or how to get it."""
    for name, source in SOURCES.items():
        folder = data_folder(data_dir) / source.folder
        missing = [file for file in source.files if not file.optional and not find(folder, file.name)]
        if not missing:
            yield name, f"found in {source.folder}/"
        elif len(missing) < sum(not file.optional for file in source.files):
            yield name, f"some files found; missing: {', '.join(file.name for file in missing)}"
        elif missing[0].address:
            yield name, f"missing: recpoison-data fetch {name}"
        else:
            yield name, f"missing: {source.ask}"


def extras() -> Iterator[tuple[str, str]]:
    """Each optional set of packages: there, or what is missing and what it is for."""
    for extra, (packages, purpose) in EXTRAS.items():
        missing = [name for name in packages if installed(name) is None]
        state = f"missing {', '.join(missing)}: pip install 'recpoison[{extra}]'" if missing else "installed"
        yield extra, f"{state} ({purpose})"


def installed(name: str) -> str | None:
    """The version of a distribution, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _table(console: Console, title: str, rows: Iterator[tuple[str, str]]) -> None:
    console.print(f"\n[bold]{escape(title)}[/bold]", soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=12, no_wrap=True)
    table.add_column(overflow="fold")
    for name, said in rows:
        table.add_row(f"  [cyan]{escape(name)}[/cyan]", escape(said))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
